"""What every ResultStore must do. To put another implementation under it, add a line to ``OPENERS``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from contract.ids import new_id
from contract.record import Record
from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.ports import DayCount, ListQuery, ResultStore
from gateway.storage.cosmos.client import CosmosOptions
from gateway.storage.cosmos.store import CosmosResultStore
from gateway.storage.sqlite import SqliteResultStore
from tests.support.cosmos_fake import KEY, running_fake
from tests.support.cosmos_npm import adapted, running_server

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
MakeRecord = Callable[..., Record]


@asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[ResultStore]:
    yield await SqliteResultStore.open(request.getfixturevalue("tmp_path") / "results.db")


@asynccontextmanager
async def cosmos_fake(request: pytest.FixtureRequest) -> AsyncIterator[ResultStore]:
    async with running_fake() as fake:
        yield await CosmosResultStore.open(CosmosOptions(fake.endpoint, SecretStr(KEY)))


@asynccontextmanager
async def cosmos_npm(request: pytest.FixtureRequest) -> AsyncIterator[ResultStore]:
    endpoint = request.getfixturevalue("npm_server")
    if request.node.originalname in LACKING_IN_NPM:
        request.applymarker(pytest.mark.xfail(reason=LACKING_IN_NPM[request.node.originalname], strict=True))
    async with adapted(endpoint) as address:
        options = CosmosOptions(address, SecretStr(KEY), database=f"db{uuid4().hex}", endpoint_discovery=False)
        yield await CosmosResultStore.open(options)


OPENERS: dict[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[ResultStore]]] = {
    "sqlite": sqlite,
    "cosmos": cosmos_fake,
    "cosmos-npm": cosmos_npm,
}

LACKING_IN_NPM: dict[str, str] = {
    "test_an_unknown_id_is_not_found": "a point read of a missing item is answered with 500, not 404",
}
"""Cases that the server of npm cannot pass, and why."""


@pytest.fixture(scope="session")
def npm_server() -> Iterator[str]:
    with running_server() as endpoint:
        yield endpoint


@pytest.fixture(params=OPENERS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ResultStore]:
    async with OPENERS[request.param](request) as opened:
        yield opened
        await opened.close()


async def every_page(store: ResultStore, **query: object) -> list[Record]:
    records: list[Record] = []
    token = ""
    while True:
        page = await store.list(ListQuery(page_token=token, **query))  # type: ignore[arg-type]
        assert len(page.records) <= query["limit"]  # type: ignore[operator]
        records += page.records
        token = page.next_page_token
        if not token:
            return records


async def test_a_stored_record_is_read_back_equal(store: ResultStore, make_record: MakeRecord) -> None:
    record = make_record(START + timedelta(microseconds=123456))
    await store.upsert([record, make_record()])
    assert await store.get(record.id) == record


async def test_an_unknown_id_is_not_found(store: ResultStore) -> None:
    with pytest.raises(RecordNotFound):
        await store.get(new_id(1_700_000_000_000))


async def test_writing_an_id_again_replaces_it(store: ResultStore, make_record: MakeRecord) -> None:
    record = make_record(species="red fox")
    other = make_record(species="badger").model_copy(update={"id": record.id})
    await store.upsert([record])
    await store.upsert([other, other])
    assert await store.get(record.id) == other
    assert await every_page(store, limit=10) == [other]
    assert await every_page(store, limit=10, species="red fox") == []


async def test_an_empty_batch_is_no_error(store: ResultStore) -> None:
    await store.upsert([])


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
async def test_pages_give_every_record_once_newest_first(
    store: ResultStore, make_record: MakeRecord, limit: int
) -> None:
    # Two share each moment, so that pages are cut between equals too.
    records = [make_record(START + timedelta(milliseconds=n // 2)) for n in range(7)]
    await store.upsert(records[3:])
    await store.upsert(records[:3])
    assert await every_page(store, limit=limit) == records[::-1]


async def test_a_record_that_comes_while_paging_repeats_and_hides_nothing(
    store: ResultStore, make_record: MakeRecord
) -> None:
    records = [make_record(START + timedelta(seconds=n)) for n in range(4)]
    await store.upsert(records)
    first = await store.list(ListQuery(limit=2))
    await store.upsert([make_record(START + timedelta(seconds=9))])
    second = await store.list(ListQuery(limit=2, page_token=first.next_page_token))
    assert [*first.records, *second.records] == records[::-1]


async def test_a_full_last_page_has_no_next_token(store: ResultStore, make_record: MakeRecord) -> None:
    await store.upsert([make_record(), make_record()])
    assert (await store.list(ListQuery(limit=2))).next_page_token == ""


async def test_filters_narrow_together(store: ResultStore, make_record: MakeRecord) -> None:
    fox, badger, nothing, later_fox = (
        make_record(START + timedelta(seconds=n), species, verdict)
        for n, (species, verdict) in enumerate(
            [("red fox", "animal"), ("badger", "animal"), ("", "empty"), ("red fox", "unknown")]
        )
    )
    await store.upsert([fox, badger, nothing, later_fox])
    assert await every_page(store, limit=1, species="red fox") == [later_fox, fox]
    assert await every_page(store, limit=1, verdict="animal") == [badger, fox]
    assert await every_page(store, limit=1, verdict="empty") == [nothing]
    assert await every_page(store, limit=1, species="red fox", verdict="animal") == [fox]
    assert await every_page(store, limit=1, species="red fox", since=START + timedelta(seconds=1)) == [later_fox]
    assert await every_page(store, limit=1, species="fox") == []


async def test_since_is_inclusive_and_until_exclusive_to_the_microsecond(
    store: ResultStore, make_record: MakeRecord
) -> None:
    tick = timedelta(microseconds=1)
    records = [make_record(START + n * tick) for n in range(4)]
    await store.upsert(records)
    since, until = START + tick, START + 3 * tick
    assert await every_page(store, limit=9, since=since, until=until) == [records[2], records[1]]
    assert await every_page(store, limit=9, since=until) == [records[3]]
    assert await every_page(store, limit=9, until=since) == [records[0]]


async def test_a_time_range_holds_in_other_time_zones(store: ResultStore, make_record: MakeRecord) -> None:
    record = make_record(START)
    await store.upsert([record])
    elsewhere = datetime.fromisoformat("2026-11-22T10:00:00+02:00")
    assert await every_page(store, limit=9, since=elsewhere) == [record]
    assert await every_page(store, limit=9, until=elsewhere) == []


async def test_garbled_page_tokens_are_the_callers_error(store: ResultStore, make_record: MakeRecord) -> None:
    await store.upsert([make_record(), make_record()])
    token = (await store.list(ListQuery(limit=1))).next_page_token
    swapped = token[:5] + ("A" if token[5] != "A" else "B") + token[6:]
    for garbled in ["x", "%%%", "ünlesbar", token[:-2], token + "AAAA", swapped, "A" * len(token), token[::-1]]:
        with pytest.raises(InvalidRequest):
            await store.list(ListQuery(limit=1, page_token=garbled))


async def test_a_page_token_is_safe_in_a_url(store: ResultStore, make_record: MakeRecord) -> None:
    await store.upsert([make_record() for _ in range(20)])
    token = ""
    while token := (await store.list(ListQuery(limit=1, page_token=token))).next_page_token:
        assert token.replace("-", "").replace("_", "").isalnum()


async def test_a_limit_below_one_is_the_callers_error(store: ResultStore) -> None:
    with pytest.raises(InvalidRequest):
        await store.list(ListQuery(limit=0))


def owned(record: Record, owner: str) -> Record:
    return record.model_copy(update={"owner": owner})


async def test_an_owner_sees_only_their_own_records(store: ResultStore, make_record: MakeRecord) -> None:
    mine = [owned(make_record(START + timedelta(seconds=n)), "a") for n in range(3)]
    theirs = [owned(make_record(START + timedelta(seconds=n)), "b") for n in range(3)]
    await store.upsert([*mine, *theirs])
    assert await every_page(store, limit=9, owner="a") == mine[::-1]
    assert await every_page(store, limit=9, owner="nobody") == []
    assert len(await every_page(store, limit=9)) == 6


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_pages_of_an_owner_skip_the_records_of_others(
    store: ResultStore, make_record: MakeRecord, limit: int
) -> None:
    records = [owned(make_record(START + timedelta(hours=5 * n // 2)), "ab"[n % 2]) for n in range(10)]
    await store.upsert(records)
    assert await every_page(store, limit=limit, owner="b") == records[1::2][::-1]
    since = records[5].received_at
    assert await every_page(store, limit=limit, owner="b", species="red fox", since=since) == records[5::2][::-1]
    assert await every_page(store, limit=limit, owner="b", verdict="empty") == []


async def test_pages_go_on_across_days_in_the_order_of_upload(store: ResultStore, make_record: MakeRecord) -> None:
    days = (0, 1, 2, 9, 40, 41, 400)
    records = [make_record(START + timedelta(days=day, hours=hour)) for day in days for hour in (0, 15)]
    await store.upsert(records)
    for limit in (1, 3, 20):
        assert await every_page(store, limit=limit) == records[::-1]
    middle = await every_page(store, limit=2, since=records[2].received_at, until=records[8].received_at)
    assert middle == records[2:8][::-1]


async def test_an_id_that_runs_ahead_of_the_upload_time_changes_no_order(
    store: ResultStore, make_record: MakeRecord
) -> None:
    # Ids never step back, even if the clock does: the second record has a later id and an earlier upload.
    late = make_record(START + timedelta(days=2))
    early = make_record(START)
    newest = make_record(START + timedelta(days=3))
    await store.upsert([late, early, newest])
    assert await every_page(store, limit=1) == [newest, late, early]
    assert await every_page(store, limit=9, until=START + timedelta(hours=1)) == [early]
    counts = await store.counts_by_day(START, START + timedelta(days=1))
    assert counts == (DayCount("2026-11-22", "red fox", 1),)


async def test_counts_are_by_utc_day_and_species(store: ResultStore, make_record: MakeRecord) -> None:
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    records = [
        make_record(midnight - tick), make_record(midnight - tick, "badger"), make_record(midnight),
        make_record(midnight, "", "empty"), make_record(midnight + tick), make_record(midnight + timedelta(days=1)),
    ]  # fmt: skip
    await store.upsert(records)
    assert await store.counts_by_day(midnight - timedelta(days=9), midnight + timedelta(days=9)) == (
        DayCount("2026-11-22", "badger", 1),
        DayCount("2026-11-22", "red fox", 1),
        DayCount("2026-11-23", "", 1),
        DayCount("2026-11-23", "red fox", 2),
        DayCount("2026-11-24", "red fox", 1),
    )
    elsewhere = datetime.fromisoformat("2026-11-23T01:00:00+01:00")  # the same midnight
    assert await store.counts_by_day(elsewhere, midnight + tick) == (
        DayCount("2026-11-23", "", 1),
        DayCount("2026-11-23", "red fox", 1),
    )


async def test_counts_of_an_owner_are_theirs_alone(store: ResultStore, make_record: MakeRecord) -> None:
    await store.upsert([owned(make_record(), owner) for owner in "aab"])
    whole_day = START - timedelta(hours=1), START + timedelta(hours=1)
    assert await store.counts_by_day(*whole_day, owner="a") == (DayCount("2026-11-22", "red fox", 2),)
    assert await store.counts_by_day(*whole_day, owner="c") == ()


async def test_an_empty_range_counts_nothing(store: ResultStore, make_record: MakeRecord) -> None:
    await store.upsert([make_record(START)])
    assert await store.counts_by_day(START, START) == ()
    assert await store.counts_by_day(START + timedelta(days=1), START) == ()
    assert await store.counts_by_day(START - timedelta(days=3), START) == ()


async def test_after_close_everything_is_unavailable(store: ResultStore, make_record: MakeRecord) -> None:
    record = make_record()
    await store.upsert([record])
    await store.close()
    for call in (
        store.upsert([record]),
        store.get(record.id),
        store.list(ListQuery(limit=1)),
        store.counts_by_day(START, START),
    ):
        with pytest.raises(StorageUnavailable):
            await call
