"""What is particular to SQLite; the rest is in tests/conformance/test_result_store.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from contract.ids import partition_of
from contract.record import Record
from gateway.errors import InvalidRequest, StorageUnavailable
from gateway.ports import ListQuery
from gateway.storage import sqlite, sqlite_schema
from gateway.storage.sqlite import SqliteResultStore

MakeRecord = Callable[..., Record]


async def test_records_outlive_the_store(tmp_path: Path, make_record: MakeRecord) -> None:
    record = make_record()
    for _ in range(2):
        store = await SqliteResultStore.open(tmp_path / "new" / "folder" / "results.db")
        await store.upsert([record])
        await store.close()
    store = await SqliteResultStore.open(tmp_path / "new" / "folder" / "results.db")
    assert await store.get(record.id) == record
    await store.close()


async def test_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "results.db")) as database:
        database.execute(f"PRAGMA user_version = {sqlite_schema.SCHEMA_VERSION + 1}")
    with pytest.raises(StorageUnavailable, match="Upgrade"):
        await SqliteResultStore.open(tmp_path / "results.db")


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "results.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageUnavailable) as refusal:
        await SqliteResultStore.open(tmp_path / "results.db")
    assert isinstance(refusal.value.__cause__, sqlite3.Error)


async def test_commits_are_durable_and_readers_do_not_wait(tmp_path: Path) -> None:
    with closing(sqlite._connect(tmp_path / "results.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


async def test_a_locked_database_is_unavailable_to_writers_and_open_to_readers(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.0)
    store = await SqliteResultStore.open(tmp_path / "results.db")
    first, second = make_record(), make_record()
    await store.upsert([first])
    with closing(sqlite3.connect(tmp_path / "results.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable) as refusal:
            await store.upsert([second])
        assert isinstance(refusal.value.__cause__, sqlite3.OperationalError)
        assert await store.get(first.id) == first
    await store.upsert([second])
    assert await store.get(second.id) == second
    await store.close()


async def test_a_full_database_is_unavailable_and_keeps_all_or_none(tmp_path: Path, make_record: MakeRecord) -> None:
    store = await SqliteResultStore.open(tmp_path / "results.db")
    await store.upsert([make_record()])
    limit = await store._writer.call(lambda d: d.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.call(lambda d: d.execute(f"PRAGMA max_page_count = {limit + 2}").fetchone())
    with pytest.raises(StorageUnavailable):
        await store.upsert([make_record() for _ in range(100)])
    assert len((await store.list(ListQuery(limit=200))).records) == 1
    await store._writer.call(lambda d: d.execute("PRAGMA max_page_count = 100000").fetchone())
    await store.upsert([make_record() for _ in range(100)])
    assert len((await store.list(ListQuery(limit=200))).records) == 101
    await store.close()


async def test_a_refused_record_undoes_its_batch_and_leaves_the_database_open_to_the_next(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    store = await SqliteResultStore.open(tmp_path / "results.db")
    refuse = """CREATE TRIGGER refuse BEFORE INSERT ON records WHEN new.species = 'unicorn'
        BEGIN SELECT RAISE(ABORT, 'no such animal'); END"""
    await store._writer.call(lambda d: d.execute(refuse).fetchone())
    with pytest.raises(InvalidRequest):
        await store.upsert([make_record(), make_record(species="unicorn")])
    assert (await store.list(ListQuery(limit=9))).records == ()
    record = make_record()
    await store.upsert([record])
    assert (await store.list(ListQuery(limit=9))).records == (record,)
    await store.close()


async def test_times_without_a_zone_are_the_callers_error(tmp_path: Path, make_record: MakeRecord) -> None:
    store = await SqliteResultStore.open(tmp_path / "results.db")
    naive = datetime(2026, 11, 22)
    with pytest.raises(InvalidRequest, match="since"):
        await store.list(ListQuery(limit=1, since=naive))
    with pytest.raises(InvalidRequest, match="received_at"):
        await store.upsert([make_record().model_copy(update={"received_at": naive})])
    await store.close()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (ListQuery(limit=5), "records_newest"),
        (ListQuery(limit=5, species="red fox"), "records_species"),
        (ListQuery(limit=5, verdict="empty"), "records_verdict"),
        (ListQuery(limit=5, owner="a"), "records_owner "),
        (ListQuery(limit=5, owner="a", since=datetime.fromisoformat("2026-11-22T00:00Z")), "records_owner "),
        (ListQuery(limit=5, owner="a", species="red fox"), "records_owner_species"),
        (ListQuery(limit=5, owner="a", verdict="empty"), "records_owner_verdict"),
        (ListQuery(limit=5, species="red fox", since=datetime.fromisoformat("2026-11-22T00:00Z")), "records_species"),
    ],
    ids=[
        "all",
        "species",
        "verdict",
        "owner",
        "owner and time",
        "owner and species",
        "owner and verdict",
        "species and time",
    ],
)
async def test_a_page_is_a_walk_along_an_index_without_sorting(tmp_path: Path, query: ListQuery, index: str) -> None:
    store = await SqliteResultStore.open(tmp_path / "results.db")
    statement, values = sqlite._selection(query)
    plan = await store._reader.call(lambda d: d.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())
    assert [index in row[3] for row in plan] == [True]
    await store.close()


async def test_columns_can_be_queried_by_hand(tmp_path: Path, make_record: MakeRecord) -> None:
    record = make_record()
    store = await SqliteResultStore.open(tmp_path / "results.db")
    await store.upsert([record])
    await store.close()
    with closing(sqlite3.connect(tmp_path / "results.db")) as database:
        row = database.execute("SELECT id, partition, species, verdict FROM records").fetchone()
    assert row == (str(record.id), partition_of(record.id), "red fox", "animal")


@pytest.mark.parametrize(("owner", "index"), [("", "records_days"), ("a", "records_owner_days")])
async def test_counts_by_day_walk_a_covering_index_without_sorting(tmp_path: Path, owner: str, index: str) -> None:
    store = await SqliteResultStore.open(tmp_path / "results.db")
    statement, values = sqlite._counting(
        datetime.fromisoformat("2026-11-01T00:00Z"), datetime.fromisoformat("2026-12-01T00:00Z"), owner
    )
    plan = await store._reader.call(lambda d: d.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())
    assert [f"COVERING INDEX {index} " in row[3] for row in plan] == [True]
    await store.close()


async def test_a_file_of_version_1_is_migrated_and_its_records_belong_to_their_owner(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    old, owned = make_record(), make_record().model_copy(update={"owner": "ranger"})
    with closing(sqlite3.connect(tmp_path / "results.db")) as database:
        for statement in sqlite_schema._VERSIONS[0]:
            database.execute(statement)
        bodies = [
            (old, old.model_dump_json(by_alias=True, exclude={"owner"})),
            (owned, owned.model_dump_json(by_alias=True)),
        ]
        for record, body in bodies:
            row = (str(record.id), "p", int(record.received_at.timestamp()) * 1_000_000, "red fox", "animal", body)
            database.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
        database.execute("PRAGMA user_version = 1")
        database.commit()
    store = await SqliteResultStore.open(tmp_path / "results.db")
    assert (await store.list(ListQuery(limit=9, owner="local"))).records == (old,)
    assert (await store.list(ListQuery(limit=9, owner="ranger"))).records == (owned,)
    day = datetime.fromisoformat("2026-11-22T00:00Z")
    assert [count.records for count in await store.counts_by_day(day, day + timedelta(days=1))] == [2]
    await store.close()
