from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest

from contract.record import Record
from gateway.errors import InvalidRequest, StorageUnavailable
from gateway.ports import Clock, DayCount, ListQuery, Page
from gateway.storage.dead_letters import DeadLetterFile
from gateway.storage.drain import FIRST_BACKOFF_S, MAX_BACKOFF_S, Drain, backoff_s
from gateway.storage.journal import FileJournal
from gateway.storage.sqlite import SqliteResultStore

MakeRecord = Callable[..., Record]


class ScriptedStore:
    """A store that fails as it is told: ``failures`` in turn, and always for the ids in ``poison``."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.poison: dict[UUID, Exception] = {}
        self.held: asyncio.Event | None = None
        self.stored: list[UUID] = []

    async def upsert(self, records: Sequence[Record]) -> None:
        if self.held is not None:
            await self.held.wait()
        if self.failures:
            raise self.failures.pop(0)
        for record in records:
            if record.id in self.poison:
                raise self.poison[record.id]
        self.stored += [record.id for record in records]

    async def get(self, record_id: UUID) -> Record:
        raise NotImplementedError

    async def list(self, query: ListQuery) -> Page:
        raise NotImplementedError

    async def counts_by_day(self, since: datetime, until: datetime, *, owner: str = "") -> tuple[DayCount, ...]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Sleeps(list[float]):
    """Notes how long was to be slept, and does not sleep."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[FileJournal]:
    opened = await FileJournal.open(tmp_path / "journal", clock, batch_records=8)
    yield opened
    await opened.close()


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    return tmp_path / "dead" / "letters.jsonl"


async def drain_all(journal: FileJournal, store: ScriptedStore, letters: Path, clock: Clock, sleeps: Sleeps) -> Drain:
    drain = Drain(journal, store, DeadLetterFile(letters), clock, sleep=sleeps)
    drain.start()
    await drain.close(timeout_s=30)
    assert not drain.running
    return drain


async def append_all(journal: FileJournal, records: list[Record]) -> list[UUID]:
    await asyncio.gather(*(journal.append(record) for record in records))
    return [record.id for record in records]


async def test_records_are_stored_once_and_in_order(
    journal: FileJournal, letters: Path, clock: Clock, make_record: MakeRecord
) -> None:
    ids = await append_all(journal, [make_record() for _ in range(30)])
    store = ScriptedStore()
    drain = await drain_all(journal, store, letters, clock, Sleeps())
    assert store.stored == ids
    assert drain.stats.stored_records == 30
    assert journal.undrained_records == 0
    assert not letters.exists()


async def test_a_store_that_is_away_is_waited_for_longer_each_time(
    journal: FileJournal, letters: Path, clock: Clock, make_record: MakeRecord
) -> None:
    ids = await append_all(journal, [make_record() for _ in range(3)])
    store = ScriptedStore()
    store.failures = [StorageUnavailable("away") for _ in range(5)]
    sleeps = Sleeps()
    drain = await drain_all(journal, store, letters, clock, sleeps)
    assert store.stored == ids
    assert drain.stats.retries == 5
    for attempt, seconds in enumerate(sleeps):
        assert FIRST_BACKOFF_S * 2**attempt / 2 <= seconds <= FIRST_BACKOFF_S * 2**attempt


async def test_the_wait_that_a_store_asks_for_is_kept(
    journal: FileJournal, letters: Path, clock: Clock, make_record: MakeRecord
) -> None:
    await append_all(journal, [make_record()])
    store = ScriptedStore()
    store.failures = [StorageUnavailable("429", retry_after_s=7.5)]
    sleeps = Sleeps()
    await drain_all(journal, store, letters, clock, sleeps)
    assert sleeps == [7.5]


def test_a_wait_never_exceeds_its_limit_however_long_the_store_is_away() -> None:
    assert all(MAX_BACKOFF_S / 2 <= backoff_s(attempt, None) <= MAX_BACKOFF_S for attempt in (10, 1000, 10**9))


