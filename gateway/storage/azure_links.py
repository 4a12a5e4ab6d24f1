"""Short-lived links to photos: shared access signatures (SAS) for one blob, for reading, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from azure.storage.blob import BlobSasPermissions, UserDelegationKey, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from gateway.blob_names import split_name
from gateway.ports import Clock, Link
from gateway.storage.azure_faults import storage_errors

KEY_LIFE: Final = timedelta(hours=6)
"""How long a user delegation key is asked for; Azure grants seven days at most. It is renewed at half of that."""
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a key's start lies back, as clocks differ."""


class AzurePhotoLinks:
    """The PhotoLinks port: signed with the account's key, or with a user delegation key where a managed identity is
    used (it needs the role Storage Blob Delegator)."""

    def __init__(self, client: BlobServiceClient, clock: Clock, ttl_s: float) -> None:
        """``ttl_s``: how long a link is good for, seconds."""
        self._client, self._clock, self._ttl = client, clock, timedelta(seconds=ttl_s)
        self._key: UserDelegationKey | None = None
        self._key_ends: datetime | None = None
        self._renewing = asyncio.Lock()

    async def link(self, name: str) -> Link:
        """A URL that reads this blob. Raises InvalidRequest, StorageUnavailable."""
        container, path = split_name(name)
        expires_at = (self._clock.now() + self._ttl).replace(microsecond=0)  # a signature says whole seconds
        account_key: str | None = getattr(self._client.credential, "account_key", None)
        blob = self._client.get_blob_client(container, path)
        signature = generate_blob_sas(
            str(self._client.account_name),
            container,
            path,
            account_key=account_key,
            user_delegation_key=None if account_key else await self._delegation_key(),
            permission=BlobSasPermissions(read=True),
            expiry=expires_at,
            protocol="https" if urlsplit(blob.url).scheme == "https" else "https,http",
        )
        return Link(f"{blob.url}?{signature}", expires_at)

    async def _delegation_key(self) -> UserDelegationKey:
        async with self._renewing:
            now = self._clock.now()
            if self._key is None or self._key_ends is None or now + self._ttl + KEY_LIFE / 2 > self._key_ends:
                ends = now + self._ttl + KEY_LIFE
                with storage_errors("link to"):
                    self._key = await self._client.get_user_delegation_key(now - CLOCK_SKEW, ends)
                self._key_ends = ends
            return self._key
