"""The stores that a run can be made with."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Final

from tests.support.cosmos_fake import KEY, Fault, running_fake


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


class CosmosStandIn:
    """The strict stand-in of Cosmos DB on the running loop; every gateway's drain writes to it with the real client."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """See ``FaultyStore``."""
        self._loop = asyncio.get_running_loop()
        self._fake = await self._stack.enter_async_context(running_fake())

    async def stop(self) -> None:
        """See ``FaultyStore``; records can still be read."""
        self._last = self._snapshot()
        await self._stack.aclose()

    def environment(self) -> Mapping[str, str]:
        """See ``FaultyStore``."""
        return {
            "BESTIARY_STORE": "cosmos",
            "BESTIARY_COSMOS_ENDPOINT": self._fake.endpoint,
            "BESTIARY_COSMOS_KEY": KEY,
            "BESTIARY_COSMOS_TIMEOUT_S": "2",
        }

    def misbehave(self, how: str) -> None:
        """See ``FaultyStore``."""
        self._loop.call_soon_threadsafe(self._misbehave, how)

    def _misbehave(self, how: str) -> None:
        self._fake.released.set()  # what was held silent goes on, to a caller that has gone
        self._fake.released = asyncio.Event()
        self._fake.faults[:] = [_FAULTS[how]()] if how else []

    def records(self) -> list[tuple[str, str]]:
        """See ``FaultyStore``."""
        if not self._loop.is_running():
            return self._last
        return asyncio.run_coroutine_threadsafe(self._read(), self._loop).result()

    async def _read(self) -> list[tuple[str, str]]:
        return self._snapshot()

    def _snapshot(self) -> list[tuple[str, str]]:
        if not self._fake.databases:
            return []
        documents = self._fake.container().documents.values()
        return [
            (document["id"], document["record"]["photo"]["sha256"]) for document in documents if "record" in document
        ]


_ALWAYS: Final = 1 << 30

_FAULTS: Final[dict[str, Callable[[], Fault]]] = {
    "429": lambda: Fault(429, _ALWAYS, retry_after_ms=300),
    "500": lambda: Fault(500, _ALWAYS),
    "silence": lambda: Fault("silent", _ALWAYS),
    "cut": lambda: Fault("cut", _ALWAYS),
}
