"""What is stored where, without I/O; docs/decisions/0014-cosmos-layout.md says why.

One container. Its partition key is hierarchical, ``/day`` then ``/bucket``, both from the record's id, so a point
read needs the id alone and one day can be asked without the others. Beside the records stands a catalogue: one small
document for each pair of upload day and partition day, so that a listing visits only days that have records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from contract.ids import partition_of
from contract.record import Record
from gateway.errors import InvalidRequest
from gateway.ports import ListQuery
from gateway.storage.moments import DAY_US, day_name, microseconds

PARTITION_PATHS: Final = ("/day", "/bucket")
"""Hierarchical partition key, kind MultiHash, version 2."""

CATALOGUE: Final = ("days", "0")
"""Partition of the catalogue; no record has it, as records' days are dates."""

MAX_BATCH_OPERATIONS: Final = 100
MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024
"""Service limits of a transactional batch, and the second of an item too
(learn.microsoft.com/azure/cosmos-db/concepts-limits)."""

_BATCH_BYTES: Final = 1024 * 1024
"""Where a batch is full: half of what the service takes, as from here on aiohttp warns that a body in one piece holds
the loop."""
_ROOM_BYTES: Final = 64 * 1024
_OPERATION_ROOM_BYTES: Final = 128
"""What the SDK writes around the documents of a batch, generously."""

_NEVER_EXPIRES: Final = -1
_NOBODY: Final = UUID(int=0)

Document = dict[str, Any]

_COMPOSITES: Final = (("owner", "at"), ("owner", "species", "at"), ("owner", "verdict", "at"), ("species", "at"))

INDEXING_POLICY: Final[dict[str, Any]] = {
    "automatic": True,
    "indexingMode": "consistent",
    "includedPaths": [{"path": f"/{name}/?"} for name in ("day", "at", "owner", "species", "verdict")],
    "excludedPaths": [{"path": "/*"}],
    "compositeIndexes": [[{"path": f"/{name}", "order": "descending"} for name in names] for names in _COMPOSITES],
}
"""Only what the queries below filter and sort by. The record's own tree, most of the bytes, is left out."""


@dataclass(frozen=True, slots=True)
class Query:
    """One statement and its parameters, as the SDK takes them."""

    text: str
    parameters: tuple[tuple[str, str], ...]

    def for_sdk(self) -> list[dict[str, object]]:
        """The parameters in the SDK's form."""
        return [{"name": name, "value": value} for name, value in self.parameters]


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of one partition that fit into one transactional batch, and what they are for the store's memory."""

    partition: tuple[str, str]
    documents: tuple[Document, ...]


def partition(record_id: UUID) -> tuple[str, str]:
    """The full partition key: day and bucket."""
    day, _, bucket = partition_of(record_id).partition("/")
    return day, bucket


def at_key(received_us: int, record_id: UUID = _NOBODY) -> str:
    """The order of every listing as one string: upload time, then id. Without an id it is before all of that time.

    Raises InvalidRequest for a time before 1970, which would sort wrongly.
    """
    if received_us < 0:
        raise InvalidRequest("A time before 1970 cannot be stored or asked for.")
    return f"{received_us:017d}.{record_id}"


def record_key(record: Record) -> str:
    """``at_key`` of a record."""
    return at_key(microseconds(record.received_at, "received_at"), record.id)


def document(record: Record) -> Document:
    """A record as it is stored: what is indexed at the top, the record itself under ``record``."""
    day, bucket = partition(record.id)
    return {
        "id": str(record.id),
        "day": day,
        "bucket": bucket,
        "at": record_key(record),
        "owner": record.owner,
        "species": record.species[0].common_name if record.species else "",
        "verdict": record.verdict.value,
        "record": record.model_dump(mode="json", by_alias=True),
    }


def day_document(record: Record) -> Document:
    """The catalogue's entry that makes a record's day known. It never expires."""
    received_us = microseconds(record.received_at, "received_at")
    day, bucket = CATALOGUE
    return {
        "id": f"{day_name(received_us // DAY_US)}.{partition(record.id)[0]}",
        "day": day,
        "bucket": bucket,
        "at": at_key(received_us // DAY_US * DAY_US),
        "ttl": _NEVER_EXPIRES,
    }


def encoded(stored: Document) -> bytes:
    """The document as the SDK sends it, as long as on the wire. Raises InvalidRequest for what JSON cannot say or
    what is larger than an item may be."""
    try:
        content = json.dumps(stored, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise InvalidRequest("The record has a number that JSON cannot say.") from error
    if len(content) > MAX_REQUEST_BYTES - _ROOM_BYTES:
        raise InvalidRequest(f"The record has {len(content)} bytes; an item of the result store holds 2 MB.")
    return content


def batches(sized: Iterable[tuple[Document, int]]) -> Iterator[Batch]:
    """Group documents (with their bytes) by partition, in order, and split where a batch would break a limit."""
    groups: dict[tuple[str, str], list[tuple[Document, int]]] = {}
    for stored, size in sized:
        groups.setdefault((stored["day"], stored["bucket"]), []).append((stored, size))
    for key, members in groups.items():
        chosen: list[Document] = []
        room = _BATCH_BYTES - _ROOM_BYTES
        for stored, size in members:
            cost = size + _OPERATION_ROOM_BYTES
            if chosen and (len(chosen) == MAX_BATCH_OPERATIONS or cost > room):
                yield Batch(key, tuple(chosen))
                chosen, room = [], _BATCH_BYTES - _ROOM_BYTES
            chosen.append(stored)
            room -= cost
        yield Batch(key, tuple(chosen))


def catalogue_query(first: str, before: str) -> Query:
    """Days with records from ``first`` on and before ``before``, both in the form of ``at_key``, newest first."""
    text = "SELECT VALUE c.id FROM c WHERE c.day = @day AND c.at >= @first AND c.at < @before ORDER BY c.at DESC"
    return Query(text, (("@day", CATALOGUE[0]), ("@first", first), ("@before", before)))


def page_query(day: str, first: str, before: str, query: ListQuery, limit: int) -> Query:
    """The newest ``limit`` records of one partition day that a listing asks for."""
    filters = [(name, value) for name in ("owner", "species", "verdict") if (value := getattr(query, name))]
    conditions, parameters = _between(day, first, before, filters)
    order = ", ".join(f"c.{name} DESC" for name in _order(frozenset(name for name, _ in filters)))
    text = f"SELECT TOP {limit} VALUE c.record FROM c WHERE {conditions} ORDER BY {order}"  # noqa: S608 (constants)
    return Query(text, parameters)


def species_query(day: str, first: str, before: str, owner: str) -> Query:
    """The species of each record of one partition day; they are counted here, see the decision."""
    conditions, parameters = _between(day, first, before, [("owner", owner)] if owner else [])
    return Query(f"SELECT VALUE c.species FROM c WHERE {conditions}", parameters)  # noqa: S608 (constants)


def _between(
    day: str, first: str, before: str, filters: Sequence[tuple[str, str]]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    conditions = ["c.day = @day", "c.at >= @first", "c.at < @before", *(f"c.{name} = @{name}" for name, _ in filters)]
    parameters = [("@day", day), ("@first", first), ("@before", before), *((f"@{n}", value) for n, value in filters)]
    return " AND ".join(conditions), tuple(parameters)


def _order(filtered: frozenset[str]) -> tuple[str, ...]:
    """What to sort by so that a composite index holds both the filter and the order; only composites that exist may
    be asked for, and a filter that is equal in all rows changes no order."""
    fitting = [names for names in _COMPOSITES if filtered.issuperset(names[:-1])]
    return max(fitting, key=len, default=("at",))
