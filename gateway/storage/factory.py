"""The result store that the settings name. Azure's packages are imported only when it is theirs."""

from __future__ import annotations

from collections.abc import Callable

from gateway.ports import ResultStore
from gateway.settings import Settings, Store
from gateway.storage.sqlite import SqliteResultStore


async def open_result_store(
    settings: Settings, *, on_charge: Callable[[str, float], None] | None = None
) -> ResultStore:
    """Open it. ``on_charge`` gets each reply's operation and request units, where the store has such.

    Raises StorageUnavailable (SQLite's file), ValueError for settings that cannot work.
    """
    match settings.store:
        case Store.SQLITE:
            return await SqliteResultStore.open(settings.data_dir / "results.sqlite")
        case Store.COSMOS:
            return await _open_cosmos(settings, on_charge)


async def _open_cosmos(settings: Settings, on_charge: Callable[[str, float], None] | None) -> ResultStore:
    try:
        from gateway.storage.cosmos.client import CosmosOptions
        from gateway.storage.cosmos.store import CosmosResultStore
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"aiohttp", "azure"}:
            raise
        raise ValueError("The result store `cosmos` needs Azure's packages: pip install 'bestiary[azure]'.") from error
    if not settings.cosmos_endpoint:
        raise ValueError("The result store `cosmos` needs an endpoint: set BESTIARY_COSMOS_ENDPOINT.")
    options = CosmosOptions(
        endpoint=settings.cosmos_endpoint,
        key=settings.cosmos_key,
        database=settings.cosmos_database,
        container=settings.cosmos_container,
        preferred_locations=settings.cosmos_preferred_locations,
        multiple_write_locations=settings.cosmos_multiple_write_locations,
        endpoint_discovery=settings.cosmos_endpoint_discovery,
        consistency=settings.cosmos_consistency,
        ttl_s=settings.cosmos_ttl_s,
        timeout_s=settings.cosmos_timeout_s,
        concurrency=settings.cosmos_concurrency,
    )
    return await CosmosResultStore.open(options, on_charge=on_charge)
