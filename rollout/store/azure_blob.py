"""The model store in Azure Blob Storage, container ``models``. Imported only where the address asks for it.

Names are those of the directory store. A release is there once its manifest is, which is uploaded last; the state is
swapped under its ETag (``If-Match``; the first one with ``If-None-Match: *``).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob.aio import BlobServiceClient, ContainerClient, ExponentialRetry

from contract.release import Release
from contract.rollout import RolloutState
from rollout.errors import ReleaseBroken, ReleaseNotFound, StateConflict, StoreUnavailable
from rollout.ports import ReportKind, Versioned
from rollout.store.contents import (
    MANIFEST_PATH,
    check_identity,
    check_reporter,
    expected_digest,
    read_manifest,
    read_state,
    wrong_digest,
)

CONTAINER: Final = "models"
STATE: Final = "rollout/state.json"
CHUNK_BYTES: Final = 4 << 20
BLOCK_BYTES: Final = 1 << 20
"""Of one upload: the client's transport writes a body of this size without holding up the event loop."""
CONNECT_S: Final = 3.0
READ_S: Final = 20.0
RETRIES: Final = 3

_CONFLICTS: Final = (ResourceModifiedError, ResourceExistsError)
"""412 for an ETag that is another by now, 409 where there was none and now is one."""


class AzureModelStore:
    """The ModelStore port on one storage account."""

    def __init__(self, client: BlobServiceClient, credential: AsyncTokenCredential | None = None) -> None:
        """As made by :func:`connect`. Both are closed with the store."""
        self._client = client
        self._credential = credential
        self._container: ContainerClient = client.get_container_client(CONTAINER)
        self._made = False

    async def put(self, folder: Path) -> str:
        """See ModelStore. Files that the manifest does not name are not kept."""
        try:
            text = (folder / MANIFEST_PATH).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            raise ReleaseBroken(f"{folder} is no release: it has no manifest at {MANIFEST_PATH}.") from None
        identity, release = read_manifest(text)
        contents = {path: _checked(folder, path, digest, identity) for path, digest in release.files.items()}
        with self._errors():
            await self._make_container()
            if await self._blob(identity, MANIFEST_PATH).exists():
                return identity
            for path, file in contents.items():
                with file.open("rb") as content:
                    await self._blob(identity, path).upload_blob(content, overwrite=True)
            await self._blob(identity, MANIFEST_PATH).upload_blob(text.encode(), overwrite=True)
        return identity

    async def fetch(self, identity: str, folder: Path) -> None:
        """See ModelStore. A ``folder`` that is there is replaced."""
        text = await self._manifest_text(identity)
        _, release = read_manifest(text, identity)
        fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        try:
            for path, digest in release.files.items():
                await self._download(identity, path, digest, fresh / path)
            with self._errors():
                (fresh / MANIFEST_PATH).write_text(text, encoding="utf-8")
                if folder.exists():
                    shutil.rmtree(folder)
                fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    async def releases(self) -> tuple[str, ...]:
        """See ModelStore."""
        found = []
        async for name in self._names("releases/"):
            identity, _, path = name.removeprefix("releases/").partition("/")
            if path == MANIFEST_PATH:
                found.append(identity)
        return tuple(sorted(found))

    async def manifest(self, identity: str) -> Release:
        """See ModelStore."""
        return read_manifest(await self._manifest_text(identity), identity)[1]

    async def text(self, identity: str, path: str) -> str:
        """See ModelStore."""
        text = await self._manifest_text(identity)
        _, release = read_manifest(text, identity)
        if path == MANIFEST_PATH:
            return text
        expected = expected_digest(release, path)
        data, _ = await self._read(_name(identity, path)) or (b"", "")
        if hashlib.sha256(data).hexdigest() != expected:
            raise wrong_digest(identity, path)
        return data.decode()

    async def delete(self, identity: str) -> None:
        """See ModelStore. The manifest goes first: what is left then is no release."""
        await self._delete(_name(check_identity(identity), MANIFEST_PATH))
        async for name in self._names(f"releases/{identity}/"):
            await self._delete(name)

    async def state(self) -> Versioned | None:
        """See ModelStore."""
        read = await self._read(STATE)
        return None if read is None else Versioned(read_state(read[0].decode(errors="replace"), CONTAINER), read[1])

    async def write_state(self, state: RolloutState, version: str | None) -> str:
        """See ModelStore."""
        data = (state.model_dump_json(indent=2) + "\n").encode()
        condition: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if version is not None:
            condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        blob = self._container.get_blob_client(STATE)
        with self._errors():
            await self._make_container()
            try:
                written = await blob.upload_blob(data, overwrite=version is not None, **condition)
            except (*_CONFLICTS, ResourceNotFoundError) as error:
                read = await self._read(STATE)
                if read is not None and read[0] == data and isinstance(error, _CONFLICTS):
                    return read[1]  # ours after all: an answer was lost and the client tried again
                raise StateConflict(
                    "Somebody else changed the rollout in between: look at its status and try again."
                ) from error
        return str(written["etag"])

    async def report(self, kind: ReportKind, name: str, text: str) -> None:
        """See ModelStore."""
        blob = self._container.get_blob_client(f"rollout/{kind}/{check_reporter(name)}.json")
        with self._errors():
            await self._make_container()
            await blob.upload_blob(text.encode(), overwrite=True)

    async def reports(self, kind: ReportKind) -> Mapping[str, str]:
        """See ModelStore."""
        prefix = f"rollout/{kind}/"
        found = {}
        async for name in self._names(prefix):
            read = await self._read(name)
            if read is not None:  # else dropped a moment ago
                found[name.removeprefix(prefix).removesuffix(".json")] = read[0].decode(errors="replace")
        return found

    async def drop_report(self, kind: ReportKind, name: str) -> None:
        """See ModelStore."""
        await self._delete(f"rollout/{kind}/{check_reporter(name)}.json")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        if self._credential is not None:
            await self._credential.close()

    def _blob(self, identity: str, path: str) -> Any:
        return self._container.get_blob_client(_name(identity, path))

    async def _make_container(self) -> None:
        """Create it if it is missing. An identity that may not is fine: then it has to be there."""
        if self._made:
            return
        try:
            await self._container.create_container()
        except ResourceExistsError:
            pass
        except HttpResponseError as error:
            if error.status_code != 403:
                raise
        self._made = True

    async def _manifest_text(self, identity: str) -> str:
        read = await self._read(_name(check_identity(identity), MANIFEST_PATH))
        if read is None:
            raise ReleaseNotFound(f"There is no release {identity} in the store: see `bestiary releases list`.")
        return read[0].decode(errors="replace")

    async def _read(self, name: str) -> tuple[bytes, str] | None:
        """Content and ETag of a small blob, of one version of it; None if there is none."""
        with self._errors():
            try:
                stream = await self._container.get_blob_client(name).download_blob(max_concurrency=1)
                return await stream.readall(), str(stream.properties.etag)
            except ResourceNotFoundError:
                return None

    async def _download(self, identity: str, path: str, expected: str, target: Path) -> None:
        """One file of a release. Raises ReleaseBroken if it is missing or another."""
        digest = hashlib.sha256()
        with self._errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                stream = await self._blob(identity, path).download_blob(max_concurrency=1)
            except ResourceNotFoundError:
                raise ReleaseBroken(f"{path} of {identity} is missing: publish or export it again.") from None
            with target.open("xb") as file:
                async for chunk in stream.chunks():
                    digest.update(chunk)
                    file.write(chunk)
        if digest.hexdigest() != expected:
            raise wrong_digest(identity, path)

    async def _names(self, prefix: str) -> Any:
        with self._errors():
            try:
                async for name in self._container.list_blob_names(name_starts_with=prefix):
                    yield name
            except ResourceNotFoundError:
                return  # not even a container

    async def _delete(self, name: str) -> None:
        with self._errors():
            try:
                await self._container.get_blob_client(name).delete_blob()
            except ResourceNotFoundError:
                return

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # also AzureError's transport errors of some clients
            what = os.strerror(error.errno) if error.errno else type(error).__name__
            raise StoreUnavailable(f"The model store cannot be used: {what}.") from error
        except AzureError as error:
            code = getattr(error, "error_code", None) or type(error).__name__
            raise StoreUnavailable(
                f"The model store in Blob Storage cannot be used ({getattr(code, 'value', code)}): check its address, "
                f"and that this identity has the role Storage Blob Data Contributor."
            ) from error


