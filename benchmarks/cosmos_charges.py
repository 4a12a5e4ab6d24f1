"""The request charge of each operation of the result store on Cosmos DB.

    python -m benchmarks.cosmos_charges                                  # against the fake of the tests
    BESTIARY_COSMOS_KEY=... python -m benchmarks.cosmos_charges --endpoint https://ACCOUNT.documents.azure.com:443/

Writes records into a database of its own (``--database``), reads them by every query that the service has, prints the
request units, and leaves the database to be looked at. Without a key the managed identity signs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from contract.record import Record
from gateway.ports import ListQuery
from gateway.storage.cosmos.client import CosmosOptions
from gateway.storage.cosmos.store import CosmosResultStore
from tests.support.cosmos_fake import KEY, running_fake
from tests.support.records import made_record

OWNERS = 4
SPECIES = ("red fox", "badger", "roe deer", "wild boar", "lynx")


@dataclass(frozen=True, slots=True)
class Charge:
    """What one operation cost: request units, and replies that made them up."""

    operation: str
    units: float
    replies: int


async def charges(options: CosmosOptions, *, records: int, days: int) -> tuple[Charge, ...]:
    """Write ``records`` over ``days`` days and measure each operation once. Raises BestiaryError."""
    seen: list[float] = []
    store = await CosmosResultStore.open(options, on_charge=lambda _operation, units: seen.append(units))
    measured: list[Charge] = []

    async def measure(name: str, work: Callable[[], Awaitable[object]]) -> None:
        seen.clear()
        await work()
        measured.append(Charge(name, sum(seen), len(seen)))

    stored = made(records, days)
    newest = stored[-1].received_at
    week = newest - timedelta(days=7)
    try:
        await measure(f"upsert {records} records", lambda: store.upsert(stored))
        await measure("upsert them again", lambda: store.upsert(stored))
        await measure("upsert 1 record", lambda: store.upsert(stored[:1]))
        await measure("get by id", lambda: store.get(stored[0].id))
        for name, query in {
            "recent 20": ListQuery(limit=20),
            "recent 20 of an owner": ListQuery(limit=20, owner="owner-1"),
            "recent 20 of a species": ListQuery(limit=20, species="lynx"),
            "a species in the last 7 days": ListQuery(limit=20, species="lynx", since=week),
            "an owner's species in 7 days": ListQuery(limit=20, owner="owner-1", species="lynx", since=week),
            "an owner's empty photos": ListQuery(limit=20, owner="owner-1", verdict="empty"),
        }.items():
            await measure(name, lambda query=query: store.list(query))  # type: ignore[misc]
        end = newest + timedelta(seconds=1)
        await measure("counts by day, 7 days", lambda: store.counts_by_day(week, end))
        await measure("counts by day, 7 days, an owner", lambda: store.counts_by_day(week, end, owner="owner-1"))
    finally:
        await store.close()
    return tuple(measured)


def made(records: int, days: int) -> list[Record]:
    """Records spread evenly over the days up to now, oldest first; owners and species take turns."""
    step = timedelta(days=days) / records
    now = datetime.now(UTC)
    return [
        made_record(now - (records - n - 1) * step, SPECIES[n % len(SPECIES)], "animal").model_copy(
            update={"owner": f"owner-{n % OWNERS}"}
        )
        for n in range(records)
    ]


@asynccontextmanager
async def endpoint_of(arguments: argparse.Namespace) -> AsyncIterator[CosmosOptions]:
    """The endpoint that was named, or the fake's."""
    key = os.environ.get("BESTIARY_COSMOS_KEY")
    if arguments.endpoint:
        yield CosmosOptions(arguments.endpoint, SecretStr(key) if key else None, database=arguments.database)
        return
    print("Against the tests' fake: its charges are a model of its own and say nothing about Azure's.\n")
    async with running_fake() as fake:
        yield CosmosOptions(fake.endpoint, SecretStr(KEY), database=arguments.database)


def table(measured: Sequence[Charge]) -> str:
    """Markdown."""
    rows = [f"| {charge.operation} | {charge.units:.2f} | {charge.replies} |" for charge in measured]
    return "\n".join(["| operation | request units | replies |", "|---|---|---|", *rows])


async def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    async with endpoint_of(arguments) as options:
        print(table(await charges(options, records=arguments.records, days=arguments.days)))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="", help="URL of the account; the fake if it is left out")
    parser.add_argument("--database", default="bestiary-charges")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--days", type=int, default=10)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
