"""Who goes first where photos wait: in the gateway's queue and in Triton's."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Priority(StrEnum):
    """Somebody waits for an interactive photo; a batch one only has to be done in its time."""

    INTERACTIVE = "interactive"
    BATCH = "batch"

    @property
    def level(self) -> int:
        """Triton's priority level: 1 is served first (``priority_levels`` of ``animals``)."""
        return _LEVELS[self]


_LEVELS: Final = MappingProxyType({Priority.INTERACTIVE: 1, Priority.BATCH: 2})

PRIORITY: Final = "priority"
"""Name of the request parameter on REST and KServe v2."""


def of_level(level: int) -> Priority | None:
    """The priority of a level of KServe v2; None for 0, which is the default there. Raises ValueError."""
    for priority, its in _LEVELS.items():
        if its == level:
            return priority
    if level != 0:
        raise ValueError(f"no priority has the level {level}")
    return None
