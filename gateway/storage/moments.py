"""Moments as the result stores order them: whole microseconds since 1970, and the UTC day they are in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.errors import InvalidRequest

DAY_US: Final = 86_400_000_000
"""Microseconds of a UTC day; POSIX time has no leap seconds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime, name: str) -> int:
    """Exact microseconds since 1970. Raises InvalidRequest, with ``name`` in it, for a time without a zone."""
    if moment.tzinfo is None:
        raise InvalidRequest(f"{name} has no time zone. Give it in UTC, as in 2026-11-22T08:00:00Z.")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def day_name(day: int) -> str:
    """``2026-11-22`` of a number of days since 1970."""
    return f"{_EPOCH + timedelta(days=day):%Y-%m-%d}"
