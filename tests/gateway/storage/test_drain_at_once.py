"""Several batches in flight: what a reader sees, what is released, who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from contract.record import Record
from gateway.errors import RecordNotFound, StorageUnavailable
from gateway.ports import Clock
from gateway.storage.budget import RequestUnitBudget
from gateway.storage.dead_letters import DeadLetterFile
from gateway.storage.drain import Drain
from gateway.storage.journal import FileJournal

MakeRecord = Callable[..., Record]
ALL = 4


class GatedStore:
    """A store whose every write waits until the test lets it go; remembers the last version of each record."""

    def __init__(self) -> None:
        self.begun: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self.rows: dict[UUID, Record] = {}
        self.out: list[UUID] = []
        self._changed = asyncio.Event()

    async def upsert(self, records: Sequence[Record]) -> None:
        ids = [record.id for record in records]
        assert not set(ids) & set(self.out), "two versions of one record in flight"
        assert len(set(ids)) == len(ids)
        self.out += ids
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begun.append((records, gate))
        self._changed.set()
        try:
            await gate
        finally:
            self.out = [id_ for id_ in self.out if id_ not in ids]
        self.rows.update((record.id, record) for record in records)

    async def begins(self, count: int) -> None:
        """Return when ``count`` writes have begun since the start."""
        while len(self.begun) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 30)

    def let_go(self, number: int, error: Exception | None = None) -> None:
        gate = self.begun[number][1]
        gate.set_exception(error) if error else gate.set_result(None)

    async def get(self, record_id: UUID) -> Record:
        if record_id not in self.rows:
            raise RecordNotFound("no such record")
        return self.rows[record_id]


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[FileJournal]:
    opened = await FileJournal.open(tmp_path / "journal", clock, batch_records=2)
    yield opened
    await opened.close()


@pytest.fixture
async def store() -> GatedStore:
    return GatedStore()


def started(journal: FileJournal, store: GatedStore, tmp_path: Path, clock: Clock, **more: object) -> Drain:
    letters = DeadLetterFile(tmp_path / "letters.jsonl")
    drain = Drain(journal, store, letters, clock, concurrency=ALL, **more)  # type: ignore[arg-type]
    drain.start()
    return drain


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_as_many_batches_as_allowed_are_written_at_once(
    tmp_path: Path, journal: FileJournal, store: GatedStore, clock: Clock, make_record: MakeRecord
) -> None:
    records = [make_record() for _ in range(2 * ALL + 4)]
    await asyncio.gather(*map(journal.append, records))
    drain = started(journal, store, tmp_path, clock)
    await store.begins(ALL)
    await settle()
    assert len(store.begun) == drain.stats.in_flight == ALL
    assert [record for batch, _ in store.begun for record in batch] == records[: 2 * ALL]
    store.let_go(2)
    await store.begins(ALL + 1)
    for number in (0, 1, 3, 4):
        store.let_go(number)
    await store.begins(ALL + 2)
    store.let_go(5)
    await drain.close(30)
    assert set(store.rows) == {record.id for record in records}
    assert (journal.undrained_records, journal.undrained_bytes) == (0, 0)
    assert (drain.stats.stored_records, drain.stats.in_flight) == (len(records), 0)


async def test_space_is_released_when_all_before_it_is_stored_and_a_crash_replays_from_there(
    tmp_path: Path, journal: FileJournal, store: GatedStore, clock: Clock, make_record: MakeRecord
) -> None:
    records = [make_record() for _ in range(6)]
    await asyncio.gather(*map(journal.append, records))
    before = journal.undrained_bytes
    drain = started(journal, store, tmp_path, clock)
    await store.begins(3)
    store.let_go(1)
    await journal.stored(records[2].id)
    assert (journal.undrained_records, journal.undrained_bytes) == (4, before)
    await drain.close(0)
    await journal.close()
    again = await FileJournal.open(tmp_path / "journal", clock, batch_records=100)
    assert await anext(aiter(again.batches())) == records
    await again.close()


async def test_a_later_version_waits_until_the_earlier_one_is_stored(
    tmp_path: Path, journal: FileJournal, store: GatedStore, clock: Clock, make_record: MakeRecord
) -> None:
    first, other = make_record(), make_record()
    second = first.model_copy(update={"count": 7})
    await journal.append(first)
    drain = started(journal, store, tmp_path, clock)
    await store.begins(1)
    await journal.append(second)
    await journal.append(other)
    await settle()
    assert len(store.begun) == 1
    assert journal.undrained(first.id) == second
    store.let_go(0)
    await store.begins(2)
    assert store.begun[1][0] == [second, other]
    assert journal.undrained(first.id) == second, "the journal answers until the store has it"
    store.let_go(1)
    await drain.close(30)
    assert store.rows[first.id] == second


async def test_a_version_that_was_replaced_before_its_turn_is_not_written_and_its_waiters_get_the_last(
    tmp_path: Path, journal: FileJournal, store: GatedStore, clock: Clock, make_record: MakeRecord
) -> None:
    first, other = make_record(), make_record()
    second = first.model_copy(update={"count": 7})
    await journal.append(first)
    waiting = asyncio.create_task(journal.stored(first.id))
    await asyncio.sleep(0)
    for record in (other, second):
        await journal.append(record)
    drain = started(journal, store, tmp_path, clock)
    await store.begins(1)
    assert store.begun[0][0] == [other, second]
    await settle()
    assert not waiting.done()
    store.let_go(0)
    await waiting
    await drain.close(30)
    assert journal.undrained_records == journal.undrained_bytes == 0


async def test_a_wait_that_one_batch_was_told_holds_for_all(
    tmp_path: Path, journal: FileJournal, store: GatedStore, clock: Clock, make_record: MakeRecord
) -> None:
    held = asyncio.Event()
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await held.wait()

    await asyncio.gather(*(journal.append(make_record()) for _ in range(2)))
    drain = started(journal, store, tmp_path, clock, sleep=sleep)
    await store.begins(1)
    store.let_go(0, StorageUnavailable("429", retry_after_s=40.0))
    await settle()
    await journal.append(make_record())
    await settle()
    assert len(store.begun) == 1, "the second batch is not tried while the store wants to be left alone"
    assert asked == [40.0, 40.0]
    held.set()
    await store.begins(3)
    store.let_go(1)
    store.let_go(2)
    await drain.close(30)


class Timed:
    """A clock that goes on when somebody sleeps."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self.time = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


