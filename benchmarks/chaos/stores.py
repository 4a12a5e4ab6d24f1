"""The stores that a run can be made with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path


class EmbeddedStores:
    """Every gateway's own SQLite file. It cannot misbehave by itself: faults of the store are left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def environment(self) -> Mapping[str, str]:
        """See ``FaultyStore``."""
        return {}

    async def start(self) -> None:
        """Nothing listens."""

    async def stop(self) -> None:
        """Nothing listened."""

    def misbehave(self, how: str) -> None:
        """Raises NotImplementedError."""
        raise NotImplementedError(f"SQLite has no {how}.")

    def records(self) -> list[tuple[str, str]]:
        """See ``FaultyStore``; safe while gateways write."""
        found: list[tuple[str, str]] = []
        for file in self._folder.glob("gateway-*/results.sqlite"):
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
                rows = database.execute("SELECT id, body FROM records").fetchall()
            found += [(record_id, json.loads(body)["photo"]["sha256"]) for record_id, body in rows]
        return found
