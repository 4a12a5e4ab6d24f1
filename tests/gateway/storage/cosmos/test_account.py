"""Credentials and regions: what the SDK does with the account, as the store sets it up."""

from __future__ import annotations

import datetime
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.ports import ListQuery
from gateway.storage.cosmos import client
from gateway.storage.cosmos.client import CosmosOptions
from gateway.storage.cosmos.store import CosmosResultStore
from tests.support.cosmos_fake import KEY, Fault, running_fake

MakeRecord = Callable[..., Record]


class Identity:
    """In place of DefaultAzureCredential: gives one token, or fails."""

    token: str | None = "a-token"
    scopes: list[str] = []  # noqa: RUF012  # what was asked for, of all instances
    closed = 0

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes.extend(scopes)
        if self.token is None:
            raise ClientAuthenticationError("no managed identity endpoint")
        return AccessToken(self.token, int(time.time()) + 3600)

    async def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> type[Identity]:
    fresh = type("Fresh", (Identity,), {"scopes": [], "closed": 0})
    monkeypatch.setattr(client, "DefaultAzureCredential", fresh)
    return fresh


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A certificate of its own; the SDK checks none on loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "both.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    return context


async def test_without_a_key_the_managed_identity_signs(
    identity: type[Identity], tls: ssl.SSLContext, make_record: MakeRecord
) -> None:
    async with running_fake(tls=tls) as fake:
        fake.tokens.add("a-token")
        store = await CosmosResultStore.open(CosmosOptions(fake.endpoint))
        record = make_record()
        await store.upsert([record])
        assert await store.get(record.id) == record
        await store.close()
    assert set(identity.scopes) == {"https://127.0.0.1/.default"}
    assert identity.closed == 1


async def test_an_identity_that_is_missing_is_an_outage_and_is_said(
    identity: type[Identity], tls: ssl.SSLContext, make_record: MakeRecord
) -> None:
    identity.token = None
    async with running_fake(tls=tls) as fake:
        store = await CosmosResultStore.open(CosmosOptions(fake.endpoint))
        with pytest.raises(StorageUnavailable, match="No credentials"):
            await store.upsert([make_record()])
        await store.close()


async def test_reads_go_to_the_preferred_region_and_on_to_the_next_when_it_fails(make_record: MakeRecord) -> None:
    async with running_fake() as here, running_fake() as there:
        there.databases = here.databases
        here.read_locations = [("Here", here.endpoint), ("There", there.endpoint)]
        options = CosmosOptions(here.endpoint, SecretStr(KEY), preferred_locations=("There", "Here"))
        store = await CosmosResultStore.open(options)
        record = make_record()
        await store.upsert([record])
        assert await store.get(record.id) == record
        assert (here.operations("read"), there.operations("read")) == ([], [200])
        assert there.operations("batch") == []
        there.faults = [Fault(503, times=1000)]
        assert await store.get(record.id) == record
        assert (await store.list(ListQuery(limit=1))).records == (record,)
        assert here.operations("read") == [200]
        await store.close()
