"""The ports that a trace passes through, each around the real one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contract.options import Options
from contract.priority import Priority
from contract.record import Record
from gateway.ports import DayCount, Journal, ListQuery, Page, ResultStore, TensorServer

if TYPE_CHECKING:
    from gateway.tracing.tracer import Tracing


class TracedModels:
    """A TensorServer whose calls are spans, from which those of Triton hang."""

    def __init__(self, models: TensorServer, tracing: Tracing) -> None:
        self._models = models
        self._tracing = tracing

    async def infer(
        self, model: str, photo: bytes, *, deadline: float, options: Options, priority: Priority
    ) -> Mapping[str, bytes]:
        """See ``gateway.ports.TensorServer``."""
        attributes: dict[str, str | int] = {"bestiary.model": model, "bestiary.photo.bytes": len(photo)}
        with self._tracing.call("infer animals", attributes):
            return await self._models.infer(model, photo, deadline=deadline, options=options, priority=priority)

    async def ready(self, model: str) -> bool:
        """See ``gateway.ports.TensorServer``."""
        return await self._models.ready(model)

    async def config(self, model: str) -> Any:
        """See ``gateway.ports.TensorServer``."""
        return await self._models.config(model)

    async def statistics(self, model: str) -> Any:
        """See ``gateway.ports.TensorServer``."""
        return await self._models.statistics(model)


class TracedJournal:
    """A Journal that remembers whose trace a record belongs to, before it can be stored."""

    def __init__(self, journal: Journal, tracing: Tracing) -> None:
        self._journal = journal
        self._tracing = tracing

    async def append(self, record: Record) -> None:
        """See ``gateway.ports.Journal``."""
        self._tracing.made(record)
        await self._journal.append(record)

    def undrained(self, record_id: UUID) -> Record | None:
        """See ``gateway.ports.Journal``."""
        return self._journal.undrained(record_id)

    async def stored(self, record_id: UUID) -> None:
        """See ``gateway.ports.Journal``."""
        await self._journal.stored(record_id)

    def batches(self) -> AsyncIterator[Sequence[Record]]:
        """See ``gateway.ports.Journal``."""
        return self._journal.batches()

    async def commit(self, records: Sequence[Record], *, dead_letters: Collection[UUID] = ()) -> None:
        """See ``gateway.ports.Journal``."""
        await self._journal.commit(records, dead_letters=dead_letters)

    def seal(self) -> None:
        """See ``gateway.ports.Journal``."""
        self._journal.seal()


class TracedStore:
    """A ResultStore whose writes are spans in the traces of their records."""

    def __init__(self, store: ResultStore, tracing: Tracing, system: str) -> None:
        """``system``: what it is, as ``db.system.name`` has it, e.g. ``sqlite``."""
        self._store = store
        self._tracing = tracing
        self._system = system

    async def upsert(self, records: Sequence[Record]) -> None:
        """See ``gateway.ports.ResultStore``."""
        started = time.monotonic()
        await self._store.upsert(records)
        attributes: dict[str, str | int] = {
            "db.system.name": self._system,
            "db.operation.name": "upsert",
            "db.operation.batch.size": len(records),
        }
        self._tracing.stored([record.id for record in records], time.monotonic() - started, attributes)

    async def get(self, record_id: UUID) -> Record:
        """See ``gateway.ports.ResultStore``."""
        return await self._store.get(record_id)

    async def list(self, query: ListQuery) -> Page:
        """See ``gateway.ports.ResultStore``."""
        return await self._store.list(query)

    async def counts_by_day(self, since: datetime, until: datetime, *, owner: str = "") -> tuple[DayCount, ...]:
        """See ``gateway.ports.ResultStore``."""
        return await self._store.counts_by_day(since, until, owner=owner)

    async def close(self) -> None:
        """See ``gateway.ports.ResultStore``."""
        await self._store.close()
