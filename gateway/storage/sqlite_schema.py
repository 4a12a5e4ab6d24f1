"""Tables and indices of the embedded result store, and how older files become current ones."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from contract.record import LOCAL_OWNER
from gateway.errors import StorageUnavailable
from gateway.storage.moments import DAY_US

# Every index of a listing ends in (received_us, id), its order, so that a page is a walk along one of them; the two
# of the counts hold all that is counted, so that the rows are not read.
# Not WITHOUT ROWID: that pays for rows below a twentieth of a page, and a body has kilobytes
# (sqlite.org/withoutrowid.html, section 4).
_VERSIONS: Final = (
    (
        """CREATE TABLE records (
            id TEXT PRIMARY KEY, partition TEXT NOT NULL, received_us INTEGER NOT NULL,
            species TEXT NOT NULL, verdict TEXT NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX records_newest ON records (received_us, id)",
        "CREATE INDEX records_species ON records (species, received_us, id)",
        "CREATE INDEX records_verdict ON records (verdict, received_us, id)",
    ),
    (
        f"ALTER TABLE records ADD COLUMN owner TEXT NOT NULL DEFAULT '{LOCAL_OWNER}'",
        # Bodies of before have no owner: they came in on loopback.
        f"UPDATE records SET owner = coalesce(json_extract(body, '$.owner'), '{LOCAL_OWNER}')",  # noqa: S608
        # Not a generated column: SQLite does not take an index on one for covering.
        "ALTER TABLE records ADD COLUMN day INTEGER NOT NULL DEFAULT 0",
        f"UPDATE records SET day = received_us / {DAY_US}",  # noqa: S608
        "CREATE INDEX records_owner ON records (owner, received_us, id)",
        "CREATE INDEX records_owner_species ON records (owner, species, received_us, id)",
        "CREATE INDEX records_owner_verdict ON records (owner, verdict, received_us, id)",
        "CREATE INDEX records_days ON records (day, species, received_us)",
        "CREATE INDEX records_owner_days ON records (owner, day, species, received_us)",
    ),
)
"""The statements that lead from each version to the next; an empty file has version 0."""

SCHEMA_VERSION: Final = len(_VERSIONS)
"""``PRAGMA user_version`` of the files that this program writes. 2 added the owner and the counts by day."""


def migrate(database: sqlite3.Connection, path: Path) -> None:
    """Bring a file to ``SCHEMA_VERSION``, all or nothing. Raises StorageUnavailable if it is of a newer program."""
    with closing(database.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")  # two processes may both find a new file
        try:
            version = cursor.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise StorageUnavailable(
                    f"{path} has schema version {version}; this program knows {SCHEMA_VERSION} and older. "
                    "Upgrade it, or give it a file of its own."
                )
            for statements in _VERSIONS[version:]:
                for statement in statements:
                    cursor.execute(statement)
            cursor.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            cursor.execute("COMMIT")
        finally:
            leave_transaction(database)


def leave_transaction(database: sqlite3.Connection) -> None:
    """After a failure the connection must not keep the write lock. SQLite may have rolled back by itself."""
    if database.in_transaction:
        database.execute("ROLLBACK")
