"""What is left after a process or a disk fails. The children are real processes that are really killed."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.ports import Clock
from gateway.storage import frames
from gateway.storage.journal import FileJournal
from gateway.storage.recovery import recover

MakeRecord = Callable[..., Record]
REPOSITORY = Path(__file__).parents[3]
FIRST = "00000001.journal"


async def recovered(directory: Path, clock: Clock) -> list[Record]:
    journal = await FileJournal.open(directory, clock, batch_records=1_000_000)
    journal.seal()
    records: list[Record] = []
    async for batch in journal.batches():
        records += batch
        break
    await journal.close()
    return records


async def write(directory: Path, clock: Clock, records: list[Record]) -> bytes:
    """A journal with these records in its first segment; the segment's bytes."""
    journal = await FileJournal.open(directory, clock)
    for record in records:
        await journal.append(record)
    await journal.close()
    return (directory / FIRST).read_bytes()


def child(mode: str, directory: Path, template: Record) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("journal_child.py")), mode, str(directory)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(template.model_dump_json(by_alias=True))
    process.stdin.close()
    return process


@pytest.mark.parametrize("acknowledged", [1, 50, 400])
async def test_what_a_killed_process_acknowledged_is_all_there(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, acknowledged: int
) -> None:
    process = child("forever", tmp_path, make_record())
    assert process.stdout is not None
    ids = [process.stdout.readline().strip() for _ in range(acknowledged)]
    process.send_signal(signal.SIGKILL)
    ids += process.stdout.read().split()  # acknowledged before the signal came
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    ids = [text for text in ids if len(text) == 36]
    assert len(ids) >= acknowledged
    found = {str(record.id) for record in await recovered(tmp_path, clock)}
    assert set(ids) <= found


async def test_a_full_disk_in_a_process_that_then_dies_loses_nothing_acknowledged(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    process = child("full", tmp_path, make_record())
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    *ids, last = output.split()
    assert last == "done"
    assert len(ids) > 2
    assert [str(record.id) for record in await recovered(tmp_path, clock)] == ids


async def test_a_tail_torn_at_any_byte_costs_only_its_own_record(
    tmp_path: Path, clock: Clock, make_record: MakeRecord
) -> None:
    records = [make_record(), make_record()]
    whole = await write(tmp_path / "whole", clock, records)
    last = frames.scan(whole).frames[-1]
    for cut in range(last.start, last.end):
        directory = tmp_path / "cut"
        directory.mkdir()
        (directory / FIRST).write_bytes(whole[:cut])
        found = recover(directory).records
        assert [item.record_id for item in found] == [records[0].id], cut
        assert (directory / FIRST).read_bytes() == whole[: last.start], cut
        assert list(directory.glob("*.corrupt")) == []
        shutil.rmtree(directory)


@pytest.mark.parametrize("length", range(len(frames.HEADER) + 1))
async def test_a_segment_torn_in_its_header_is_empty(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, length: int
) -> None:
    (tmp_path / FIRST).write_bytes(frames.HEADER[:length])
    journal = await FileJournal.open(tmp_path, clock)
    assert journal.undrained_records == 0
    await journal.append(make_record())
    await journal.close()


@pytest.mark.parametrize("place", ["length", "checksum", "payload"])
async def test_damage_in_the_middle_costs_one_record_and_is_kept_and_reported(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    records = [make_record() for _ in range(4)]
    whole = bytearray(await write(tmp_path, clock, records))
    second = frames.scan(bytes(whole)).frames[1]
    whole[second.start + {"length": 1, "checksum": 5, "payload": 100}[place]] ^= 0x10
    (tmp_path / FIRST).write_bytes(whole)
    with caplog.at_level(logging.ERROR):
        journal = await FileJournal.open(tmp_path, clock)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert f"{second.end - second.start} bytes in 1 places" in message
    assert "3 were recovered" in message
    intact = [records[0], *records[2:]]
    journal.seal()
    async for batch in journal.batches():
        assert batch == intact
        await journal.commit(batch)
    await journal.close()
    # Drained and deleted, but still there for a person.
    assert await recovered(tmp_path, clock) == []
    assert not (tmp_path / FIRST).exists()
    assert (tmp_path / f"{FIRST}.corrupt").read_bytes() == whole


async def test_an_intact_frame_that_is_no_record_is_kept_and_reported(
    tmp_path: Path, clock: Clock, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    record = make_record()
    whole = await write(tmp_path, clock, [record])
    (tmp_path / FIRST).write_bytes(whole + frames.encode(b'{"not": "a record"}'))
    assert await recovered(tmp_path, clock) == [record]
    assert "1 records cannot be read" in caplog.text
    assert (tmp_path / f"{FIRST}.corrupt").exists()


async def test_a_segment_of_another_format_is_refused_and_left_alone(tmp_path: Path, clock: Clock) -> None:
    content = frames.MAGIC + bytes([frames.VERSION + 1]) + b"whatever"
    (tmp_path / FIRST).write_bytes(content)
    for _ in range(2):  # the lock is given back
        with pytest.raises(StorageUnavailable, match="another format"):
            await FileJournal.open(tmp_path, clock)
    assert (tmp_path / FIRST).read_bytes() == content