@pytest.mark.parametrize("error", [InvalidRequest("too large"), ValueError("no such key")])
@pytest.mark.parametrize("places", [{0}, {7}, {3, 4}, set(range(8))], ids=str)
async def test_poison_goes_to_the_dead_letters_and_its_neighbours_are_stored(
    journal: FileJournal, letters: Path, clock: Clock, make_record: MakeRecord, places: set[int], error: Exception
) -> None:
    records = [make_record() for _ in range(12)]
    ids = await append_all(journal, records)
    store = ScriptedStore()
    store.poison = {ids[place]: error for place in places}
    drain = await drain_all(journal, store, letters, clock, Sleeps())
    assert store.stored == [id_ for place, id_ in enumerate(ids) if place not in places]
    lines = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [Record.model_validate(line["record"]) for line in lines] == [records[place] for place in sorted(places)]
    assert all(str(error) in line["reason"] for line in lines)
    assert (drain.stats.dead_letters, drain.stats.stored_records) == (len(places), 12 - len(places))
    assert journal.undrained_records == 0
    with pytest.raises(StorageUnavailable):
        await journal.stored(ids[min(places)])


async def test_poison_is_not_dropped_while_the_dead_letters_cannot_be_written(
    journal: FileJournal, letters: Path, clock: Clock, make_record: MakeRecord
) -> None:
    (poison,) = await append_all(journal, [make_record()])
    store = ScriptedStore()
    store.poison = {poison: ValueError("no")}
    letters.parent.write_text("a file where the folder should be")

    async def mend(seconds: float) -> None:
        assert journal.undrained_records == 1
        letters.parent.unlink()

    drain = Drain(journal, store, DeadLetterFile(letters), clock, sleep=mend)
    drain.start()
    await drain.close(timeout_s=30)
    assert len(letters.read_text().splitlines()) == 1
    assert drain.stats.retries == 1


async def test_a_line_that_was_cut_off_does_not_spoil_the_next_dead_letter(
    letters: Path, clock: Clock, make_record: MakeRecord
) -> None:
    letters.parent.mkdir()
    letters.write_text('{"at": "20')
    await DeadLetterFile(letters).add(make_record(), "why", clock.now())
    assert json.loads(letters.read_text().splitlines()[1])["reason"] == "why"


async def test_what_cannot_be_stored_in_time_stays_in_the_journal(
    tmp_path: Path, letters: Path, clock: Clock, make_record: MakeRecord
) -> None:
    journal = await FileJournal.open(tmp_path / "journal", clock)
    record = make_record()
    await journal.append(record)
    store = ScriptedStore()
    store.held = asyncio.Event()
    drain = Drain(journal, store, DeadLetterFile(letters), clock)
    drain.start()
    await drain.close(timeout_s=0.01)
    assert not drain.running
    await journal.close()
    again = await FileJournal.open(tmp_path / "journal", clock)
    assert again.undrained(record.id) == record
    await again.close()


async def test_a_defect_in_a_store_is_loud_and_loses_nothing(
    journal: FileJournal, letters: Path, clock: Clock, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    await append_all(journal, [make_record()])
    store = ScriptedStore()
    store.failures = [TypeError("a bug")]
    await drain_all(journal, store, letters, clock, Sleeps())
    assert "the drain ended by a defect" in caplog.text
    assert journal.undrained_records == 1


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_caller_who_waits_for_stored_finds_the_record_in_the_store(
    tmp_path: Path, journal: FileJournal, letters: Path, clock: Clock, make_record: MakeRecord, concurrency: int
) -> None:
    store = await SqliteResultStore.open(tmp_path / "results.db")
    drain = Drain(journal, store, DeadLetterFile(letters), clock, concurrency=concurrency)
    drain.start()

    async def photo() -> None:
        record = make_record()
        await journal.append(record)
        await journal.stored(record.id)
        assert await store.get(record.id) == record

    await asyncio.gather(*(photo() for _ in range(40)))
    await drain.close(timeout_s=30)
    await store.close()
