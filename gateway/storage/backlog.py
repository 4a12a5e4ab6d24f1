"""What is durable in the journal and not stored yet, in memory: in order, by id, and who waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from uuid import UUID

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.storage import frames
from gateway.storage.segments import Position

_DEAD_LETTERS_REMEMBERED: Final = 1024
"""Enough that whoever asks right after the append learns of it."""


@dataclass(slots=True, eq=False)
class Entry:
    """One record. Kept as bytes, so that a bound on journal bytes bounds the memory too."""

    record_id: UUID
    payload: bytes
    end: Position
    since_s: float = 0.0
    """When it was appended, on the monotonic clock: its id's time may be ahead of a wall clock that was set back."""
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    committed: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of its frame."""
        return len(self.payload) + frames.FRAME_OVERHEAD

    def record(self) -> Record:
        """The record itself, parsed anew."""
        return Record.model_validate_json(self.payload)


class Backlog:
    """A queue of entries that are handed out in order, committed in any order and released in order.

    Of an id that was appended again only the last version is handed out, and never while an older one is out:
    so the store never sees a record go backwards. ``get`` sees the last version too.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        """Frames that are not released yet: what the disk has to hold."""
        self._queue: deque[Entry] = deque()
        self._waiting: deque[Entry] = deque()
        self._out: list[list[Entry]] = []
        self._out_ids: set[UUID] = set()
        self._by_id: dict[UUID, Entry] = {}
        self._uncommitted = 0
        self._dead: deque[UUID] = deque(maxlen=_DEAD_LETTERS_REMEMBERED)
        self._abandoned = False

    def __len__(self) -> int:
        """Entries that are not committed."""
        return self._uncommitted

    def add(self, entry: Entry) -> None:
        """At the end."""
        self._queue.append(entry)
        self._waiting.append(entry)
        self._by_id[entry.record_id] = entry
        self.size_bytes += entry.size_bytes
        self._uncommitted += 1

    def get(self, record_id: UUID) -> Entry | None:
        """By id."""
        return self._by_id.get(record_id)

    def oldest(self) -> Entry | None:
        """The first entry that is not committed."""
        return next((entry for entry in self._queue if not entry.committed), None)

    def rewind(self) -> None:
        """Take back what was handed out and not committed: ``take`` begins with the oldest again."""
        self._out.clear()
        self._out_ids.clear()
        self._waiting = deque(entry for entry in self._queue if not entry.committed)

    @property
    def all_out(self) -> bool:
        """Whether nothing is left to be handed out."""
        self._skip()
        return not self._waiting

    @property
    def waiting(self) -> int:
        """Entries that are left to be handed out, about: replaced ones may be among them."""
        return len(self._waiting)

    def take(self, count: int) -> list[Entry]:
        """Hand out the next entries, at most ``count``. Empty if there is none, or if an older version of the next
        one is out."""
        batch: list[Entry] = []
        while len(batch) < count and not self.all_out and self._waiting[0].record_id not in self._out_ids:
            batch.append(self._waiting.popleft())
        if batch:
            self._out.append(batch)
            self._out_ids.update(entry.record_id for entry in batch)
        return batch

    def commit(self, ids: Sequence[UUID], dead_letters: Collection[UUID]) -> list[Entry]:
        """Mark a batch that is out as committed and wake who waits for it. Returns the entries that may be released,
        which are gone now: all up to the oldest that is not committed.

        Raises ValueError if no batch that is out has these ids, nor the oldest entries.
        """
        for entry in self._claim(list(ids)):
            self._done(entry, _dead_letter if entry.record_id in dead_letters else None)
        self._dead.extend(dead_letters)
        self._skip()
        released: list[Entry] = []
        while self._queue and self._queue[0].committed:
            released.append(self._queue.popleft())
            self.size_bytes -= released[-1].size_bytes
        return released

    def _claim(self, ids: list[UUID]) -> list[Entry]:
        for number, batch in enumerate(self._out):
            if [entry.record_id for entry in batch] == ids:
                self._out_ids.difference_update(ids)
                return self._out.pop(number)
        oldest = [entry for entry in islice(self._queue, len(ids)) if not entry.committed]
        if not self._out and [entry.record_id for entry in oldest] == ids:
            return oldest
        raise ValueError("commit() takes a batch that batches() gave")

    def _done(self, entry: Entry, error: Callable[[], StorageUnavailable] | None = None) -> None:
        entry.committed = True
        self._uncommitted -= 1
        if self._by_id.get(entry.record_id) is entry:
            del self._by_id[entry.record_id]
        wake(entry.waiters, error)

    def _skip(self) -> None:
        """Drop from the front what need not be handed out: committed, or replaced by a later version, for which
        those who wait for it wait from now on."""
        while self._waiting:
            entry = self._waiting[0]
            last = self._by_id.get(entry.record_id)
            if last is entry and not entry.committed:
                return
            self._waiting.popleft()
            if not entry.committed:
                if last is not None:
                    last.waiters += entry.waiters
                    entry.waiters = []
                self._done(entry)

    async def dropped(self, record_id: UUID) -> None:
        """Return once the entry with this id is gone; at once if there is none.

        Raises StorageUnavailable if it became a dead letter, or at ``abandon``.
        """
        entry = self._by_id.get(record_id)
        if entry is not None and self._abandoned:
            raise _closed_first()
        if entry is not None:
            waiter = asyncio.get_running_loop().create_future()
            entry.waiters.append(waiter)
            await waiter
        elif record_id in self._dead:
            raise _dead_letter()

    def abandon(self) -> None:
        """Tell all who wait that the store will not have their records before the next start."""
        self._abandoned = True
        for entry in self._queue:
            wake(entry.waiters, _closed_first)


def wake(waiters: Iterable[asyncio.Future[None]], error: Callable[[], StorageUnavailable] | None = None) -> None:
    """Answer those who still wait. Each gets an exception of its own, as raising changes its traceback."""
    for waiter in waiters:
        if waiter.done():
            continue  # cancelled: its caller left
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error())


def _dead_letter() -> StorageUnavailable:
    return StorageUnavailable("The result is kept, but the result store does not take it. Tell the operator its id.")


def _closed_first() -> StorageUnavailable:
    return StorageUnavailable("The result is kept and will be stored after the service's next start.")
