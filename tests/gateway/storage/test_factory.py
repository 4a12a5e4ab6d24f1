from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.settings import Settings, Store
from gateway.storage.cosmos.store import CosmosResultStore
from gateway.storage.factory import open_result_store
from gateway.storage.sqlite import SqliteResultStore
from tests.support.cosmos_fake import KEY, running_fake


async def test_sqlite_is_the_default_and_imports_nothing_of_azure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("gateway.storage.cosmos")]:
        monkeypatch.delitem(sys.modules, name)
    store = await open_result_store(Settings(data_dir=tmp_path))
    assert isinstance(store, SqliteResultStore)
    assert not [name for name in sys.modules if name.startswith("gateway.storage.cosmos")]
    await store.close()


async def test_cosmos_is_opened_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_fake() as fake:
        for name, value in {
            "STORE": "cosmos", "COSMOS_ENDPOINT": fake.endpoint, "COSMOS_KEY": KEY, "COSMOS_DATABASE": "mine",
            "COSMOS_CONTAINER": "photos", "COSMOS_PREFERRED_LOCATIONS": '["Here"]', "COSMOS_TTL_S": "86400",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"BESTIARY_{name}", value)
        settings = Settings()
        assert KEY not in repr(settings)
        charges: list[str] = []
        store = await open_result_store(settings, on_charge=lambda operation, _units: charges.append(operation))
        assert isinstance(store, CosmosResultStore)
        assert fake.databases["mine"]["photos"].properties["defaultTtl"] == 86400
        assert charges == ["schema"]
        await store.close()


async def test_cosmos_without_an_endpoint_says_what_to_set() -> None:
    with pytest.raises(ValueError, match="BESTIARY_COSMOS_ENDPOINT"):
        await open_result_store(Settings(store=Store.COSMOS, cosmos_key=SecretStr(KEY)))


@pytest.mark.parametrize("missing", ["azure.cosmos", "azure.identity.aio", "aiohttp"])
async def test_cosmos_without_azures_packages_says_how_to_get_them(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("gateway.storage.cosmos")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=r"pip install 'bestiary\[azure\]'"):
        await open_result_store(Settings(store=Store.COSMOS, cosmos_endpoint="https://x.documents.azure.com"))
