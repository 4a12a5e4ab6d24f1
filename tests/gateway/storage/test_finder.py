"""Every place where an acknowledged record can be, and what finding it there costs and says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest

from contract.record import Record
from gateway.errors import InvalidRequest, RecordNotFound
from gateway.ports import Clock
from gateway.storage.dead_letters import DeadLetterFile
from gateway.storage.drain import Drain
from gateway.storage.finder import RecordFinder
from gateway.storage.journal import FileJournal
from gateway.storage.siblings import SiblingJournals, journal_directories, journal_directory
from gateway.storage.sqlite import SqliteResultStore

MakeRecord = Callable[..., Record]


class Worker:
    """One worker's storage: a journal of its own, a store and dead letters that all share."""

    def __init__(self, root: Path, slot: int, journal: FileJournal, store: SqliteResultStore) -> None:
        own = journal_directory(root, slot)
        self.journal, self.store = journal, store
        self.letters = DeadLetterFile(root / "letters.jsonl")
        self.find = RecordFinder(journal, store, SiblingJournals(root, own), self.letters).find  # type: ignore[arg-type]


@pytest.fixture
async def workers(tmp_path: Path, clock: Clock) -> AsyncIterator[list[Worker]]:
    made = []
    for slot in range(2):
        journal = await FileJournal.open(journal_directory(tmp_path, slot), clock, segment_bytes=3000)
        store = await SqliteResultStore.open(tmp_path / "results.sqlite")
        made.append(Worker(tmp_path, slot, journal, store))
    yield made
    for worker in made:
        await worker.journal.close()
        await worker.store.close()


async def test_a_record_is_found_in_another_journal_in_the_store_and_nowhere(
    workers: list[Worker], clock: Clock, make_record: MakeRecord
) -> None:
    one, other = workers
    records = [make_record() for _ in range(12)]
    for record in records:
        await one.journal.append(record)
    for record in records:
        assert await one.find(record.id) == await other.find(record.id) == record
    with pytest.raises(RecordNotFound):
        await other.find(make_record().id)
    drain = Drain(one.journal, one.store, one.letters, clock)  # type: ignore[arg-type]
    drain.start()
    await drain.close(30)
    for record in records:
        assert await one.find(record.id) == await other.find(record.id) == record
    await one.journal.close()
    assert await other.find(records[0].id) == records[0]


async def test_the_last_version_is_found_and_a_write_in_progress_is_not(
    tmp_path: Path, workers: list[Worker], make_record: MakeRecord
) -> None:
    one, other = workers
    first, torn = make_record(), make_record()
    last = first.model_copy(update={"count": 9})
    for record in (first, make_record(), last, torn):
        await one.journal.append(record)
    assert await other.find(first.id) == last
    (segment,) = [
        path for path in journal_directory(tmp_path, 0).glob("*.journal") if str(torn.id) in path.read_text("latin-1")
    ]
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 1)
    with pytest.raises(RecordNotFound):
        await other.find(torn.id)
    assert await other.find(first.id) == last


async def test_a_record_that_is_drained_between_two_looks_is_found(
    tmp_path: Path, workers: list[Worker], make_record: MakeRecord
) -> None:
    one, other = workers
    record = make_record()
    await one.journal.append(record)

    class DrainedMeanwhile:
        def exist(self) -> bool:
            return True

        async def undrained(self, record_id: UUID) -> None:
            await one.store.upsert([record])
            await one.journal.commit([record])

    find = RecordFinder(other.journal, other.store, DrainedMeanwhile(), other.letters).find  # type: ignore[arg-type]
    assert await find(record.id) == record


async def test_a_record_that_the_store_refused_is_still_answered_by_every_worker(
    workers: list[Worker], clock: Clock, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    poison, good = make_record(), make_record()
    with pytest.raises(RecordNotFound):
        await other.find(poison.id)
    for record in (poison, good):
        await one.journal.append(record)
    upsert = one.store.upsert

    async def picky(records: list[Record]) -> None:
        if poison in records:
            raise InvalidRequest("no")
        await upsert(records)

    monkeypatch.setattr(one.store, "upsert", picky)
    drain = Drain(one.journal, one.store, one.letters, clock)  # type: ignore[arg-type]
    drain.start()
    await drain.close(30)
    assert drain.stats.dead_letters == 1
    for worker in workers:
        assert await worker.find(poison.id) == poison
        assert await worker.find(good.id) == good


async def test_letters_are_read_on_from_where_they_were_and_anew_when_a_person_mended_the_file(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    path = tmp_path / "letters.jsonl"
    letters, writer = DeadLetterFile(path), DeadLetterFile(path)
    records = [make_record() for _ in range(3)]
    assert await letters.get(records[0].id) is None
    for record in records:
        await writer.add(record, 'said "id": "00000000-0000-0000-0000-000000000000"', clock.now())
        assert await letters.get(record.id) == record
    assert await DeadLetterFile(path).get(records[1].id) == records[1]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "garbage\n" + lines[2])
    assert await letters.get(records[0].id) == records[0]
    assert await letters.get(records[1].id) is None
    with path.open("a") as file:
        file.write(lines[1][:-20])
    assert await letters.get(records[1].id) is None, "a line that is being written"
    with path.open("a") as file:
        file.write(lines[1][-20:])
    assert await letters.get(records[1].id) == records[1]
    path.unlink()
    assert await letters.get(records[0].id) is None


async def test_workers_that_add_letters_at_once_spoil_none(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    path = tmp_path / "letters.jsonl"
    writers = [DeadLetterFile(path) for _ in range(4)]
    records = [make_record() for _ in range(40)]
    await asyncio.gather(*(writers[n % 4].add(record, "no", clock.now()) for n, record in enumerate(records)))
    found = {json.loads(line)["record"]["id"] for line in path.read_text().splitlines()}
    assert found == {str(record.id) for record in records}


async def test_without_other_journals_a_miss_asks_the_store_once(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    asked: list[UUID] = []

    class Empty:
        async def get(self, record_id: UUID) -> Record:
            asked.append(record_id)
            raise RecordNotFound("no such record")

    own = journal_directory(tmp_path, None)
    journal = await FileJournal.open(own, clock)
    letters = DeadLetterFile(tmp_path / "letters.jsonl")
    find = RecordFinder(journal, Empty(), SiblingJournals(tmp_path, own), letters).find  # type: ignore[arg-type]
    record = make_record()
    with pytest.raises(RecordNotFound):
        await find(record.id)
    assert asked == [record.id]
    await journal.close()


def test_only_journals_are_journals(tmp_path: Path) -> None:
    for name in ("journal", "journal-0", "journal-10", "journal-old", "journals", "blobs"):
        (tmp_path / name).mkdir()
    (tmp_path / "journal-2").write_text("a file")
    assert {path.name for path in journal_directories(tmp_path)} == {"journal", "journal-0", "journal-10"}
