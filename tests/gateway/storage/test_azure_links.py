"""Links to photos: they read one blob, for a while, and do nothing else. On Azurite and on the fake."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob.aio import BlobServiceClient

from gateway.clock import SystemClock
from gateway.errors import InvalidRequest, StorageUnavailable
from gateway.storage.azure_blob import AzureBlobStore, connect
from gateway.storage.azure_links import KEY_LIFE, AzurePhotoLinks
from tests.support.azurite import ACCOUNT, running_azurite
from tests.support.blob_fake import running_fake
from tests.support.loopback_tls import loopback_certificate, server_context

NAME = "uploads/ab/ab cd ö.jpg"
OTHER = "uploads/ab/other.jpg"


@dataclass
class ShiftedClock:
    """Wall time moved by so much."""

    by: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by

    def monotonic(self) -> float:
        return time.monotonic()


@asynccontextmanager
async def on_azurite(folder: Path) -> AsyncIterator[AzureBlobStore]:
    with running_azurite(folder) as connection_string:
        store = connect(connection_string=connection_string)
        await store.create_containers()
        yield store
        await store.close()


@asynccontextmanager
async def on_fake(folder: Path) -> AsyncIterator[AzureBlobStore]:
    async with running_fake() as fake:
        store = connect(connection_string=fake.connection_string)
        await store.create_containers()
        yield store
        await store.close()


@pytest.fixture(params=[on_azurite, on_fake])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AzureBlobStore]:
    async with request.param(tmp_path) as opened:
        await opened.put(NAME, b"photo")
        await opened.put(OTHER, b"other")
        yield opened


async def test_a_link_reads_its_photo_without_credentials_and_only_reads(store: AzureBlobStore) -> None:
    link = await AzurePhotoLinks(store.client, SystemClock(), 300).link(NAME)
    async with httpx.AsyncClient() as http:
        answer = await http.get(link.url)
        assert (answer.status_code, answer.content) == (200, b"photo")
        assert answer.headers["content-type"] == "image/jpeg"
        assert (await http.get(link.url.partition("?")[0])).status_code in (401, 403, 404)
        put = await http.put(link.url, content=b"evil", headers={"x-ms-blob-type": "BlockBlob"})
        delete = await http.delete(link.url)
        block = await http.put(f"{link.url}&comp=block&blockid=AAAA", content=b"evil")
        listing = await http.get(f"{link.url.partition('/uploads/')[0]}/uploads?restype=container&comp=list")
        assert all(reply.status_code >= 400 for reply in (put, delete, block, listing))
    assert await store.get(NAME) == b"photo"


async def test_a_link_is_for_one_photo(store: AzureBlobStore) -> None:
    links = AzurePhotoLinks(store.client, SystemClock(), 300)
    signature = (await links.link(NAME)).url.partition("?")[2]
    other = (await links.link(OTHER)).url.partition("?")[0]
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{other}?{signature}")).status_code == 403


async def test_a_link_expires_when_it_says_so(store: AzureBlobStore) -> None:
    clock = ShiftedClock()
    link = await AzurePhotoLinks(store.client, clock, 300).link(NAME)
    assert timedelta(seconds=298) < link.expires_at - clock.now() <= timedelta(seconds=300)
    clock.by = timedelta(seconds=-400)
    expired = await AzurePhotoLinks(store.client, clock, 300).link(NAME)
    async with httpx.AsyncClient() as http:
        assert (await http.get(link.url)).status_code == 200
        assert (await http.get(expired.url)).status_code == 403
        longer = expired.url.replace(expired.expires_at.strftime("%Y-%m-%d"), "2099-01-01")
        assert longer != expired.url
        assert (await http.get(longer)).status_code == 403, "the expiry is signed"


async def test_no_link_is_made_for_what_is_no_blob(store: AzureBlobStore) -> None:
    links = AzurePhotoLinks(store.client, SystemClock(), 300)
    for name in ("", "uploads", "secrets/a.jpg", "uploads/../models/a"):
        with pytest.raises(InvalidRequest):
            await links.link(name)


class Identity:
    """A managed identity that has its token already."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes == ("https://storage.azure.com/.default",)
        return AccessToken(self.token, int(time.time()) + 3600)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> Identity:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_a_managed_identity_needs_no_key_on_azurite(tmp_path: Path) -> None:
    cert, key = loopback_certificate(tmp_path)
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/0/", "oid": "o", "tid": "t"}
    token = jwt.encode({**claims, "iat": now - 60, "nbf": now - 60, "exp": now + 3600, "ver": "1.0"}, "k" * 32)
    with running_azurite(tmp_path, (cert, key)) as connection_string:
        url = connection_string.partition("BlobEndpoint=")[2].rstrip(";")
        client = BlobServiceClient(url, credential=Identity(token), connection_verify=str(cert))
        store = AzureBlobStore(client)
        await store.create_containers()
        await store.put(NAME, b"photo")
        assert await store.get(NAME) == b"photo"
        # Its user delegation key is real; Azurite does not know the signature's newest version, the fake below does.
        link = await AzurePhotoLinks(client, SystemClock(), 300).link(NAME)
        assert {"skoid=o", "sktid=t", "sp=r", "sr=b", "spr=https"} <= set(link.url.partition("?")[2].split("&"))
        await store.close()


async def test_a_managed_identity_signs_with_a_delegation_key_that_it_asks_for_once(tmp_path: Path) -> None:
    cert, key = loopback_certificate(tmp_path)
    async with running_fake(server_context(cert, key)) as fake:
        fake.token = "token-of-the-identity"
        client = BlobServiceClient(
            f"https://127.0.0.1:{fake.port}/{ACCOUNT}", credential=Identity(fake.token), connection_verify=str(cert)
        )
        store = AzureBlobStore(client)
        await store.create_containers()
        await store.put(NAME, b"photo")
        assert await store.get(NAME) == b"photo"
        clock = ShiftedClock()
        links = AzurePhotoLinks(client, clock, 300)
        made = [await links.link(NAME) for _ in range(3)]
        asked = [request for request in fake.requests if "userdelegationkey" in request]
        assert len(asked) == 1
        async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(cert))) as http:
            for link in made:
                assert "spr=https&" in link.url
                assert (await http.get(link.url)).content == b"photo"
            assert (await http.delete(made[0].url)).status_code == 403
        clock.by = KEY_LIFE
        await links.link(NAME)
        assert len([request for request in fake.requests if "userdelegationkey" in request]) == 2
        fake.fail("500", times=9, query="userdelegationkey")
        clock.by = 2 * KEY_LIFE
        client._config.retry_policy.total_retries = 0
        with pytest.raises(StorageUnavailable):
            await links.link(NAME)
        await store.close()
