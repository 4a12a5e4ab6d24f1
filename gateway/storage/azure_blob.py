"""Photos in Azure Blob Storage, through ``azure-storage-blob``. Imported only where the settings ask for it.

A photo is staged as uncommitted blocks, which have no name, and committed as a block list. Nobody reads it before,
and blocks that are never committed are dropped by the service after a week, so discarding costs nothing.

What is copied: nothing but pieces of ``PIECE_BYTES``. The SDK is given an object that walks over the photo, and again
over it for a retry. Given the bytes, it would write them to the transport at once, which copies whatever the socket
does not take; given an ``io.BytesIO``, aiohttp asks for its buffer, and that copies the whole. Reading fills one
buffer, with at most two chunks of ``CHUNK_BYTES`` beside it, and its bytes are handed on without another copy.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from gateway.blob_names import CONTAINERS, split_name
from gateway.errors import StorageUnavailable
from gateway.storage.azure_faults import BoundedRetry, error_code, storage_errors

log = logging.getLogger(__name__)

BLOCK_BYTES: Final = 8 << 20
"""Nearly every photo is one block; a broken connection costs a larger one no more than this."""
PIECE_BYTES: Final = 128 << 10
"""Bytes that are given to the socket at a time."""
CHUNK_BYTES: Final = 4 << 20
"""Bytes of one read."""
CLOSE_S: Final = 10.0
"""Seconds that closing waits for what was begun. Nobody waits for it any more, as requests end before."""
_MEDIA_TYPES: Final = {"jpg": "jpeg", "tif": "tiff"}
_IMAGES: Final = frozenset({"jpg", "png", "webp", "bmp", "gif", "tif"})
_DIGEST: Final = re.compile(r"(?:^|/)([0-9a-f]{64})\.[a-z]+$")
_THERE_ALREADY: Final = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BlobTimes:
    """Seconds: to connect, to wait for the next bytes, and the mean wait before a retry."""

    connect_s: float = 3.0
    read_s: float = 10.0
    backoff_s: float = 0.2


@dataclass(frozen=True, slots=True)
class _Block:
    """Its id says its place and content, so that staging the same photo again replaces the same blocks."""

    number: int
    md5: bytes
    start: int
    end: int

    @property
    def id(self) -> str:
        return f"{self.number:05d}-{self.md5.hex()}"


class StagedBlocks:
    """Uncommitted blocks waiting for their name (the StagedBlob port)."""

    def __init__(self, commit: Callable[[], Coroutine[None, None, None]]) -> None:
        self._commit = commit

    async def commit(self) -> None:
        """Give the blocks their name; a no-op if a blob has it. Raises StorageUnavailable."""
        await self._commit()

    async def discard(self) -> None:
        """Nothing to do: uncommitted blocks expire."""


class AzureBlobStore:
    """The BlobStore port on one storage account."""

    def __init__(self, client: BlobServiceClient, credential: AsyncTokenCredential | None = None) -> None:
        """As made by :func:`connect`. Both are closed with the store."""
        self.client = client
        self._credential = credential
        self._work: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def create_containers(self) -> None:
        """Create what is missing, private. An identity that may not create any is fine: then they have to be there.

        Raises StorageUnavailable if the account cannot be reached.
        """
        for container in CONTAINERS:
            with storage_errors("make room for"):
                try:
                    await self.client.create_container(container)
                    log.info("created the blob container %s", container)
                except ResourceExistsError:
                    continue
                except HttpResponseError as error:
                    if error.status_code != 403:
                        raise
                    log.info("not allowed to create the blob container %s: it has to be there", container)

    async def stage(self, name: str, data: bytes) -> StagedBlocks:
        """Send the bytes under no name yet. Raises InvalidRequest, StorageUnavailable."""
        blob = self._blob(name)
        return await self._finish(self._stage(name, blob, data))

    async def put(self, name: str, data: bytes) -> None:
        """Stage and commit. Raises as :meth:`stage`."""
        await (await self.stage(name, data)).commit()

    async def get(self, name: str, *, check_size: Callable[[int], None] | None = None) -> bytes:
        """The bytes, of one version of the blob and as its Content-MD5 says, where it has one.

        Raises InvalidRequest, RecordNotFound, StorageUnavailable, and what ``check_size`` raises.
        """
        blob = self._blob(name)
        with storage_errors("read"):
            found = await blob.get_blob_properties()
            if check_size is not None:
                check_size(found.size)
            stream = await blob.download_blob(
                etag=found.etag,
                match_condition=MatchConditions.IfNotModified,
                max_concurrency=1,
                decompress=False,  # the bytes that were stored: nothing small becomes large in memory
            )
            whole = _Bounded(found.size)
            await stream.readinto(whole)
        data = whole.getvalue()
        expected = found.content_settings.content_md5
        if len(data) != found.size or (expected and bytes(expected) != (await _digests(data))[0]):
            raise StorageUnavailable("Blob Storage sent something else than was stored. Retry later.")
        return data

    async def close(self) -> None:
        """Finish what was begun, within ``CLOSE_S``; further calls raise StorageUnavailable."""
        self._closed = True
        if self._work:
            _, late = await asyncio.wait(self._work, timeout=CLOSE_S)
            for task in late:
                log.error("a photo could not be sent to Blob Storage before the service stopped")
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.client.close()
        if self._credential is not None:
            await self._credential.close()

    def _blob(self, name: str) -> BlobClient:
        container, path = split_name(name)
        if self._closed:
            raise StorageUnavailable("The photo store is closed.")
        return self.client.get_blob_client(container, path)

    async def _finish(self, work: Coroutine[None, None, _T]) -> _T:
        """Await work that ends, whoever stops waiting for it."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    async def _stage(self, name: str, blob: BlobClient, data: bytes) -> StagedBlocks:
        md5, blocks = await _digests(data)
        for block in blocks:
            body: Any = _Pieces(memoryview(data)[block.start : block.end])  # the SDK's hints leave out what it takes
            with storage_errors("take"):
                await blob.stage_block(
                    block.id,
                    body,
                    length=block.end - block.start,
                    headers={"Content-MD5": base64.b64encode(block.md5).decode()},
                )
        return StagedBlocks(lambda: self._finish(_commit(name, blob, md5, blocks)))


