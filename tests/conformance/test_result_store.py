"""What every ResultStore must do. To put another implementation under it, add a line to ``OPENERS``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.ids import new_id
from contract.record import Record
from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.ports import ListQuery, ResultStore
from gateway.storage.sqlite import SqliteResultStore

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
MakeRecord = Callable[..., Record]

OPENERS: dict[str, Callable[[Path], Awaitable[ResultStore]]] = {
    "sqlite": lambda folder: SqliteResultStore.open(folder / "results.db"),
}


@pytest.fixture(params=OPENERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ResultStore]:
    opened = await OPENERS[request.param](tmp_path)
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


async def test_after_close_everything_is_unavailable(store: ResultStore, make_record: MakeRecord) -> None:
    record = make_record()
    await store.upsert([record])
    await store.close()
    for call in (store.upsert([record]), store.get(record.id), store.list(ListQuery(limit=1))):
        with pytest.raises(StorageUnavailable):
            await call
