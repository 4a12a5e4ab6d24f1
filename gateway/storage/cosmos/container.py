"""The container and everything that is said to it: connecting, requests, their charges and their faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.storage.cosmos import faults, layout
from gateway.storage.cosmos.client import CosmosOptions, Credentials, make_client

OnCharge = Callable[[str, float], None]
"""Called with the operation (``upsert``, ``get``, ``list``, ``counts``, ``schema``) and the request units of each
reply, those of failures included."""

_OWNER_RESOURCE_NOT_FOUND: Final = 1003
_READ_SESSION_NOT_AVAILABLE: Final = 1002
_ABSENCES: Final = (_OWNER_RESOURCE_NOT_FOUND, _READ_SESSION_NOT_AVAILABLE)
"""Sub-status of the 404s that do not say that the item is missing: no container, or a replica that is behind our own
writes."""

_log = logging.getLogger(__name__)


class RecordContainer:
    """One container, connected when it is first needed and again after it was lost."""

    def __init__(self, options: CosmosOptions, on_charge: OnCharge, on_lost: Callable[[], None]) -> None:
        self._options = options
        self._on_charge = on_charge
        self._on_lost = on_lost
        self._client: CosmosClient | None = None
        self._credentials: Credentials | None = None
        self._ready: ContainerProxy | None = None
        self._opening = asyncio.Lock()
        self._requests = asyncio.Semaphore(options.concurrency)
        self._closed = False

    async def read(self, record_id: UUID) -> dict[str, Any]:
        """Point read of a document. Raises RecordNotFound, StorageUnavailable."""
        container = await self.connect()
        key = list(layout.partition(record_id))
        async with self._request("get"):
            try:
                return await container.read_item(str(record_id), partition_key=key, response_hook=self._hook("get"))
            except CosmosHttpResponseError as error:
                if error.status_code != HTTPStatus.NOT_FOUND or error.sub_status in _ABSENCES:
                    raise
                self._meter("get", faults.headers_of(error))
                raise RecordNotFound(f"There is no record {record_id}.") from error

    async def write(self, batch: layout.Batch) -> Exception | None:
        """One transactional batch; returns the error instead of raising it, so that its siblings come to their end."""
        operations = [("upsert", (stored,)) for stored in batch.documents]
        try:
            container = await self.connect()
            async with self._request("upsert", writing=True):
                await container.execute_item_batch(
                    operations, partition_key=list(batch.partition), response_hook=self._hook("upsert")
                )
        except (StorageUnavailable, InvalidRequest) as error:
            return error
        return None

    async def rows(
        self, operation: str, partition: tuple[str, ...], query: layout.Query, page_items: int
    ) -> AsyncGenerator[Any, None]:
        """Rows of one query, page after page by continuation. With a prefix of the partition key the SDK asks each
        physical partition that has some of it and appends their rows, so an order holds only within each."""
        container = await self.connect()
        pages = container.query_items(
            query.text,
            parameters=query.for_sdk(),
            partition_key=list(partition),
            max_item_count=page_items,
            response_hook=self._hook(operation),
        ).by_page()
        while True:
            async with self._request(operation):
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
                rows = [row async for row in page]
            for row in rows:
                yield row

    async def close(self) -> None:
        """Release everything; further calls raise StorageUnavailable."""
        self._closed = True
        async with self._opening:
            await self._disconnect()

    async def connect(self) -> ContainerProxy:
        """The container, ready to be asked. Raises StorageUnavailable, ValueError for one that is not ours."""
        if self._ready is None or self._closed:
            async with self._opening:
                if self._closed:
                    raise StorageUnavailable("The result store is closed.")
                if self._ready is None:
                    self._ready = await self._connect()
        return self._ready

    async def _connect(self) -> ContainerProxy:
        """A client that failed to start is not used again: the SDK leaves it half open."""
        try:
            await self._disconnect()  # a client whose container was lost
            async with self._request("schema"):
                self._credentials = Credentials(self._options.key)
                self._client = make_client(self._options, self._credentials)
                await self._client.__aenter__()
                return await self._prepare(self._client)
        except BaseException:
            await self._disconnect()
            raise

    async def _prepare(self, client: CosmosClient) -> ContainerProxy:
        database = await client.create_database_if_not_exists(self._options.database)
        container = await database.create_container_if_not_exists(
            self._options.container,
            PartitionKey(path=list(layout.PARTITION_PATHS), kind="MultiHash"),
            indexing_policy=layout.INDEXING_POLICY,
            default_ttl=self._options.ttl_s,
        )
        properties = await container.read(response_hook=self._hook("schema"))
        if tuple(properties["partitionKey"]["paths"]) != layout.PARTITION_PATHS:
            raise ValueError(
                f"The Cosmos DB container {self._options.container} has another partition key than "
                f"{', '.join(layout.PARTITION_PATHS)}. Name another container; it is made if it is missing."
            )
        if properties.get("defaultTtl") != self._options.ttl_s:
            _log.warning("The Cosmos DB container's TTL is not the one in the settings; the container's holds.")
        return container

    async def _disconnect(self) -> None:
        client, self._client, self._ready = self._client, None, None
        credentials, self._credentials = self._credentials, None
        if client is not None:
            await client.close()
        if credentials is not None:
            await credentials.close()

    @asynccontextmanager
    async def _request(self, operation: str, *, writing: bool = False) -> AsyncIterator[None]:
        """One request among at most ``concurrency``; what the SDK raises becomes ours."""
        async with self._requests:
            try:
                yield
            except faults.FAULTS as error:
                self._meter(operation, faults.headers_of(error))
                if _is_lost(error):
                    self._ready = None
                    self._on_lost()
                raise faults.translated(error, writing=writing) from error

    def _hook(self, operation: str) -> Callable[[Mapping[str, Any], Any], None]:
        return lambda headers, _body: self._meter(operation, headers)

    def _meter(self, operation: str, headers: Mapping[str, Any]) -> None:
        units = faults.charge(headers)
        if units:
            self._on_charge(operation, units)


def _is_lost(error: Exception) -> bool:
    """Whether the container is gone, to be made anew."""
    return (
        isinstance(error, faults.ServiceError)
        and error.status_code == HTTPStatus.NOT_FOUND
        and error.sub_status != _READ_SESSION_NOT_AVAILABLE
    )
