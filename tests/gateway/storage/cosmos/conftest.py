from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from gateway.storage.cosmos.client import CosmosOptions
from gateway.storage.cosmos.store import CosmosResultStore
from tests.support.cosmos_fake import KEY, CosmosFake, running_fake


@dataclass
class Opened:
    """A store on a fake, and what it said that was charged."""

    fake: CosmosFake
    store: CosmosResultStore
    charges: list[tuple[str, float]] = field(default_factory=list)

    def units(self, operation: str) -> float:
        return sum(units for name, units in self.charges if name == operation)


@pytest.fixture
async def fake() -> AsyncIterator[CosmosFake]:
    async with running_fake() as running:
        yield running


@pytest.fixture
async def opened(fake: CosmosFake) -> AsyncIterator[Opened]:
    charges: list[tuple[str, float]] = []
    options = CosmosOptions(fake.endpoint, SecretStr(KEY), timeout_s=2.0)
    store = await CosmosResultStore.open(options, on_charge=lambda *charge: charges.append(charge))
    fake.log.clear()
    charges.clear()
    yield Opened(fake, store, charges)
    await store.close()
