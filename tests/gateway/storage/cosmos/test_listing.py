"""Listings and counts: which partitions are asked, and how often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from contract.record import Record
from gateway.ports import ListQuery
from gateway.storage.cosmos import layout
from gateway.storage.cosmos.store import MAX_DAYS_A_PAGE

MakeRecord = Callable[..., Record]
START = datetime(2026, 11, 22, 8, tzinfo=UTC)


async def test_a_listing_asks_only_days_that_have_records(opened: Any, make_record: MakeRecord) -> None:
    days = [START + timedelta(days=n) for n in (0, 400, 401, 2000)]
    records = [make_record(day) for day in days]
    await opened.store.upsert(records)
    opened.fake.log.clear()
    page = await opened.store.list(ListQuery(limit=9))
    assert page.records == tuple(records[::-1])
    assert len(opened.fake.operations("query")) == 1 + len(days)
    opened.fake.log.clear()
    assert (await opened.store.list(ListQuery(limit=1))).records == (records[3],)
    assert len(opened.fake.operations("query")) == 3  # catalogue, the page's day, the next day for the token


async def test_a_listing_stops_after_its_days_and_its_token_goes_on(opened: Any, make_record: MakeRecord) -> None:
    rare = make_record(START, "lynx")
    others = [make_record(START + timedelta(days=n)) for n in range(1, MAX_DAYS_A_PAGE + 5)]
    await opened.store.upsert([rare, *others])
    opened.fake.log.clear()
    page = await opened.store.list(ListQuery(limit=5, species="lynx"))
    assert page.records == ()
    assert len(opened.fake.operations("query")) == 1 + MAX_DAYS_A_PAGE
    page = await opened.store.list(ListQuery(limit=5, species="lynx", page_token=page.next_page_token))
    assert page.records == (rare,)
    assert page.next_page_token == ""


async def test_a_day_that_is_split_over_physical_partitions_is_listed_in_order(
    opened: Any, make_record: MakeRecord
) -> None:
    records = [make_record(START + timedelta(seconds=n)) for n in range(40)]
    await opened.store.upsert(records)
    container = opened.fake.container()
    inside = sorted(container.effective(layout.partition(record.id)) for record in records)
    container.boundaries = [inside[10], inside[25]]
    assert (await opened.store.list(ListQuery(limit=40))).records == tuple(records[::-1])
    found: list[Record] = []
    token = ""
    while True:
        page = await opened.store.list(ListQuery(limit=7, page_token=token))
        found += page.records
        token = page.next_page_token
        if not token:
            break
    assert found == records[::-1]
    (count,) = await opened.store.counts_by_day(START, START + timedelta(days=1))
    assert count.records == 40


async def test_counts_go_on_by_continuation(opened: Any, make_record: MakeRecord) -> None:
    await opened.store.upsert([make_record() for _ in range(2300)])
    opened.fake.log.clear()
    (count,) = await opened.store.counts_by_day(START, START + timedelta(hours=1))
    assert count.records == 2300
    assert len(opened.fake.operations("query")) == 1 + 3
