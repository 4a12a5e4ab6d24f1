"""Moves records from the journal to the result store, several batches at once, and never gives up.

The store away or over its rate: all wait (exponential backoff with jitter, at least what the store asked for)
and then try the same batches again. A record that the store refuses for what it is: found by halving the batch,
put into the dead letters, and the others go on. A budget of request units, if there is one, comes before
each write. The journal never gives two versions of one record at once, so that none goes backwards.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contract.record import Record
from gateway.errors import InvalidRequest, ServiceError
from gateway.ports import Clock, Journal, ResultStore
from gateway.storage.budget import RequestUnitBudget
from gateway.storage.dead_letters import DeadLetterFile

FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 30.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class DrainStats:
    """Counters since the start, and gauges, for metrics."""

    stored_records: int = 0
    retries: int = 0
    """Waits because the store or the dead-letter file was unavailable."""
    dead_letters: int = 0
    """Records that a person must look at."""
    in_flight: int = 0
    """Batches that are being written."""


class Pause:
    """What one destination asked for: until it is over, nobody writes there."""

    def __init__(self, clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._until = clock.monotonic()

    def extend(self, seconds: float) -> None:
        """Not before so many seconds from now."""
        self._until = max(self._until, self._clock.monotonic() + seconds)

    async def over(self) -> None:
        """Return when it is over."""
        left_s = self._until - self._clock.monotonic()
        if left_s > 0:
            await self._sleep(left_s)


class Drain:
    """Between one journal and one store. ``start`` does not block; ``close`` waits with a limit."""

    def __init__(
        self,
        journal: Journal,
        store: ResultStore,
        dead_letters: DeadLetterFile,
        clock: Clock,
        *,
        concurrency: int = 1,
        budget: RequestUnitBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``concurrency`` batches are in flight at once; ``budget`` None is no limit."""
        self.stats = DrainStats()
        self._journal = journal
        self._store = store
        self._dead_letters = dead_letters
        self._clock = clock
        self._concurrency = concurrency
        self._budget = budget or RequestUnitBudget(None, clock)
        self._store_pause = Pause(clock, sleep)
        self._letters_pause = Pause(clock, sleep)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to drain, in a task on the running loop."""
        self._task = asyncio.create_task(self._run(), name="drain")
        self._task.add_done_callback(_report)

    @property
    def running(self) -> bool:
        """Whether the task is alive; False before ``start``, after ``close`` and after a defect in a store."""
        return self._task is not None and not self._task.done()

    async def close(self, timeout_s: float | None) -> None:
        """Seal the journal, drain what is in it for at most ``timeout_s`` seconds (None: to the end), then stop.

        What is left stays in the journal for the next start. Call it before the journal's and the store's close.
        """
        self._journal.seal()
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=timeout_s)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            _log.warning("the drain was stopped before the journal was empty; the rest is stored after the next start")

    async def _run(self) -> None:
        places = asyncio.Semaphore(self._concurrency)
        batches = aiter(self._journal.batches())
        async with asyncio.TaskGroup() as group:
            while True:
                # First the place, then the batch: while all are taken, records gather into larger batches.
                await places.acquire()
                try:
                    batch = await anext(batches)
                except StopAsyncIteration:
                    return
                group.create_task(self._move(batch, places))

    async def _move(self, batch: Sequence[Record], places: asyncio.Semaphore) -> None:
        self.stats.in_flight += 1
        try:
            dead = await self._store_all(batch)
            await self._journal.commit(batch, dead_letters=dead)
        finally:
            self.stats.in_flight -= 1
            places.release()
        self.stats.stored_records += len(batch) - len(dead)

    async def _store_all(self, batch: Sequence[Record]) -> set[UUID]:
        """Store a batch; returns the ids that went to the dead letters instead."""
        try:
            await self._persist(lambda: self._upsert(batch), self._store_pause)
        except (InvalidRequest, ValueError) as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                return await self._store_all(batch[:middle]) | await self._store_all(batch[middle:])
            await self._set_aside(batch[0], error)
            return {batch[0].id}
        return set()

    async def _upsert(self, batch: Sequence[Record]) -> None:
        await self._budget.ready()
        await self._store.upsert(batch)

    async def _set_aside(self, record: Record, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        await self._persist(lambda: self._dead_letters.add(record, reason, self._clock.now()), self._letters_pause)
        self.stats.dead_letters += 1
        _log.error("record %s went to the dead letters: %s", record.id, reason)

    async def _persist(self, write: Callable[[], Awaitable[None]], pause: Pause) -> None:
        """Write until it is done, however long the other side is away."""
        attempt = 0
        while True:
            await pause.over()
            try:
                await write()
                return
            except ServiceError as error:
                delay_s = backoff_s(attempt, error.retry_after_s)
                _log.warning("storage is unavailable, trying again in %.1f s: %s", delay_s, error, exc_info=True)
            attempt += 1
            self.stats.retries += 1
            pause.extend(delay_s)


def backoff_s(attempt: int, retry_after_s: float | None) -> float:
    """Seconds to wait after failed attempt number ``attempt`` (from 0).

    Doubles from ``FIRST_BACKOFF_S`` to ``MAX_BACKOFF_S``, of which a random half is taken off ("equal jitter": AWS
    Architecture Blog, "Exponential Backoff And Jitter"), so that gateways do not return together; never
    less than the store asked for.
    """
    ceiling = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(attempt, 30))
    return max(ceiling * (0.5 + random.random() / 2), retry_after_s or 0.0)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.critical("the drain ended by a defect; records stay in the journal", exc_info=task.exception())
