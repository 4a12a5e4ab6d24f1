from __future__ import annotations

from pydantic import SecretStr

from benchmarks.cosmos_charges import charges, table
from gateway.storage.cosmos.client import CosmosOptions
from tests.support.cosmos_fake import KEY, running_fake


async def test_each_operation_of_the_service_has_its_charge() -> None:
    async with running_fake() as fake:
        measured = await charges(CosmosOptions(fake.endpoint, SecretStr(KEY)), records=60, days=3)
    assert len({charge.operation for charge in measured}) == len(measured) == 12
    assert all(charge.units > 0 and charge.replies > 0 for charge in measured)
    read = next(charge for charge in measured if charge.operation == "get by id")
    assert read.replies == 1
    assert f"| get by id | {read.units:.2f} | 1 |" in table(measured)
