"""What came of one photo, whatever the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from contract.photo_status import PhotoStatus

OK: Final = "ok"
TIMEOUT: Final = "timeout"
"""No word came within the deadline."""
CONNECTION: Final = "connection"
"""No connection, or it broke."""
STRANGE: Final = "unexpected_answer"
"""An answer that is not the API's."""
UNSENT: Final = "unsent"
"""Not sent: the generator had too many under way. Its own fault."""

UNANSWERED: Final = frozenset({TIMEOUT, CONNECTION, STRANGE})
"""Outcomes that are no word of the service."""

REJECTED: Final = frozenset(status.code for status in PhotoStatus if not status.answered)
"""Reasons for refusing a photo for what it is."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``outcome``: ``ok``, the service's own reason, or one of the words above. ``stages``: milliseconds by stage."""

    outcome: str
    stages: Mapping[str, float] = field(default_factory=dict)


class Sender(Protocol):
    """Speaks one protocol to one target. Used by many greenlets at once."""

    def prepare(self, photo: bytes) -> bytes:
        """The request of a photo, but for the eight bytes at its end that make it different from all others."""
        ...

    def send(self, request: bytes) -> Reply:
        """Send a whole request and wait for what comes of it. Does not raise for anything that the wire does."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


def server_timing(text: str) -> dict[str, float]:
    """Milliseconds by stage from a ``Server-Timing`` value (W3C Server Timing): ``decode;dur=1.5, queue;dur=3``."""
    stages: dict[str, float] = {}
    for metric in text.split(","):
        name, *parameters = metric.split(";")
        for parameter in parameters:
            key, _, value = parameter.strip().partition("=")
            if key.lower() == "dur":
                try:
                    stages[name.strip()] = float(value)
                except ValueError:
                    continue
    return stages
