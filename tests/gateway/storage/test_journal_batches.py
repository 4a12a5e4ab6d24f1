from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.ports import Clock
from gateway.storage.journal import FileJournal
from tests.support.journals import HeldFsync, next_batch

MakeRecord = Callable[..., Record]


async def test_batches_keep_the_order_and_come_again_until_committed(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    journal = await FileJournal.open(tmp_path, clock, batch_records=3)
    records = [make_record() for _ in range(7)]
    for record in records:
        await journal.append(record)
    assert await next_batch(journal) == records[:3]
    assert await next_batch(journal) == records[:3]
    journal.seal()
    seen: list[Record] = []
    async for batch in journal.batches():
        seen += batch
        await journal.commit(batch)
    assert seen == records
    assert (journal.undrained_records, journal.undrained_bytes) == (0, 0)
    await journal.close()


@pytest.fixture
async def gathering(tmp_path: Path, clock: Clock) -> AsyncIterator[FileJournal]:
    """A journal that would let records gather for longer than any test takes."""
    opened = await FileJournal.open(tmp_path / "gathering", clock, batch_records=3, gather_s=600)
    yield opened
    await opened.close()


async def test_records_gather_until_there_is_a_batch(gathering: FileJournal, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(3)]
    waiting = asyncio.ensure_future(next_batch(gathering))
    for record in records:
        assert not waiting.done()
        await gathering.append(record)
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(waiting, 10) == records


async def test_nothing_gathers_while_somebody_waits_for_the_store(
    gathering: FileJournal, make_record: MakeRecord
) -> None:
    record = make_record()
    await gathering.append(record)
    waiting = asyncio.ensure_future(next_batch(gathering))
    stored = asyncio.ensure_future(gathering.stored(record.id))
    assert await asyncio.wait_for(waiting, 10) == [record]
    await gathering.commit([record])
    await asyncio.wait_for(stored, 10)
    # The next one has nobody who waits for it.
    await gathering.append(make_record())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(next_batch(gathering), 0.05)


async def test_nothing_gathers_in_a_journal_that_is_sealed(gathering: FileJournal, make_record: MakeRecord) -> None:
    record = make_record()
    await gathering.append(record)
    waiting = asyncio.ensure_future(next_batch(gathering))
    await asyncio.sleep(0.01)
    gathering.seal()
    assert await asyncio.wait_for(waiting, 10) == [record]


async def test_records_gather_for_so_long_and_no_longer(tmp_path: Path, clock: Clock, make_record: MakeRecord) -> None:
    journal = await FileJournal.open(tmp_path, clock, gather_s=0.01)
    record = make_record()
    await journal.append(record)
    assert await asyncio.wait_for(next_batch(journal), 10) == [record]
    await journal.close()


async def test_batches_wait_for_records_and_end_when_sealed_and_empty(
    journal: FileJournal, make_record: MakeRecord
) -> None:
    batches = aiter(journal.batches())
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    record = make_record()
    await journal.append(record)
    assert await waiting == [record]
    await journal.commit([record])
    journal.seal()
    with pytest.raises(StopAsyncIteration):
        await anext(batches)
    with pytest.raises(StorageUnavailable):
        await journal.append(make_record())


async def test_batches_do_not_end_before_a_group_that_is_being_written(
    journal: FileJournal, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HeldFsync(monkeypatch)
    record = make_record()
    append = asyncio.create_task(journal.append(record))
    await disk.begins()
    journal.seal()
    waiting = asyncio.ensure_future(next_batch(journal))
    await asyncio.sleep(0)
    disk.let_go.set()
    assert await waiting == [record]
    await append


async def test_commit_takes_only_what_was_given_or_the_oldest(journal: FileJournal, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(3)]
    for record in records:
        await journal.append(record)
    with pytest.raises(ValueError, match="batch"):
        await journal.commit(records[1:])
    assert journal.undrained_records == 3


async def test_stored_returns_when_the_record_is_committed(journal: FileJournal, make_record: MakeRecord) -> None:
    first, second = make_record(), make_record()
    await journal.append(first)
    await journal.append(second)
    waits = [asyncio.create_task(journal.stored(record.id)) for record in (first, second)]
    left = asyncio.create_task(journal.stored(first.id))
    await asyncio.sleep(0)
    left.cancel()
    await journal.commit([first])
    await waits[0]
    assert not waits[1].done()
    await journal.commit([second])
    await waits[1]
    await journal.stored(first.id)
    assert journal.undrained(first.id) is None


async def test_stored_does_not_claim_a_dead_letter(journal: FileJournal, make_record: MakeRecord) -> None:
    good, poison = make_record(), make_record()
    for record in (good, poison):
        await journal.append(record)
    waits = [asyncio.create_task(journal.stored(record.id)) for record in (good, poison)]
    await asyncio.sleep(0)
    await journal.commit([good, poison], dead_letters={poison.id})
    await waits[0]
    with pytest.raises(StorageUnavailable):
        await waits[1]
    with pytest.raises(StorageUnavailable):
        await journal.stored(poison.id)


async def test_closing_first_tells_those_who_wait_for_the_store(journal: FileJournal, make_record: MakeRecord) -> None:
    record = make_record()
    await journal.append(record)
    waiting = asyncio.create_task(journal.stored(record.id))
    await asyncio.sleep(0)
    await journal.close()
    with pytest.raises(StorageUnavailable):
        await waiting
    with pytest.raises(StorageUnavailable):
        await journal.stored(record.id)
