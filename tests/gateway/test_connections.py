"""What connections may cost, on the real listeners of a whole gateway whose Triton is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from gateway.server import Gateway
from gateway.settings import Settings
from tests.support.stack import ROOT

PATIENCE_S = 20.0
CONNECTIONS = 4

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def running(data: Path, head_timeout_s: float) -> AsyncIterator[Gateway]:
    settings = Settings(
        http_port=0,
        grpc_port=0,
        triton_address="127.0.0.1:1",
        release_dir=ROOT / "model_repository" / "animals" / "1",
        data_dir=data,
        max_connections=CONNECTIONS,
        head_timeout_s=head_timeout_s,
        upload_timeout_s=0.5,
        drain_timeout_s=1.0,
    )
    made = Gateway(settings)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One that soon loses its patience."""
    async with running(tmp_path, 0.5) as made:
        yield made


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One that closes no connection because it is idle."""
    async with running(tmp_path, 10 * PATIENCE_S) as made:
        yield made


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side hangs up; fails if it does not."""
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionResetError:
        return b""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110  # the other side has no event for it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("start", [b"", b"GET /livez HTTP/1.1\r\nHost: local"])
async def test_an_http_head_that_does_not_come_ends_the_connection(gateway: Gateway, start: bytes) -> None:
    async with connected(gateway.http_port) as (reader, writer):
        writer.write(start)
        assert await closed(reader) == b""


async def test_the_second_head_has_to_come_too(gateway: Gateway) -> None:
    async with connected(gateway.http_port) as (reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HT")
        assert (await closed(reader)).count(b"HTTP/1.1 200") == 1


async def test_a_head_byte_by_byte_does_not_keep_the_connection(gateway: Gateway) -> None:
    async with connected(gateway.http_port) as (reader, writer):
        ends = asyncio.create_task(closed(reader))
        writer.write(b"GET /livez HTTP/1.1\r\n")
        while not ends.done():
            writer.write(b"X")
            await asyncio.sleep(0.02)
        assert ends.result() == b""


async def test_a_body_that_does_not_come_is_answered_and_costs_nothing_after(gateway: Gateway) -> None:
    async with connected(gateway.http_port) as (reader, writer):
        writer.write(b"POST /v1/classifications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nJFIF")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE_S)
        assert b" 400 " in head
    with gateway._admission.hold() as take:
        take(gateway._settings.max_held_bytes)  # nothing is held any more


async def http_serves(gateway: Gateway) -> bool:
    async with connected(gateway.http_port) as (reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"200 OK" in await closed(reader)


async def test_http_connections_are_counted_and_given_back(patient: Gateway) -> None:
    async with AsyncExitStack() as idle:
        opened = [await idle.enter_async_context(connected(patient.http_port)) for _ in range(CONNECTIONS)]
        assert not await http_serves(patient)
        assert not opened[0][0].at_eof(), "who was there first is served"
    await until(lambda: http_serves(patient))


async def test_who_does_not_read_the_reply_is_cut_off(gateway: Gateway) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connections = gateway._http.server_state.connections

    async def gone() -> bool:
        return not connections

    async with connected(gateway.http_port) as (_, writer):
        writer.write(1000 * asked)  # answered with tens of megabytes, more than any socket buffers
        await until(gone)


async def grpc_serves(gateway: Gateway) -> bool:
    """Whether one more connection is let in: an unknown id is then answered as such."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}", options=options) as channel:
        try:
            await BestiaryStub(channel).GetClassification(pb.GetClassificationRequest(id="?"), timeout=2)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.INVALID_ARGUMENT
    raise AssertionError("`?` is no id")


async def grpc_refuses(gateway: Gateway) -> bool:
    return not await grpc_serves(gateway)


async def test_a_grpc_preface_that_does_not_come_ends_the_connection(gateway: Gateway) -> None:
    async with connected(gateway.grpc_port) as (reader, _):
        await closed(reader)


async def test_grpc_connections_are_counted_and_given_back(patient: Gateway) -> None:
    assert await grpc_serves(patient)
    async with AsyncExitStack() as idle:

        async def full() -> bool:
            """One more that says nothing: the connection of before may still count as the first of them comes."""
            await idle.enter_async_context(connected(patient.grpc_port))
            return await grpc_refuses(patient)

        await until(full)
    await until(lambda: grpc_serves(patient))
