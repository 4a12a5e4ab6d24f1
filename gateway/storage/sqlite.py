"""The embedded result store: one SQLite file.

One thread writes and one reads, each with a connection of its own; in WAL mode neither waits for the other.
``synchronous=FULL`` makes every commit durable: the journal forgets a record on our word.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from pydantic import ValidationError

from contract.ids import partition_of
from contract.record import Record
from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.ports import DayCount, ListQuery, Page
from gateway.storage import page_token
from gateway.storage.files import make_directory
from gateway.storage.moments import DAY_US, day_name, microseconds
from gateway.storage.page_token import PageToken
from gateway.storage.sqlite_schema import leave_transaction, migrate
from gateway.storage.threads import Threads

BUSY_TIMEOUT_S: Final = 5.0
"""How long one statement waits for another process' lock before it is StorageUnavailable."""

_UPSERT: Final = """INSERT INTO records (id, partition, received_us, day, owner, species, verdict, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET partition = excluded.partition, received_us = excluded.received_us,
    day = excluded.day, owner = excluded.owner, species = excluded.species, verdict = excluded.verdict,
    body = excluded.body"""

_T = TypeVar("_T")
_Row = tuple[str, str, int, int, str, str, str, str]


class _Connection:
    """One connection and the one thread that uses it."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._thread = Threads(1, f"sqlite-{name}")
        self._database: sqlite3.Connection | None = None
        self._closed = False

    async def call(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work`` in the thread. Raises StorageUnavailable for whatever SQLite reports but bad values."""
        if self._closed:
            raise StorageUnavailable("The result store is closed.")
        try:
            return await self._thread.call(lambda: self._work(work))
        except (sqlite3.DataError, sqlite3.IntegrityError) as error:
            raise InvalidRequest("The result store does not take this record.") from error
        except (sqlite3.Error, OSError) as error:
            raise StorageUnavailable("The result store cannot be used right now. Retry later.") from error

    async def close(self) -> None:
        """Finish what was begun, then close. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._thread.call(self._close)
        self._thread.close()

    def _work(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._database is None:
            self._database = _connect(self._path)
        return work(self._database)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()


class SqliteResultStore:
    """The ResultStore port on one file. Made by ``open``. Other processes may read and write the file meanwhile."""

    def __init__(self, writer: _Connection, reader: _Connection) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(cls, path: Path) -> SqliteResultStore:
        """Open the file, made if missing. Raises StorageUnavailable if it is no database of ours or of a newer
        version."""
        store = cls(_Connection(path, "writer"), _Connection(path, "reader"))
        try:
            await store._writer.call(lambda database: migrate(database, path))
        except StorageUnavailable:
            await store.close()
            raise
        return store

    async def upsert(self, records: Sequence[Record]) -> None:
        """All or none, durable on return. Raises StorageUnavailable, InvalidRequest for a value it cannot hold."""
        rows = [_row(record) for record in records]
        await self._writer.call(lambda database: _write(database, rows))

    async def get(self, record_id: UUID) -> Record:
        """Point read. Raises RecordNotFound, StorageUnavailable."""

        def read(database: sqlite3.Connection) -> list[tuple[str]]:
            return database.execute("SELECT body FROM records WHERE id = ?", (str(record_id),)).fetchall()

        bodies = await self._reader.call(read)
        if not bodies:
            raise RecordNotFound(f"There is no record {record_id}.")
        return _parse(bodies[0][0])

    async def list(self, query: ListQuery) -> Page:
        """Newest first, by upload time and id. Raises InvalidRequest (token, limit, naive time), StorageUnavailable."""
        statement, values = _selection(query)
        rows = await self._reader.call(lambda database: database.execute(statement, values).fetchall())
        records = tuple(_parse(row[0]) for row in rows[: query.limit])
        if len(rows) <= query.limit:
            return Page(records, "")
        last = records[-1]
        return Page(records, PageToken(microseconds(last.received_at, "received_at"), last.id).encode())

    async def counts_by_day(self, since: datetime, until: datetime, *, owner: str = "") -> tuple[DayCount, ...]:
        """Ordered by day and species. Raises InvalidRequest (naive time), StorageUnavailable."""
        statement, values = _counting(since, until, owner)
        rows = await self._reader.call(lambda database: database.execute(statement, values).fetchall())
        return tuple(DayCount(day_name(day), species, records) for day, species, records in rows)

    async def close(self) -> None:
        """Finish what was begun; further calls raise StorageUnavailable."""
        await self._reader.close()
        await self._writer.close()


def _connect(path: Path) -> sqlite3.Connection:
    make_directory(path.parent)
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _write(database: sqlite3.Connection, rows: Sequence[_Row]) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        database.executemany(_UPSERT, rows)
        database.execute("COMMIT")
    finally:
        leave_transaction(database)


def _row(record: Record) -> _Row:
    at = microseconds(record.received_at, "received_at")
    species = record.species[0].common_name if record.species else ""
    body = record.model_dump_json(by_alias=True)
    partition = partition_of(record.id)
    return str(record.id), partition, at, at // DAY_US, record.owner, species, record.verdict.value, body


def _parse(body: str) -> Record:
    try:
        return Record.model_validate_json(body)
    except ValidationError as error:
        raise StorageUnavailable("A stored record cannot be read. Tell the operator.") from error


def _selection(query: ListQuery) -> tuple[str, list[str | int]]:
    """The statement for one page and one record more, which says whether there is a next page."""
    if query.limit < 1:
        raise InvalidRequest("limit must be 1 or more.")
    conditions: list[str] = []
    values: list[str | int] = []

    def where(condition: str, *bound: str | int) -> None:
        conditions.append(condition)
        values.extend(bound)

    if query.owner:
        where("owner = ?", query.owner)
    if query.species:
        where("species = ?", query.species)
    if query.verdict:
        where("verdict = ?", query.verdict)
    if query.since is not None:
        where("received_us >= ?", microseconds(query.since, "since"))
    if query.until is not None:
        where("received_us < ?", microseconds(query.until, "until"))
    if query.page_token:
        token = page_token.decode(query.page_token)
        where("(received_us, id) < (?, ?)", token.received_us, str(token.record_id))
    clause = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    values.append(query.limit + 1)
    statement = f"SELECT body FROM records {clause}ORDER BY received_us DESC, id DESC LIMIT ?"  # noqa: S608 (constants)
    return statement, values


def _counting(since: datetime, until: datetime, owner: str) -> tuple[str, list[str | int]]:
    """The statement for the counts. The days are bounded too, as that is what the indices begin with."""
    first, end = microseconds(since, "since"), microseconds(until, "until")
    values: list[str | int] = [first // DAY_US, end // DAY_US, first, end]
    condition = "day BETWEEN ? AND ? AND received_us >= ? AND received_us < ?"
    if owner:
        condition = f"owner = ? AND {condition}"
        values.insert(0, owner)
    statement = (
        f"SELECT day, species, count(*) FROM records WHERE {condition} GROUP BY day, species ORDER BY day, species"  # noqa: S608 (constants)
    )
    return statement, values
