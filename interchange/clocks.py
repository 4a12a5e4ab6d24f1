"""From a camera's local clock to moments in time. EXIF has no time zone that cameras fill in, so somebody must say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from interchange.errors import InterchangeError

_OFFSET: Final = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)


def zone(text: str) -> tzinfo:
    """``Europe/Berlin``, ``UTC`` or an offset such as ``+02:00``, which is right for a camera whose clock does not
    follow summer time. Raises InterchangeError."""
    if text.upper() in ("UTC", "Z"):
        return UTC
    if match := _OFFSET.fullmatch(text):
        sign, hours, minutes = match[1], int(match[2]), int(match[3])
        if hours < 24 and minutes < 60:
            return timezone((1 if sign == "+" else -1) * timedelta(hours=hours, minutes=minutes))
    try:
        return ZoneInfo(text)
    except (LookupError, ValueError, OSError):
        raise InterchangeError(
            f"{text!r} is not a time zone: give a name such as Europe/Berlin, an offset such as +02:00, or UTC. "
            "(Names need the system's time-zone data; Debian: apt-get install tzdata.)"
        ) from None


def moment(local: datetime, where: tzinfo) -> datetime:
    """A local time as a moment. One that has a zone keeps it; one that a change to summer time skips is moved on."""
    return local if local.tzinfo else local.replace(tzinfo=where).astimezone(UTC).astimezone(where)


def iso(at: datetime) -> str:
    """``2020-03-01T22:00:00+01:00``: whole seconds with an offset, as Camtrap DP writes moments."""
    return at.replace(microsecond=0).isoformat()
