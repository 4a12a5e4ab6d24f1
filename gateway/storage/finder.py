"""Finds an acknowledged record by id, wherever it is on its way to the result store."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from contract.record import Record
from gateway.errors import RecordNotFound
from gateway.ports import Journal, ResultStore


class Letters(Protocol):
    """Records that the store refused."""

    async def get(self, record_id: UUID) -> Record | None:
        """Raises StorageUnavailable."""
        ...


class Siblings(Protocol):
    """Journals of other workers."""

    def exist(self) -> bool:
        """Whether there are any."""
        ...

    async def undrained(self, record_id: UUID) -> Record | None:
        """Raises StorageUnavailable."""
        ...


class RecordFinder:
    """Own journal, store, other workers' journals, store again, dead letters: in this order, because a record
    moves from the journals to one of the last two and is never in none of them."""

    def __init__(self, journal: Journal, store: ResultStore, siblings: Siblings, letters: Letters) -> None:
        self._journal = journal
        self._store = store
        self._siblings = siblings
        self._letters = letters

    async def find(self, record_id: UUID) -> Record:
        """The record. One that the store refused is answered too: it was acknowledged and is kept; only lists do
        not have it. Raises RecordNotFound, StorageUnavailable."""
        if (record := self._journal.undrained(record_id)) is not None:
            return record
        try:
            return await self._store.get(record_id)
        except RecordNotFound as error:
            missing = error
        if self._siblings.exist():
            if (record := await self._siblings.undrained(record_id)) is not None:
                return record
            try:
                return await self._store.get(record_id)
            except RecordNotFound:
                pass
        if (record := await self._letters.get(record_id)) is not None:
            return record
        raise missing