async def test_a_debt_of_request_units_is_paid_before_the_next_write(clock: Clock) -> None:
    timed = Timed(clock)
    budget = RequestUnitBudget(50, timed, sleep=timed.sleep)
    await budget.ready()
    budget.charge(150)
    await budget.ready()
    assert timed.slept == [pytest.approx(101 / 50)]
    await budget.ready()
    assert len(timed.slept) == 1
    timed.time += 1000
    budget.charge(49)
    await budget.ready()
    budget.charge(2)
    await budget.ready()
    assert len(timed.slept) == 2, "a long rest saves up one second's units and no more"
    assert budget.charged == 201


async def test_without_a_rate_units_are_counted_and_nobody_waits(clock: Clock) -> None:
    timed = Timed(clock)
    budget = RequestUnitBudget(None, timed, sleep=timed.sleep)
    budget.charge(1e9)
    await budget.ready()
    assert (timed.slept, budget.charged) == ([], 1e9)


async def test_the_drain_keeps_the_budget(
    tmp_path: Path, journal: FileJournal, clock: Clock, make_record: MakeRecord
) -> None:
    timed = Timed(clock)
    budget = RequestUnitBudget(100, timed, sleep=timed.sleep)

    class Charging:
        async def upsert(self, records: Sequence[Record]) -> None:
            budget.charge(100.0 * len(records))

    await asyncio.gather(*(journal.append(make_record()) for _ in range(20)))
    drain = Drain(journal, Charging(), DeadLetterFile(tmp_path / "letters"), timed, budget=budget)  # type: ignore[arg-type]
    began = timed.time
    drain.start()
    await drain.close(30)
    assert drain.stats.stored_records == 20
    assert budget.charged == 2000
    assert budget.charged / (timed.time - began) < 100 * 1.3, "but for the bucket that was full and the last batch"
