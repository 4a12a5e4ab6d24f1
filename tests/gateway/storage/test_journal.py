from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest

from contract.record import Record
from gateway.errors import Overloaded, StorageUnavailable
from gateway.ports import Clock
from gateway.storage.journal import FileJournal
from tests.support.journals import HeldFsync, next_batch

MakeRecord = Callable[..., Record]


class ManualClock(Clock, Protocol):
    time: datetime


async def test_an_append_returns_after_its_fsync_and_not_before(
    journal: FileJournal, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HeldFsync(monkeypatch)
    record = make_record()
    append = asyncio.create_task(journal.append(record))
    await disk.begins()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not append.done()
    assert journal.undrained(record.id) is None
    disk.let_go.set()
    await append
    assert journal.undrained(record.id) == record


async def test_appends_that_come_during_an_fsync_share_the_next_one(
    journal: FileJournal, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HeldFsync(monkeypatch)
    first = asyncio.create_task(journal.append(make_record()))
    await disk.begins()
    others = [asyncio.create_task(journal.append(make_record())) for _ in range(63)]
    await asyncio.sleep(0)
    disk.let_go.set()
    await asyncio.gather(first, *others)
    assert disk.count == journal.stats.groups == 2
    assert journal.stats.appended_records == 64


async def test_callers_who_leave_do_not_disturb_their_group(
    journal: FileJournal, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HeldFsync(monkeypatch)
    records = [make_record() for _ in range(6)]
    appends = [asyncio.create_task(journal.append(record)) for record in records]
    await disk.begins()
    for append in appends[::2]:
        append.cancel()
    disk.let_go.set()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 3
    await journal.append(make_record())
    assert list(await next_batch(journal))[:6] == records


async def test_closing_flushes_what_was_begun(tmp_path: Path, clock: Clock, make_record: MakeRecord) -> None:
    journal = await FileJournal.open(tmp_path, clock)
    records = [make_record() for _ in range(5)]
    appends = [asyncio.create_task(journal.append(record)) for record in records]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*appends)
    again = await FileJournal.open(tmp_path, clock)
    assert await next_batch(again) == records
    await again.close()


async def test_beyond_the_bound_callers_are_told_to_come_back_and_may_after_a_drain(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    journal = await FileJournal.open(tmp_path, clock, max_bytes=3000)
    kept: list[Record] = []
    with pytest.raises(Overloaded) as refusal:
        while True:
            record = make_record()
            await journal.append(record)
            kept.append(record)
    assert refusal.value.retry_after_s
    assert len(kept) > 1
    assert 0 < journal.undrained_bytes <= 3000
    assert journal.stats.refused_records == 1
    assert await next_batch(journal) == kept
    await journal.commit(kept)
    await journal.append(make_record())
    await journal.close()


async def test_the_bound_counts_what_is_not_written_yet(tmp_path: Path, clock: Clock, make_record: MakeRecord) -> None:
    journal = await FileJournal.open(tmp_path, clock, max_bytes=3000)
    outcomes = await asyncio.gather(*(journal.append(make_record()) for _ in range(50)), return_exceptions=True)
    assert any(isinstance(outcome, Overloaded) for outcome in outcomes)
    assert journal.undrained_bytes <= 3000
    assert journal.undrained_records == outcomes.count(None)
    await journal.close()


async def test_drained_segments_are_deleted_and_their_numbers_not_used_again(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    journal = await FileJournal.open(tmp_path, clock, segment_bytes=1500, batch_records=4)
    records = [make_record() for _ in range(20)]
    for record in records:
        await journal.append(record)
    before = sorted(path.name for path in tmp_path.glob("*.journal"))
    assert len(before) > 5
    journal.seal()
    async for batch in journal.batches():
        await journal.commit(batch)
    assert len(list(tmp_path.glob("*.journal"))) == 1
    await journal.close()
    await (await FileJournal.open(tmp_path, clock)).close()
    again = await FileJournal.open(tmp_path, clock)
    assert list(tmp_path.glob("*.journal")) == []
    assert again.undrained_records == 0
    record = make_record()
    await again.append(record)
    assert [path.name > before[-1] for path in tmp_path.glob("*.journal")] == [True]
    await again.close()
    third = await FileJournal.open(tmp_path, clock)
    assert await next_batch(third) == [record]
    await third.close()


async def test_only_what_is_behind_the_checkpoint_is_replayed(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    journal = await FileJournal.open(tmp_path, clock)
    records = [make_record() for _ in range(6)]
    for record in records:
        await journal.append(record)
    await journal.commit(records[:4])
    await journal.close()
    again = await FileJournal.open(tmp_path, clock)
    assert await next_batch(again) == records[4:]
    assert again.undrained(records[5].id) == records[5]
    assert again.undrained(records[0].id) is None
    await again.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"segment": "x", "offset": null}'])
async def test_an_unreadable_checkpoint_replays_everything(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, content: bytes
) -> None:
    journal = await FileJournal.open(tmp_path, clock)
    records = [make_record() for _ in range(3)]
    for record in records:
        await journal.append(record)
    await journal.commit(records[:1])
    await journal.close()
    (tmp_path / "checkpoint").write_bytes(content)
    again = await FileJournal.open(tmp_path, clock)
    assert await next_batch(again) == records
    await again.close()


async def test_a_second_opener_is_refused_until_the_first_closes(tmp_path: Path, clock: Clock) -> None:
    journal = await FileJournal.open(tmp_path, clock)
    with pytest.raises(StorageUnavailable, match=f"in use by process {os.getpid()}"):
        await FileJournal.open(tmp_path, clock)
    await journal.close()
    again = await FileJournal.open(tmp_path, clock)
    await again.close()


async def test_an_unusable_directory_is_said_so(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable):
        await FileJournal.open(tmp_path / "file" / "journal", clock)


async def test_a_full_disk_is_told_to_the_group_and_appends_go_on_when_there_is_room(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await FileJournal.open(tmp_path, clock)
    before, after = make_record(), make_record()
    await journal.append(before)
    size = (tmp_path / "00000001.journal").stat().st_size
    real = os.pwrite

    def half_then_full(fd: int, data: bytes, offset: int) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[: len(data) // 2], offset)

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", half_then_full)
        outcomes = await asyncio.gather(*(journal.append(make_record()) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3
    assert all(isinstance(outcome.__cause__, OSError) for outcome in outcomes if isinstance(outcome, Exception))
    assert (tmp_path / "00000001.journal").stat().st_size == size
    assert journal.undrained_records == 1
    await journal.append(after)
    await journal.close()
    again = await FileJournal.open(tmp_path, clock)
    assert await next_batch(again) == [before, after]
    await again.close()


async def test_after_a_failed_fsync_the_journal_goes_on_in_a_new_segment(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await FileJournal.open(tmp_path, clock)
    before, lost, after = make_record(), make_record(), make_record()
    await journal.append(before)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(StorageUnavailable):
            await journal.append(lost)
    assert journal.undrained(lost.id) is None
    await journal.append(after)
    assert sorted(path.name for path in tmp_path.glob("*.journal")) == ["00000001.journal", "00000002.journal"]
    await journal.close()
    again = await FileJournal.open(tmp_path, clock)
    assert await next_batch(again) == [before, after]
    await again.close()


async def test_a_checkpoint_that_cannot_be_written_costs_nothing_but_a_replay(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    journal = await FileJournal.open(tmp_path, clock)
    (tmp_path / "checkpoint.tmp").mkdir()
    record = make_record()
    await journal.append(record)
    await journal.commit([record])
    await journal.close()
    (tmp_path / "checkpoint.tmp").rmdir()
    again = await FileJournal.open(tmp_path, clock)
    assert await next_batch(again) == [record]
    await again.close()


async def test_the_age_is_that_of_the_oldest_undrained_record(
    journal: FileJournal, clock: ManualClock, make_record: MakeRecord
) -> None:
    old, new = make_record(), make_record()
    assert journal.oldest_age_s == 0.0
    await journal.append(old)
    clock.time += timedelta(seconds=55)
    await journal.append(new)
    assert journal.oldest_age_s == 55.0
    clock.time += timedelta(seconds=1)
    await journal.commit([old])
    assert journal.oldest_age_s == 1.0


async def test_a_clock_that_steps_back_changes_neither_order_nor_what_is_kept(
    tmp_path: Path, clock: ManualClock, make_record: MakeRecord
) -> None:
    def received(at: datetime) -> Record:
        return make_record().model_copy(update={"id": UUID(int=int(at.timestamp() * 1000) << 80), "received_at": at})

    journal = await FileJournal.open(tmp_path, clock)
    records = [received(clock.time + timedelta(seconds=step)) for step in (0, 3600, -7200, 1)]
    for record in records:
        await journal.append(record)
    clock.time -= timedelta(days=1)
    assert journal.oldest_age_s == 0.0, "never negative"
    await journal.commit(records[:1])
    await journal.close()
    again = await FileJournal.open(tmp_path, clock)
    assert await next_batch(again) == records[1:]
    await again.close()


async def test_a_disk_that_has_no_room_for_a_new_segment_is_told_and_service_goes_on_with_room(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await FileJournal.open(tmp_path, clock, segment_bytes=100)
    before, after = make_record(), make_record()
    await journal.append(before)

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                await journal.append(make_record())
    assert journal.stats.failed_groups == 3
    await journal.append(after)
    assert await next_batch(journal) == [before, after]
    await journal.commit([before, after])
    await journal.close()
