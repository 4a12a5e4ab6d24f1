"""The journal on local disk: records are safe here, by one fsync for many, before they are stored.

Appends that arrive while an fsync runs gather into a group; the committer writes the group and makes it
durable at once, then wakes everyone in it. Files are the matter of ``gateway.storage.segments``, what is
not stored yet that of ``gateway.storage.backlog``. Use a journal from one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from contract.ids import id_time
from contract.record import Record
from gateway.errors import Overloaded, StorageUnavailable
from gateway.ports import Clock
from gateway.storage import frames, segments
from gateway.storage.backlog import Backlog, Entry, wake
from gateway.storage.files import make_directory
from gateway.storage.recovery import Recovery, recover
from gateway.storage.segments import Position, SegmentWriter
from gateway.storage.threads import Threads

CHECKPOINT_EVERY_BYTES: Final = 1 << 20
"""Drained bytes between checkpoints: each costs the appenders two fsyncs, and a replay is harmless."""
GATHER_S: Final = 0.05
"""How long a gateway lets durable records gather for the store: a write to it costs a transaction, or a request,
however many are in it. Nobody sees the difference but in lists of records."""
RETRY_AFTER_S: Final = 1.0
"""Told to callers that are turned away: about the time that a healthy store needs for a few batches."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(slots=True)
class JournalStats:
    """Counters since the opening, for metrics."""

    appended_records: int = 0
    appended_bytes: int = 0
    groups: int = 0
    """Groups made durable, one fsync each."""
    group_seconds: float = 0.0
    """Wall time of those groups' writes and fsyncs."""
    failed_groups: int = 0
    """The disk is full or broken: each is a group of callers that were told so."""
    refused_records: int = 0
    """Turned away because ``max_bytes`` was reached: the store is behind."""


