"""Which blob store the settings ask for. Azure's packages are imported only if it is theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from gateway.blob_names import BlobReferences
from gateway.ports import BlobStore, Clock, PhotoLinks
from gateway.storage.directory import DirectoryBlobStore


class BlobSettings(Protocol):
    """What is read of gateway.settings.Settings."""

    @property
    def data_dir(self) -> Path: ...  # noqa: D102
    @property
    def blobs(self) -> str: ...  # noqa: D102
    @property
    def blob_account_url(self) -> str: ...  # noqa: D102
    @property
    def blob_connection_string(self) -> SecretStr | None: ...  # noqa: D102
    @property
    def blob_reference_containers(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def blob_link_ttl_s(self) -> float: ...  # noqa: D102
    @property
    def blob_connect_timeout_s(self) -> float: ...  # noqa: D102
    @property
    def blob_read_timeout_s(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Blobs:
    """Where photos are, which of them may be referred to, and who makes links; None where the gateway serves them."""

    store: BlobStore
    references: BlobReferences
    links: PhotoLinks | None


async def open_blobs(settings: BlobSettings, clock: Clock) -> Blobs:
    """Open what ``settings.blobs`` names. Raises ValueError (a setting is wrong, a package is missing),
    StorageUnavailable."""
    if settings.blobs == "directory":
        references = BlobReferences(settings.blob_reference_containers)
        return Blobs(DirectoryBlobStore(settings.data_dir / "blobs"), references, None)
    try:
        from gateway.storage.azure_blob import BlobTimes, connect
        from gateway.storage.azure_links import AzurePhotoLinks
    except ImportError as error:
        raise ValueError("BESTIARY_BLOBS=azure needs the azure extra: pip install 'bestiary[azure]'.") from error
    secret = settings.blob_connection_string
    store = connect(
        account_url=settings.blob_account_url,
        connection_string=secret.get_secret_value() if secret else "",
        times=BlobTimes(settings.blob_connect_timeout_s, settings.blob_read_timeout_s),
    )
    try:
        references = BlobReferences(settings.blob_reference_containers, store.client.url)
        await store.create_containers()
    except BaseException:
        await store.close()
        raise
    return Blobs(store, references, AzurePhotoLinks(store.client, clock, settings.blob_link_ttl_s))
