"""What tests of the journal share: a disk that can be held, and the next batch."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence

import pytest

from contract.record import Record
from gateway.storage.journal import FileJournal


class HeldFsync:
    """Stands in for the disk: each fsync of a segment waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.count = 0
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._hold)

    def _hold(self, fd: int) -> None:
        self.count += 1
        self.begun.set()
        assert self.let_go.wait(30)
        self._real(fd)

    async def begins(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 30)


async def next_batch(journal: FileJournal) -> Sequence[Record]:
    return await anext(aiter(journal.batches()))
