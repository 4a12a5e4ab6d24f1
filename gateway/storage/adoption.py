"""Journals that nobody will open again: those of workers that are no longer configured, drained at the next start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.errors import StorageUnavailable
from gateway.ports import Clock
from gateway.storage import segments
from gateway.storage.drain import Drain
from gateway.storage.journal import FileJournal
from gateway.storage.siblings import journal_directories, journal_directory

_log = logging.getLogger(__name__)


def orphans(data_dir: Path, worker: int | None, workers: int) -> list[Path]:
    """Journals with segments that no process of this gateway opens for itself, for the one process that adopts them:
    the only one, or the worker of slot 0. Others get none."""
    if worker not in (None, 0):
        return []
    slots = [None] if worker is None else list(range(workers))
    own = {journal_directory(data_dir, slot) for slot in slots}
    return [path for path in journal_directories(data_dir) if path not in own and segments.segment_numbers(path)]


class Adoption:
    """Drains orphaned journals one after the other, beside everything else."""

    def __init__(self, directories: Iterable[Path], clock: Clock, make_drain: Callable[[FileJournal], Drain]) -> None:
        self._directories = list(directories)
        self._clock = clock
        self._make_drain = make_drain
        self._journal: FileJournal | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in a task on the running loop."""
        if self._directories:
            self._task = asyncio.create_task(self._run(), name="adoption")

    @property
    def undrained_records(self) -> int:
        """Records of the journal that is being drained."""
        return 0 if self._journal is None else self._journal.undrained_records

    async def close(self, timeout_s: float) -> None:
        """Go on for at most ``timeout_s`` seconds; what is left is adopted at the next start."""
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=timeout_s)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        for directory in self._directories:
            try:
                self._journal = await FileJournal.open(directory, self._clock)
            except StorageUnavailable as error:
                _log.warning("a journal of another start cannot be drained: %s", error)
                continue
            _log.info("draining %s, which no worker uses any more", directory)
            drain = self._make_drain(self._journal)
            drain.start()
            try:
                await drain.close(None)
            finally:
                await drain.close(0)
                await self._journal.close()
                self._journal = None
