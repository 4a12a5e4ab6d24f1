"""The real drain between a real journal and Cosmos DB: every record once, poison apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contract.record import Record
from gateway.clock import SystemClock
from gateway.errors import RecordNotFound
from gateway.storage.cosmos import layout
from gateway.storage.dead_letters import DeadLetterFile
from gateway.storage.drain import Drain
from gateway.storage.journal import FileJournal
from tests.support.cosmos_fake import CosmosFake, Fault

MakeRecord = Callable[..., Record]
START = datetime(2026, 11, 22, 8, tzinfo=UTC)


def record_ids(fake: CosmosFake) -> list[str]:
    """Ids of the records in the container, without the catalogue."""
    return [doc["id"] for doc in fake.container().documents.values() if doc["day"] != layout.CATALOGUE[0]]


async def test_a_drain_over_its_rate_stores_every_record_once(
    opened: Any, make_record: MakeRecord, tmp_path: Path
) -> None:
    clock = SystemClock()
    journal = await FileJournal.open(tmp_path / "journal", clock, batch_records=50)
    records = [make_record() for _ in range(150)]
    await asyncio.gather(*(journal.append(record) for record in records))
    opened.fake.faults = [
        Fault(429, times=9, retry_after_ms=1500, only="batch", skip=4), Fault(500, times=2, only="batch", skip=5),
        Fault("drop", times=2, only="batch", skip=2), Fault("cut", times=2, only="batch", skip=7),
    ]  # fmt: skip
    sleeps: list[float] = []

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        await asyncio.sleep(0)

    drain = Drain(journal, opened.store, DeadLetterFile(tmp_path / "letters"), clock, sleep=sleep)
    drain.start()
    await drain.close(timeout_s=20)
    assert drain.stats.stored_records == 150
    assert max(sleeps) > 1.4  # 1.5 s were asked for, counted from the refusal on
    assert drain.stats.dead_letters == 0
    assert sorted(record_ids(opened.fake)) == sorted(str(record.id) for record in records)
    for record in records:
        assert await opened.store.get(record.id) == record
    await journal.close()


async def test_poison_becomes_a_dead_letter_and_its_neighbours_are_stored(
    opened: Any, make_record: MakeRecord, tmp_path: Path
) -> None:
    clock = SystemClock()
    journal = await FileJournal.open(tmp_path / "journal", clock, batch_records=32)
    records = [make_record() for _ in range(40)]
    large = records[9].model_copy(update={"counts": {"x" * 1_000_000: 1, "y" * 1_200_000: 2}})
    records[9] = large
    refused = str(records[17].id)
    opened.fake.faults = []
    await opened.store.upsert([make_record()])
    opened.fake.container().refuse = lambda document: document["id"] == refused
    await asyncio.gather(*(journal.append(record) for record in records))
    drain = Drain(journal, opened.store, DeadLetterFile(tmp_path / "letters"), clock)
    drain.start()
    await drain.close(timeout_s=20)
    assert (drain.stats.stored_records, drain.stats.dead_letters) == (38, 2)
    for record in records:
        if record.id in (large.id, records[17].id):
            with pytest.raises(RecordNotFound):
                await opened.store.get(record.id)
        else:
            assert await opened.store.get(record.id) == record
    await journal.close()
