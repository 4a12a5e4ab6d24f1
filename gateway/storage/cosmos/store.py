"""The ResultStore port on Azure Cosmos DB, through ``azure.cosmos.aio``."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import ValidationError

from contract.record import Record
from gateway.errors import InvalidRequest, StorageUnavailable
from gateway.ports import DayCount, ListQuery, Page
from gateway.storage import page_token
from gateway.storage.cosmos import layout
from gateway.storage.cosmos.client import CosmosOptions
from gateway.storage.cosmos.container import OnCharge, RecordContainer
from gateway.storage.moments import DAY_US, day_name, microseconds
from gateway.storage.page_token import PageToken

MAX_DAYS_A_PAGE: Final = 31
"""Days with records that one call of ``list`` visits. A page may thus be short, or empty, with a token to go on."""

_CATALOGUE_PAGE: Final = 64
_SPECIES_PAGE: Final = 1000
_END_OF_TIME_US: Final = 10**17 - 1

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class CosmosResultStore:
    """The ResultStore port on one container. Made by ``open``; several processes may share the container."""

    def __init__(self, options: CosmosOptions, on_charge: OnCharge = lambda _operation, _units: None) -> None:
        self._container = RecordContainer(options, on_charge, self._forget)
        self._known_days: set[str] = set()
        self._kept: dict[UUID, bytes] = {}

    @classmethod
    async def open(cls, options: CosmosOptions, *, on_charge: OnCharge | None = None) -> CosmosResultStore:
        """Connect and make database and container if they are missing.

        A service that is away now is no error: the journal holds what is to be stored, and every call tries again.
        """
        store = cls(options, on_charge) if on_charge is not None else cls(options)
        try:
            await store._container.connect()
        except StorageUnavailable as error:
            _log.warning("Cosmos DB cannot be used yet, records wait in the journal: %s", error, exc_info=True)
        return store

    async def upsert(self, records: Sequence[Record]) -> None:
        """All durably on return; batches of one partition are all or nothing, several partitions are not.

        What a failed call did store is remembered by content, so that the next one does not pay for it again: under a
        low rate the same records would else eat the budget at each attempt. Raises StorageUnavailable, InvalidRequest
        for a record that the service does not take.
        """
        documents = {record.id: layout.document(record) for record in records}
        encoded = {record_id: layout.encoded(stored) for record_id, stored in documents.items()}
        digests = {record_id: hashlib.sha256(content).digest() for record_id, content in encoded.items()}
        left = [record_id for record_id in documents if self._kept.get(record_id) != digests[record_id]]
        await self._announce_days(records)
        batches = list(layout.batches((documents[record_id], len(encoded[record_id])) for record_id in left))
        outcomes = await asyncio.gather(*map(self._container.write, batches), return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        for record_id in documents if not failures else ():
            self._kept.pop(record_id, None)
        for batch, outcome in zip(batches, outcomes, strict=True) if failures else ():
            for record_id in (UUID(stored["id"]) for stored in batch.documents):
                if outcome is None:
                    self._kept[record_id] = digests[record_id]
                else:
                    self._kept.pop(record_id, None)  # nobody knows what is there now
        if failures:
            raise _worst(failures)

    async def get(self, record_id: UUID) -> Record:
        """Point read. Raises RecordNotFound, StorageUnavailable."""
        item = await self._container.read(record_id)
        return _parsed(item.get("record"))

    async def list(self, query: ListQuery) -> Page:
        """Newest first, by upload time and id. A page may be short and have a token: see ``MAX_DAYS_A_PAGE``.

        Raises InvalidRequest (token, limit, naive time), StorageUnavailable.
        """
        first, before = _bounds(query)
        found: list[Record] = []
        visited = 0
        async with aclosing(self._days("list", first, before)) as days:
            async for start_us, partition_days in days:
                if visited == MAX_DAYS_A_PAGE:
                    return Page(tuple(found), PageToken(start_us + DAY_US, UUID(int=0)).encode())
                visited += 1
                low, high = _within(start_us, first, before)
                missing = query.limit + 1 - len(found)
                wanted = [layout.page_query(day, low, high, query, missing) for day in partition_days]
                rows = await self._together("list", zip(partition_days, wanted, strict=True), missing)
                found += sorted(map(_parsed, rows), key=layout.record_key, reverse=True)[:missing]
                if len(found) > query.limit:
                    last = found[query.limit - 1]
                    token = PageToken(microseconds(last.received_at, "received_at"), last.id)
                    return Page(tuple(found[: query.limit]), token.encode())
        return Page(tuple(found), "")

    async def counts_by_day(self, since: datetime, until: datetime, *, owner: str = "") -> tuple[DayCount, ...]:
        """Ordered by day and species. Raises InvalidRequest (naive time), StorageUnavailable."""
        first = layout.at_key(microseconds(since, "since"))
        before = layout.at_key(microseconds(until, "until"))
        counts: Counter[tuple[str, str]] = Counter()
        async with aclosing(self._days("counts", first, before)) as days:
            async for start_us, partition_days in days:
                low, high = _within(start_us, first, before)
                wanted = [layout.species_query(day, low, high, owner) for day in partition_days]
                rows = await self._together("counts", zip(partition_days, wanted, strict=True), _SPECIES_PAGE)
                counts.update((day_name(start_us // DAY_US), species) for species in rows)
        return tuple(DayCount(day, species, records) for (day, species), records in sorted(counts.items()))

    async def close(self) -> None:
        """Release everything; further calls raise StorageUnavailable."""
        await self._container.close()

    def _forget(self) -> None:
        """The container went away: what was in it is written anew."""
        self._known_days.clear()
        self._kept.clear()

    async def _announce_days(self, records: Iterable[Record]) -> None:
        """Catalogue entries come before their records, so that no reader can miss a day."""
        entries = {entry["id"]: entry for entry in map(layout.day_document, records)}
        new = [entry for name, entry in entries.items() if name not in self._known_days]
        for batch in layout.batches((entry, 0) for entry in new):
            failure = await self._container.write(batch)
            if failure is not None:
                raise failure
        self._known_days.update(entries)

    async def _days(self, operation: str, first: str, before: str) -> AsyncGenerator[tuple[int, tuple[str, ...]], None]:
        """Upload days that have records, newest first: the day's beginning in microseconds, and its partition days
        (one, but for ids that ran ahead of a clock that stepped back)."""
        current, partition_days = -1, tuple[str, ...]()
        query = layout.catalogue_query(layout.at_key(int(first[:17]) // DAY_US * DAY_US), before)
        rows = self._container.rows(operation, layout.CATALOGUE, query, _CATALOGUE_PAGE)
        async with aclosing(rows):
            async for name in rows:
                upload_day, _, partition_day = name.partition(".")
                start_us = microseconds(datetime.fromisoformat(f"{upload_day}T00:00:00+00:00"), "day")
                if start_us != current and partition_days:
                    yield current, partition_days
                    partition_days = ()
                current = start_us
                partition_days += (partition_day,)
        if partition_days:
            yield current, partition_days

    async def _together(
        self, operation: str, queries: Iterable[tuple[str, layout.Query]], page_items: int
    ) -> Sequence[Any]:
        """All rows of one query a partition day, in no order."""
        answers = await _all([self._rows_of(operation, day, query, page_items) for day, query in queries])
        return [row for rows in answers for row in rows]

    async def _rows_of(self, operation: str, day: str, query: layout.Query, page_items: int) -> Sequence[Any]:
        return [row async for row in self._container.rows(operation, (day,), query, page_items)]


async def _all(calls: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Results of all, in order; the first failure cancels the others and is raised as it is."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _worst(failures: Sequence[BaseException]) -> BaseException:
    """What the drain should hear: an outage, with the longest wait, before one record's own fault, which it would
    look for by halving and so asking more of a service that is over its rate; a defect of ours before all."""
    defects = [failure for failure in failures if not isinstance(failure, StorageUnavailable | InvalidRequest)]
    if defects:
        return defects[0]
    outages = [failure for failure in failures if isinstance(failure, StorageUnavailable)]
    return max(outages, key=lambda outage: outage.retry_after_s or 0.0) if outages else failures[0]


def _bounds(query: ListQuery) -> tuple[str, str]:
    """What a listing covers, in the form of ``at_key``: from, and before."""
    if query.limit < 1:
        raise InvalidRequest("limit must be 1 or more.")
    first = layout.at_key(microseconds(query.since, "since") if query.since else 0)
    until_us = microseconds(query.until, "until") if query.until else _END_OF_TIME_US
    before = layout.at_key(until_us)
    if query.page_token:
        token = page_token.decode(query.page_token)
        before = min(before, layout.at_key(token.received_us, token.record_id))
    return first, before


def _within(start_us: int, first: str, before: str) -> tuple[str, str]:
    """The part of [first, before) that is in the day that begins at ``start_us``."""
    return max(first, layout.at_key(start_us)), min(before, layout.at_key(start_us + DAY_US))


def _parsed(body: object) -> Record:
    try:
        return Record.model_validate(body)
    except ValidationError as error:
        raise StorageUnavailable("A stored record cannot be read. Tell the operator.") from error
