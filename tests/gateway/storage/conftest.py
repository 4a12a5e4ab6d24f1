from __future__ import annotations

from datetime import UTC, datetime

import pytest


class ManualClock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 8, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