@dataclass(slots=True)
class _Append:
    """A record on its way to the disk."""

    record_id: UUID
    frame: bytes
    durable: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the opening found and took."""

    directory: Path
    lock_fd: int
    recovery: Recovery
    writer: SegmentWriter


class FileJournal:
    """The Journal port on a directory of segment files. Made by ``open``."""

    def __init__(
        self,
        opened: _Opened,
        clock: Clock,
        thread: Threads,
        *,
        max_bytes: int,
        batch_records: int,
        gather_s: float,
    ) -> None:
        self.stats = JournalStats()
        self._opened = opened
        self._writer = opened.writer
        self._clock = clock
        self._thread = thread
        self._max_bytes = max_bytes
        self._batch_records = batch_records
        self._gather_s = gather_s
        self._backlog = Backlog()
        self._gathering: list[_Append] = []
        self._unwritten_bytes = 0
        self._drained_to = self._checkpoint = opened.recovery.checkpoint
        self._drained_since_checkpoint = 0
        self._sealed = self._closed = False
        self._to_write = asyncio.Event()
        self._to_drain = asyncio.Event()
        self._at_once = asyncio.Event()
        for found in opened.recovery.records:
            self._backlog.add(Entry(found.record_id, found.payload, found.end, self._since(found.record_id)))
        self._committer = asyncio.create_task(self._run_committer(), name="journal-committer")

    @classmethod
    async def open(
        cls,
        directory: Path,
        clock: Clock,
        *,
        segment_bytes: int = 16 << 20,
        max_bytes: int = 128 << 20,
        batch_records: int = 100,
        gather_s: float = 0.0,
    ) -> FileJournal:
        """Take the directory (made if missing), recover what is not stored yet, and be ready to append.

        ``max_bytes`` bounds undrained records on disk and in memory; a segment ends at the first group that
        passes ``segment_bytes``; ``gather_s``: see :meth:`batches`. Raises StorageUnavailable: directory in use,
        unwritable, or of another format.
        """
        thread = Threads(1, "journal")
        try:
            opened = await thread.call(lambda: _open(directory, segment_bytes))
        except OSError as error:
            raise StorageUnavailable(f"The journal directory {directory} cannot be opened: {error}.") from error
        return cls(opened, clock, thread, max_bytes=max_bytes, batch_records=batch_records, gather_s=gather_s)

    async def append(self, record: Record) -> None:
        """Return once the record would survive a power cut. A caller who stops waiting does not undo it.

        Raises StorageUnavailable (disk, or sealed) and Overloaded (``max_bytes`` of undrained records).
        """
        if self._sealed:
            raise StorageUnavailable("The service is shutting down. Send the photo again.", retry_after_s=RETRY_AFTER_S)
        frame = frames.encode(record.model_dump_json(by_alias=True).encode())
        if self._backlog.size_bytes + self._unwritten_bytes + len(frame) > self._max_bytes:
            self.stats.refused_records += 1
            raise Overloaded("Results come in faster than they are stored. Retry later.", retry_after_s=RETRY_AFTER_S)
        durable = asyncio.get_running_loop().create_future()
        self._gathering.append(_Append(record.id, frame, durable))
        self._unwritten_bytes += len(frame)
        self._to_write.set()
        await durable

    def undrained(self, record_id: UUID) -> Record | None:
        """A durable record that is not in the store yet."""
        entry = self._backlog.get(record_id)
        return None if entry is None else entry.record()

    async def stored(self, record_id: UUID) -> None:
        """Return once an appended record is in the result store. Raises StorageUnavailable, see the port."""
        self._at_once.set()
        await self._backlog.dropped(record_id)

    async def batches(self) -> AsyncIterator[Sequence[Record]]:
        """Batches of at most ``batch_records``, in append order; see the port. One reader at a time.

        A batch that is not full waits ``gather_s`` for more, unless somebody waits in ``stored`` or the journal is
        sealed.
        """
        self._backlog.rewind()
        while not self._closed:
            if self._gather_s and not self._backlog.all_out:
                await self._gather()
            batch = self._backlog.take(self._batch_records)
            if batch:
                yield [entry.record() for entry in batch]
            elif self._sealed and not self._unwritten_bytes and self._backlog.all_out:
                return
            else:
                self._to_drain.clear()
                await self._to_drain.wait()

    async def _gather(self) -> None:
        """Return after ``gather_s``, or when there is no reason to wait."""
        if not self._sealed and self._backlog.waiting < self._batch_records:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._gather_s):
                    await self._at_once.wait()
        self._at_once.clear()

    async def commit(self, records: Sequence[Record], *, dead_letters: Collection[UUID] = ()) -> None:
        """Forget a batch that ``batches`` gave, in any order, and wake who waits for it. Its space is released when
        all that was appended before it is committed too: the checkpoint is one position.

        Raises ValueError for any other records. A disk that cannot take the checkpoint is only logged: it costs a
        replay.
        """
        for entry in self._backlog.commit([record.id for record in records], dead_letters):
            self._drained_since_checkpoint += entry.size_bytes
            self._drained_to = entry.end
        self._to_drain.set()
        passed_segment = self._drained_to.segment > self._checkpoint.segment
        if not self._closed and (passed_segment or self._drained_since_checkpoint >= CHECKPOINT_EVERY_BYTES):
            self._drained_since_checkpoint = 0
            self._checkpoint = await self._in_thread(_save_progress, self._opened, self._checkpoint, self._drained_to)

    def seal(self) -> None:
        """Refuse further appends; ``batches`` ends when what was appended is committed."""
        self._sealed = True
        self._to_drain.set()
        self._at_once.set()

    @property
    def undrained_records(self) -> int:
        """Durable records that are not in the store yet."""
        return len(self._backlog)

    @property
    def undrained_bytes(self) -> int:
        """Bytes of those, as framed, and of what was stored behind them out of order: what ``max_bytes`` bounds."""
        return self._backlog.size_bytes

    @property
    def oldest_age_s(self) -> float:
        """Seconds since the oldest undrained record was appended; 0 if everything is stored."""
        oldest = self._backlog.oldest()
        if oldest is None:
            return 0.0
        return max(0.0, self._clock.monotonic() - oldest.since_s)

    def _since(self, record_id: UUID) -> float:
        """When a record of an earlier process was appended, as well as its id and the wall clock tell."""
        age_s = (self._clock.now() - id_time(record_id)).total_seconds()
        return self._clock.monotonic() - max(0.0, age_s)

    async def close(self) -> None:
        """Make what was appended durable, write the checkpoint, give the directory back. Idempotent.

        Undrained records stay on disk for the next start; those who wait in ``stored`` get StorageUnavailable.
        """
        if self._closed:
            return
        self.seal()
        self._closed = True
        self._to_write.set()
        try:
            await self._committer
        finally:
            self._to_drain.set()
            self._backlog.abandon()
            await self._in_thread(_release, self._opened, self._checkpoint, self._drained_to)
            self._thread.close()

    async def _run_committer(self) -> None:
        group: list[_Append] = []
        try:
            while self._gathering or not self._closed:
                await self._to_write.wait()
                self._to_write.clear()
                group, self._gathering = self._gathering, []
                if group:
                    await self._make_durable(group)
        finally:
            # However this task ends, nobody may go on waiting for it, nor begin to.
            if not self._closed:
                _log.critical("the journal's committer was ended; nothing can be appended until the next start")
            self.seal()
            wake((append.durable for append in (*group, *self._gathering)), _not_written)

    async def _make_durable(self, group: list[_Append]) -> None:
        began = time.perf_counter()
        size = sum(len(append.frame) for append in group)
        try:
            begin = await self._in_thread(self._writer.append, b"".join(append.frame for append in group))
        except OSError as error:
            _log.exception("a group of %d records could not be written to the journal", len(group))
            self.stats.failed_groups += 1
            wake((append.durable for append in group), partial(_not_written, error))
            return
        finally:
            self._unwritten_bytes -= size
            self._to_drain.set()
        self.stats.groups += 1
        self.stats.group_seconds += time.perf_counter() - began
        self.stats.appended_records += len(group)
        self.stats.appended_bytes += size
        offset = begin.offset
        for append in group:
            offset += len(append.frame)
            payload = append.frame[frames.FRAME_OVERHEAD :]
            self._backlog.add(
                Entry(append.record_id, payload, Position(begin.segment, offset), self._clock.monotonic())
            )
        if self._backlog.waiting >= self._batch_records:
            self._at_once.set()
        wake(append.durable for append in group)

    async def _in_thread(self, call: Callable[..., _T], *arguments: object) -> _T:
        return await self._thread.call(partial(call, *arguments))


def _open(directory: Path, segment_bytes: int) -> _Opened:
    make_directory(directory)
    lock_fd = segments.lock(directory)
    try:
        recovery = recover(directory)
        writer = SegmentWriter(
            directory, existing=recovery.numbers, next_number=recovery.next_number, segment_bytes=segment_bytes
        )
        writer.drop_before(recovery.records[0].end.segment if recovery.records else recovery.next_number)
    except BaseException:
        os.close(lock_fd)
        raise
    return _Opened(directory, lock_fd, recovery, writer)


def _save_progress(opened: _Opened, checkpoint: Position, drained_to: Position) -> Position:
    """The checkpoint that is on disk afterwards. Deletes first: that may make the room that the checkpoint needs."""
    try:
        opened.writer.drop_before(drained_to.segment)
        if drained_to != checkpoint:
            segments.save_checkpoint(opened.directory, drained_to)
    except OSError:
        _log.warning("the journal's checkpoint could not be written; drained records may be replayed", exc_info=True)
        return checkpoint
    return drained_to


def _release(opened: _Opened, checkpoint: Position, drained_to: Position) -> None:
    _save_progress(opened, checkpoint, drained_to)
    opened.writer.close()
    os.close(opened.lock_fd)


def _not_written(cause: BaseException | None = None) -> StorageUnavailable:
    error = StorageUnavailable(
        "The result could not be written down and was not kept. Send the photo again.", retry_after_s=RETRY_AFTER_S
    )
    error.__cause__ = cause
    return error
