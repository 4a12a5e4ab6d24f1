from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contract.ids import partition_of
from contract.record import Record
from gateway.errors import InvalidRequest
from gateway.ports import ListQuery
from gateway.storage.cosmos import layout
from tests.support import cosmos_sql

MakeRecord = Callable[..., Record]


def test_the_partition_is_the_contracts(make_record: MakeRecord) -> None:
    record = make_record()
    stored = layout.document(record)
    assert f"{stored['day']}/{stored['bucket']}" == partition_of(record.id)
    assert Record.model_validate(json.loads(layout.encoded(stored))["record"]) == record


def test_the_key_of_the_order_sorts_by_time_and_then_by_id(make_record: MakeRecord) -> None:
    start = datetime(2026, 11, 22, tzinfo=UTC)
    records = [make_record(start + timedelta(microseconds=n // 3)) for n in range(9)]
    far = make_record(datetime(2285, 1, 1, tzinfo=UTC))
    assert sorted([*records, far], key=layout.record_key) == [*records, far]
    assert layout.at_key(5) < layout.at_key(5, UUID(int=1)) < layout.at_key(6)
    with pytest.raises(InvalidRequest):
        layout.at_key(-1)


@pytest.mark.parametrize(
    "names", [n for r in range(4) for n in itertools.combinations(("owner", "species", "verdict"), r)]
)
def test_every_listing_has_an_index_for_its_order(names: tuple[str, ...]) -> None:
    query = layout.page_query("2026-11-22", "a", "b", ListQuery(limit=1, **dict.fromkeys(names, "x")), 5)  # type: ignore[arg-type]
    statement = cosmos_sql.parse(query.text, query.for_sdk())  # type: ignore[arg-type]
    cosmos_sql.check_index(statement, layout.INDEXING_POLICY)
    assert statement.order[-1] == ("at", True)
    if "owner" in names or "species" in names:
        assert len(statement.order) > 1


def test_the_rest_of_the_queries_have_their_indices() -> None:
    for query in (
        layout.catalogue_query("a", "b"),
        layout.species_query("d", "a", "b", ""),
        layout.species_query("d", "a", "b", "o"),
    ):
        cosmos_sql.check_index(cosmos_sql.parse(query.text, query.for_sdk()), layout.INDEXING_POLICY)  # type: ignore[arg-type]


def test_batches_keep_to_one_partition_and_to_the_limits() -> None:
    documents = [{"id": str(n), "day": "d", "bucket": str(n % 2)} for n in range(350)]
    sizes = [40_000 if n < 200 else 100 for n in range(350)]
    batches = list(layout.batches(zip(documents, sizes, strict=True)))
    size_of = {stored["id"]: size for stored, size in zip(documents, sizes, strict=True)}
    for batch in batches:
        assert {(stored["day"], stored["bucket"]) for stored in batch.documents} == {batch.partition}
        assert len(batch.documents) <= layout.MAX_BATCH_OPERATIONS
        assert sum(size_of[stored["id"]] for stored in batch.documents) < layout.MAX_REQUEST_BYTES / 2
    for bucket in "01":
        kept = [stored for batch in batches if batch.partition[1] == bucket for stored in batch.documents]
        assert kept == [stored for stored in documents if stored["bucket"] == bucket]


def test_a_document_that_fills_a_batch_goes_alone() -> None:
    documents = [{"id": str(n), "day": "d", "bucket": "0"} for n in range(3)]
    batches = layout.batches(zip(documents, (100, 1_900_000, 100), strict=True))
    assert [len(batch.documents) for batch in batches] == [1, 1, 1]


def test_no_batch_is_empty() -> None:
    assert list(layout.batches([])) == []
