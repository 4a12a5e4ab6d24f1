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
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Bytes of its frame."""
        return len(self.payload) + frames.FRAME_OVERHEAD

    def record(self) -> Record:
        """The record itself, parsed anew."""
        return Record.model_validate_json(self.payload)


class Backlog:
    """A queue of entries. An id that was appended twice is twice in the queue; ``get`` sees the later one."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._queue: deque[Entry] = deque()
        self._by_id: dict[UUID, Entry] = {}
        self._dead: deque[UUID] = deque(maxlen=_DEAD_LETTERS_REMEMBERED)
        self._abandoned = False

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, entry: Entry) -> None:
        """At the end."""
        self._queue.append(entry)
        self._by_id[entry.record_id] = entry
        self.size_bytes += entry.size_bytes

    def get(self, record_id: UUID) -> Entry | None:
        """By id."""
        return self._by_id.get(record_id)

    def head(self, count: int) -> list[Entry]:
        """The oldest ``count``, which stay."""
        return list(islice(self._queue, count))

    def drop_head(self, ids: Sequence[UUID], dead_letters: Collection[UUID]) -> list[Entry]:
        """Remove the oldest entries and wake who waits for them. Raises ValueError if their ids are not ``ids``."""
        entries = self.head(len(ids))
        if [entry.record_id for entry in entries] != list(ids):
            raise ValueError("commit() takes the batch that batches() gave last")
        self._dead.extend(dead_letters)
        for entry in entries:
            self._queue.popleft()
            self.size_bytes -= entry.size_bytes
            if self._by_id[entry.record_id] is entry:
                del self._by_id[entry.record_id]
            wake(entry.waiters, _dead_letter if entry.record_id in dead_letters else None)
        return entries

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
