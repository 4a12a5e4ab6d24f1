"""TLS on the real listeners of a whole gateway, with and without client certificates; its model server is away."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from gateway.audit import LOGGER
from gateway.auth.certificates import subject_of
from gateway.auth.principal import Scope
from gateway.auth.setup import refuse_open_bind, tls_files
from gateway.server import Gateway
from gateway.settings import Settings
from gateway.tls import TlsFiles, http_context, keep_current
from tests.support.certificates import Authority
from tests.support.stack import ROOT

PATH = "/v1/classifications"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def running(root: Path, **settings: Any) -> AsyncIterator[Gateway]:
    gateway = Gateway(
        Settings(
            http_port=0,
            grpc_port=0,
            triton_address="127.0.0.1:1",
            data_dir=root / "data",
            drain_timeout_s=2,
            release_dir=ROOT / "model_repository" / "animals" / "1",
            **settings,
        )
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
        for handler in LOGGER.handlers[:]:
            LOGGER.removeHandler(handler)


def trusting(authority: Authority, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if pair is not None:
        context.load_cert_chain(*pair)
    return context


def secure_channel(gateway: Gateway, authority: Authority, pair: tuple[Path, Path] | None = None) -> grpc.aio.Channel:
    certificate, key = (None, None) if pair is None else (file.read_bytes() for file in pair)
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), key, certificate)
    return grpc.aio.secure_channel(f"127.0.0.1:{gateway.grpc_port}", credentials)


async def test_both_listeners_speak_tls_and_nothing_else(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("server")
    async with running(tmp_path, tls_certificate_file=certificate, tls_key_file=key) as gateway:
        async with httpx.AsyncClient(verify=trusting(authority)) as http:
            answer = await http.get(f"https://127.0.0.1:{gateway.http_port}/livez")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            with pytest.raises(httpx.TransportError):
                await http.get(f"http://127.0.0.1:{gateway.http_port}/livez")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            async with httpx.AsyncClient() as http:
                await http.get(f"https://127.0.0.1:{gateway.http_port}/livez")
        async with secure_channel(gateway, authority) as channel:
            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_certificate_is_required_and_names_its_caller(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("server")
    mine = authority.issue("camera-7", client=True)
    (tmp_path / "other").mkdir()
    strangers = Authority(tmp_path / "other", "other CA").issue("camera-7", client=True)
    settings = {
        "tls_certificate_file": certificate, "tls_key_file": key, "tls_client_ca_file": authority.file,
        "client_certificate_scopes": (Scope.READ,),
    }  # fmt: skip
    async with running(tmp_path, **settings) as gateway:
        url = f"https://127.0.0.1:{gateway.http_port}"
        async with httpx.AsyncClient(verify=trusting(authority, mine)) as http:
            assert (await http.get(f"{url}{PATH}")).status_code == 200
            assert (await http.post(f"{url}{PATH}", content=b"x")).status_code == 403
            assert (await http.get(f"{url}{PATH}", headers={"X-API-Key": "x"})).status_code == 401
        for pair in (None, strangers):
            with pytest.raises(httpx.TransportError):
                async with httpx.AsyncClient(verify=trusting(authority, pair)) as http:
                    await http.get(f"{url}/livez")
        async with secure_channel(gateway, authority, mine) as channel:
            stub = BestiaryStub(channel)
            assert not (await stub.ListClassifications(pb.ListClassificationsRequest())).classifications
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Classify(pb.ClassifyRequest(photo=b"x"))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            stream = stub.ClassifyStream()
            assert await stream.code() is grpc.StatusCode.PERMISSION_DENIED
        for pair in (None, strangers):
            async with secure_channel(gateway, authority, pair) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await BestiaryStub(channel).ListClassifications(pb.ListClassificationsRequest(), timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_where_it_is_optional_a_caller_without_one_needs_other_credentials(
    tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.issue("server")
    mine = authority.issue("camera-7", client=True)
    settings = {
        "tls_certificate_file": certificate, "tls_key_file": key, "tls_client_ca_file": authority.file,
        "client_certificate_scopes": (Scope.READ,), "tls_client_certificates": "optional",
    }  # fmt: skip
    async with running(tmp_path, **settings) as gateway:
        url = f"https://127.0.0.1:{gateway.http_port}"
        async with httpx.AsyncClient(verify=trusting(authority)) as http:
            assert (await http.get(f"{url}/livez")).status_code == 200
            assert (await http.get(f"{url}{PATH}")).status_code == 401
        async with httpx.AsyncClient(verify=trusting(authority, mine)) as http:
            assert (await http.get(f"{url}{PATH}")).status_code == 200
        async with secure_channel(gateway, authority) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await BestiaryStub(channel).ListClassifications(pb.ListClassificationsRequest())
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_whole_subject_is_the_callers_name(authority: Authority) -> None:
    certificate, _ = authority.issue("camera-7", client=True)
    assert subject_of(certificate.read_bytes()) == "CN=camera-7,O=park"
    assert subject_of(b"nonsense") == ""


async def serial_over_http(port: int, authority: Authority) -> int:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(authority))
    found = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return int(found, 16)


async def test_a_new_certificate_is_taken_up_and_a_half_written_one_is_not(
    tmp_path: Path, authority: Authority, until: Callable[..., Any]
) -> None:
    certificate, key = authority.issue("server")
    context = http_context(files := TlsFiles(certificate, key))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    watch = asyncio.create_task(keep_current(context, files, look_again_s=0.005))
    try:
        await asyncio.sleep(0)
        first = await serial_over_http(port, authority)
        good = certificate.read_bytes()
        certificate.write_bytes(good[: len(good) // 2])
        await asyncio.sleep(0.05)
        assert await serial_over_http(port, authority) == first
        authority.issue("server")

        async def renewed() -> bool:
            return await serial_over_http(port, authority) != first

        await until(renewed)
    finally:
        watch.cancel()
        server.close()
        await server.wait_closed()


async def test_grpc_takes_up_a_new_certificate(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("server")
    async with running(tmp_path, tls_certificate_file=certificate, tls_key_file=key) as gateway:
        async with secure_channel(gateway, authority) as channel:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        (tmp_path / "new").mkdir()
        newer = Authority(tmp_path / "new")
        for old, new in zip((certificate, key), newer.issue("server"), strict=True):
            new.replace(old)
        async with secure_channel(gateway, newer) as channel:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


def settings(**given: Any) -> Settings:
    return Settings(**given)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_credentials(host: str) -> None:
    refuse_open_bind(settings(host=host))


KEYS = {"api_keys_file": Path("keys.json")}
TLS = {"tls_certificate_file": Path("a"), "tls_key_file": Path("b")}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "192.168.0.1", "gateway.example", "localhost.example"])
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "credentials .* and TLS"),
        (KEYS, "without TLS"),
        ({"entra_tenants": ("t",)}, "without TLS"),
        (TLS, "without credentials"),
        ({"tls_terminated_by_proxy": True}, "without credentials"),
    ],
)
def test_any_other_address_needs_credentials_and_tls(host: str, given: dict[str, Any], missing: str) -> None:
    with pytest.raises(ValueError, match=f"will not listen on {host}.*{missing}"):
        refuse_open_bind(settings(host=host, **given))


@pytest.mark.parametrize("given", [KEYS | TLS, KEYS | {"tls_terminated_by_proxy": True}])
def test_with_both_it_listens_anywhere(given: dict[str, Any]) -> None:
    refuse_open_bind(settings(host="0.0.0.0", **given))


def test_every_page_is_no_origin() -> None:
    with pytest.raises(ValueError, match="name each origin"):
        refuse_open_bind(settings(cors_origins=("*",)))


def test_half_of_tls_is_said() -> None:
    with pytest.raises(ValueError, match="set both"):
        tls_files(settings(tls_certificate_file=Path("a")))