async def _commit(name: str, blob: BlobClient, md5: bytes, blocks: Sequence[_Block]) -> None:
    """Unless a blob has the name: then it has the bytes too, as names say the content."""
    digest = _DIGEST.search(name)
    with storage_errors("keep"):
        try:
            await blob.commit_block_list(
                [BlobBlock(block.id) for block in blocks],
                content_settings=ContentSettings(content_type=_media_type(name), content_md5=bytearray(md5)),
                metadata={"sha256": digest.group(1)} if digest else None,
                match_condition=MatchConditions.IfMissing,
            )
        except (ResourceExistsError, ResourceModifiedError) as error:
            if error_code(error) not in _THERE_ALREADY:
                raise
        except HttpResponseError as error:
            # Another commit of the same name came first and took or dropped these blocks.
            if error_code(error) != "InvalidBlockList" or not await blob.exists():
                raise


class _Pieces:
    """The body of a request. Each walk over it begins anew, so that a request can be repeated."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for start in range(0, len(self._data), PIECE_BYTES):
            yield self._data[start : start + PIECE_BYTES]


class _Bounded(io.BytesIO):
    """A buffer that takes no more than was announced."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._limit:
            raise OSError(f"more than the {self._limit} bytes that were announced")
        return super().write(data)


async def _digests(data: bytes) -> tuple[bytes, list[_Block]]:
    """MD5 of the whole and of each block, beside the event loop unless that costs more than the hashing."""
    return _hash(data) if len(data) < 256 * 1024 else await asyncio.to_thread(_hash, data)


def _hash(data: bytes) -> tuple[bytes, list[_Block]]:
    whole = hashlib.md5(data, usedforsecurity=False).digest()
    if len(data) <= BLOCK_BYTES:
        return whole, [_Block(0, whole, 0, len(data))] if data else []
    view = memoryview(data)
    blocks = []
    for number, start in enumerate(range(0, len(data), BLOCK_BYTES)):
        end = min(start + BLOCK_BYTES, len(data))
        blocks.append(_Block(number, hashlib.md5(view[start:end], usedforsecurity=False).digest(), start, end))
    return whole, blocks


def _media_type(name: str) -> str:
    suffix = name.rpartition(".")[2].lower()
    return f"image/{_MEDIA_TYPES.get(suffix, suffix)}" if suffix in _IMAGES else "application/octet-stream"


def connect(
    *, account_url: str = "", connection_string: str = "", times: BlobTimes | None = None, **transport: Any
) -> AzureBlobStore:
    """A store over a connection string (with a key), or else over the account's URL with a managed identity (whatever
    ``DefaultAzureCredential`` finds). ``transport`` goes to the SDK's clients.

    Raises ValueError: neither or both are given, or the client does not take them; nothing secret is in it.
    """
    times = times or BlobTimes()
    # One line for each request at level info is the SDK's habit.
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
    options: dict[str, Any] = {
        "retry_policy": BoundedRetry(times.backoff_s),
        "connection_timeout": times.connect_s,
        "read_timeout": times.read_s,
        "max_single_get_size": CHUNK_BYTES,
        "max_chunk_get_size": CHUNK_BYTES,
        "permit_redirects": False,  # a redirect could lead out of the account
        **transport,
    }
    if bool(account_url) == bool(connection_string):
        raise ValueError("blobs=azure needs either BESTIARY_BLOB_ACCOUNT_URL or BESTIARY_BLOB_CONNECTION_STRING.")
    if connection_string:
        client = None
        with suppress(ValueError):
            client = BlobServiceClient.from_connection_string(connection_string, **options)
        if client is None or not getattr(client.credential, "account_key", None):
            raise ValueError(
                "BESTIARY_BLOB_CONNECTION_STRING is no connection string with an AccountKey: copy it again."
            )
        return AzureBlobStore(client)
    if not account_url.startswith("https://") or re.search(r"[?#@%\s]", account_url):
        raise ValueError("BESTIARY_BLOB_ACCOUNT_URL must be like https://NAME.blob.core.windows.net, without a query.")
    from azure.identity.aio import DefaultAzureCredential

    credential = DefaultAzureCredential()
    return AzureBlobStore(BlobServiceClient(account_url, credential=credential, **options), credential)
