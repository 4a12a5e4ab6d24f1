from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.ports import Clock
from gateway.storage.journal import FileJournal


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


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[FileJournal]:
    opened = await FileJournal.open(tmp_path / "journal", clock)
    yield opened
    await opened.close()