def _name(identity: str, path: str) -> str:
    return f"releases/{identity}/{path}"


def _checked(folder: Path, path: str, expected: str, identity: str) -> Path:
    """The file, whose content is what the manifest says. Raises ReleaseBroken."""
    file = folder / path
    digest = hashlib.sha256()
    try:
        with file.open("rb") as opened:
            while piece := opened.read(CHUNK_BYTES):
                digest.update(piece)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ReleaseBroken(f"{path} of {identity} is missing: export it again.") from None
    if digest.hexdigest() != expected:
        raise wrong_digest(identity, path)
    return file


def connect(account_url: str = "", *, connection_string: str = "") -> AzureModelStore:
    """A store at an account's URL with a managed identity (whatever ``DefaultAzureCredential`` finds), or over a
    connection string with a key, for the emulator. Raises StoreUnavailable for what is no such address."""
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
    options: dict[str, Any] = {
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=RETRIES),
        "connection_timeout": CONNECT_S,
        "read_timeout": READ_S,
        "max_single_get_size": CHUNK_BYTES,
        "max_chunk_get_size": CHUNK_BYTES,
        "max_single_put_size": BLOCK_BYTES,
        "max_block_size": BLOCK_BYTES,
        "permit_redirects": False,  # a redirect could lead out of the account
    }
    if connection_string:
        return AzureModelStore(BlobServiceClient.from_connection_string(connection_string, **options))
    if not account_url.startswith("https://") or re.search(r"[?#@%\s]", account_url):
        raise StoreUnavailable(
            "A model store in Blob Storage is given as https://NAME.blob.core.windows.net, without a query."
        )
    from azure.identity.aio import DefaultAzureCredential

    credential = DefaultAzureCredential()
    return AzureModelStore(BlobServiceClient(account_url, credential=credential, **options), credential)
