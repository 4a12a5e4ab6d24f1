"""What is particular to Cosmos DB; the rest is in tests/conformance/test_result_store.py."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from contract.ids import new_id, partition_of
from contract.record import Record
from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.ports import ListQuery
from gateway.storage.cosmos import layout
from gateway.storage.cosmos.client import CosmosOptions
from gateway.storage.cosmos.store import CosmosResultStore
from tests.support.cosmos_fake import KEY, CosmosFake, Fault, running_fake

MakeRecord = Callable[..., Record]
START = datetime(2026, 11, 22, 8, tzinfo=UTC)


def record_ids(fake: CosmosFake) -> list[str]:
    """Ids of the records in the container, without the catalogue."""
    return [doc["id"] for doc in fake.container().documents.values() if doc["day"] != layout.CATALOGUE[0]]


async def test_a_point_read_needs_the_id_alone_and_asks_one_partition(opened: Any, make_record: MakeRecord) -> None:
    record = make_record()
    await opened.store.upsert([record])
    opened.fake.log.clear()
    assert await opened.store.get(record.id) == record
    assert opened.fake.operations("read") == [200]
    assert len(opened.fake.log) == 1
    ((key, _),) = [item for item in opened.fake.container().documents if item[1] == str(record.id)]
    assert "/".join(key) == partition_of(record.id)


@pytest.mark.parametrize(
    ("status", "sub_status", "retry_after_ms"),
    [
        (408, None, None), (410, 1002, None), (449, None, 10), (500, None, None), (503, None, None), (429, 3200, 700),
        (401, None, None), (403, 5300, None), (404, 1003, None), (404, 1002, None), (409, None, None),
    ],
)  # fmt: skip
async def test_what_passes_is_unavailable_and_no_poison(
    opened: Any, make_record: MakeRecord, status: int, sub_status: int | None, retry_after_ms: int | None
) -> None:
    record = make_record()
    await opened.store.upsert([record])
    for call in (opened.store.upsert([make_record()]), opened.store.get(record.id), opened.store.list(ListQuery(1))):
        fault = Fault(status, times=100, sub_status=sub_status, retry_after_ms=retry_after_ms)
        opened.fake.faults = [fault]
        with pytest.raises(StorageUnavailable) as refusal:
            await call
        assert refusal.value.retry_after_s == (None if retry_after_ms is None else retry_after_ms / 1000)
    opened.fake.faults = []
    assert await opened.store.get(record.id) == record


@pytest.mark.parametrize("status", [400, 413])
async def test_a_refused_write_is_poison_and_a_refused_read_is_not(
    opened: Any, make_record: MakeRecord, status: int
) -> None:
    opened.fake.faults = [Fault(status, times=100)]
    with pytest.raises(InvalidRequest):
        await opened.store.upsert([make_record()])
    with pytest.raises(StorageUnavailable):
        await opened.store.list(ListQuery(1))


async def test_429_is_not_retried_by_the_sdk(opened: Any, make_record: MakeRecord) -> None:
    await opened.store.upsert([make_record()])
    opened.fake.log.clear()
    opened.fake.faults = [Fault(429, times=100, retry_after_ms=5)]
    for call in (opened.store.upsert([make_record()]), opened.store.get(new_id(0)), opened.store.list(ListQuery(1))):
        with pytest.raises(StorageUnavailable):
            await call
    assert [status for _, status, _ in opened.fake.log] == [429, 429, 429]


@pytest.mark.parametrize("kind", ["silent", "drop", "cut"])
async def test_an_answer_that_does_not_come_whole_is_unavailable_and_a_retry_stores_once(
    fake: CosmosFake, make_record: MakeRecord, kind: str
) -> None:
    store = await CosmosResultStore.open(CosmosOptions(fake.endpoint, SecretStr(KEY), timeout_s=0.3))
    record = make_record()
    await store.upsert([record])
    other = make_record()
    fake.faults = [Fault(kind, times=20, only=name) for name in ("batch", "query", "read")]
    for call in (store.upsert([other]), store.get(record.id), store.list(ListQuery(1))):
        with pytest.raises(StorageUnavailable):
            await call
    fake.faults = []
    await store.upsert([other])
    assert sorted(record_ids(fake)) == sorted([str(record.id), str(other.id)])
    await store.close()


async def test_a_batch_is_split_at_a_hundred_operations(opened: Any, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(1900)]
    await opened.store.upsert(records)
    assert len(record_ids(opened.fake)) == 1900
    batches = opened.fake.operations("batch")
    buckets = Counter(partition_of(record.id) for record in records)
    assert len(batches) == 1 + sum(-(-count // 100) for count in buckets.values())
    assert set(batches) == {200}


async def test_requests_at_once_are_bounded(fake: CosmosFake, make_record: MakeRecord) -> None:
    store = await CosmosResultStore.open(CosmosOptions(fake.endpoint, SecretStr(KEY), concurrency=3))
    await store.upsert([make_record()])
    fake.faults = [Fault("silent", times=100)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.upsert([make_record() for _ in range(200)]), timeout=0.3)
    assert 100 - fake.faults[0].times == 3
    fake.released.set()
    await store.close()


async def test_what_a_failed_write_did_store_is_not_written_again(opened: Any, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(60)]
    await opened.store.upsert(records[:1])
    opened.fake.log.clear()
    opened.fake.faults = [Fault(429, times=3, retry_after_ms=50, only="batch", skip=2)]
    with pytest.raises(StorageUnavailable) as refusal:
        await opened.store.upsert(records)
    assert refusal.value.retry_after_s == 0.05
    first = opened.fake.operations("batch")
    await opened.store.upsert(records)
    assert len(opened.fake.operations("batch")) == len(first) + 3
    assert sorted(record_ids(opened.fake)) == sorted(str(record.id) for record in records)
    changed = records[0].model_copy(update={"release": "another@2"})
    await opened.store.upsert([changed])
    assert await opened.store.get(changed.id) == changed


async def test_a_number_that_json_cannot_say_is_poison(opened: Any, make_record: MakeRecord) -> None:
    record = make_record()
    timings = record.timings_ms.model_copy(update={"total": float("nan")})
    with pytest.raises(InvalidRequest):
        await opened.store.upsert([record.model_copy(update={"timings_ms": timings})])


async def test_records_expire_and_the_catalogue_does_not(make_record: MakeRecord) -> None:
    now = 1_800_000_000.0
    async with running_fake(lambda: now) as fake:
        store = await CosmosResultStore.open(CosmosOptions(fake.endpoint, SecretStr(KEY), ttl_s=3600))
        record = make_record()
        await store.upsert([record])
        now += 3599
        assert await store.get(record.id) == record
        now += 2
        with pytest.raises(RecordNotFound):
            await store.get(record.id)
        assert (await store.list(ListQuery(limit=1))).records == ()
        later = make_record()
        await store.upsert([later])
        assert (await store.list(ListQuery(limit=9))).records == (later,)
        await store.close()


async def test_every_reply_is_metered_those_of_failures_too(opened: Any, make_record: MakeRecord) -> None:
    record = make_record()
    await opened.store.upsert([record])
    await opened.store.get(record.id)
    with pytest.raises(RecordNotFound):
        await opened.store.get(new_id(0))
    await opened.store.list(ListQuery(limit=1))
    await opened.store.counts_by_day(START, START + timedelta(days=1))
    opened.fake.faults = [Fault(429, times=1)]
    with pytest.raises(StorageUnavailable):
        await opened.store.upsert([make_record()])
    # The SDK's own reading of the partition map is the one thing that it shows to nobody.
    said = sum(charge for name, _, charge in opened.fake.log if name != "pkranges")
    assert sum(units for _, units in opened.charges) == pytest.approx(said)
    assert {name for name, _ in opened.charges} == {"upsert", "get", "list", "counts"}


async def test_the_container_is_made_once_with_its_key_and_indices(fake: CosmosFake) -> None:
    options = CosmosOptions(fake.endpoint, SecretStr(KEY), ttl_s=60)
    for _ in range(2):
        await (await CosmosResultStore.open(options)).close()
    properties = fake.container().properties
    assert properties["partitionKey"] == {"paths": ["/day", "/bucket"], "kind": "MultiHash", "version": 2}
    assert properties["indexingPolicy"] == layout.INDEXING_POLICY
    assert properties["defaultTtl"] == 60
    assert [status for name, status, _ in fake.log if name == "colls"].count(201) == 1


async def test_a_container_with_another_key_is_refused(fake: CosmosFake) -> None:
    options = CosmosOptions(fake.endpoint, SecretStr(KEY))
    await (await CosmosResultStore.open(options)).close()
    fake.container().properties["partitionKey"] = {"paths": ["/id"], "kind": "Hash", "version": 2}
    with pytest.raises(ValueError, match="another partition key"):
        await CosmosResultStore.open(options)


async def test_a_service_that_is_away_at_the_start_is_found_later(
    fake: CosmosFake, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults = [Fault(503, times=1000, only="account")]
    store = await CosmosResultStore.open(CosmosOptions(fake.endpoint, SecretStr(KEY)))
    assert "records wait in the journal" in caplog.text
    record = make_record()
    with pytest.raises(StorageUnavailable):
        await store.upsert([record])
    fake.faults = []
    await store.upsert([record])
    assert await store.get(record.id) == record
    await store.close()


async def test_a_wrong_key_is_said_and_never_shown(fake: CosmosFake, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "d3Jvbmcga2V5IHdyb25nIGtleQ=="
    store = await CosmosResultStore.open(CosmosOptions(fake.endpoint, SecretStr(wrong)))
    with pytest.raises(StorageUnavailable, match="credentials"):
        await store.get(new_id(0))
    assert wrong not in caplog.text
    await store.close()


async def test_a_container_that_was_deleted_is_made_again(opened: Any, make_record: MakeRecord) -> None:
    record = make_record()
    await opened.store.upsert([record])
    opened.fake.databases.clear()
    with pytest.raises(StorageUnavailable):
        await opened.store.upsert([record])
    await opened.store.upsert([record])
    assert (await opened.store.list(ListQuery(limit=1))).records == (record,)


@pytest.mark.parametrize("endpoint", ["", "account.documents.azure.com", "http://account.documents.azure.com"])
def test_an_endpoint_that_is_no_url_or_would_show_the_key_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        CosmosOptions(endpoint, SecretStr(KEY))
