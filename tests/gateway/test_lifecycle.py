"""One gateway process that is stopped, killed and started again while photos come in."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.server import Gateway, keepalive_options
from gateway.settings import Settings
from tests.support.gateway_process import running_gateway
from tests.support.triton import FakeTriton

AZURE_IDLE_S = 240
"""Azure Load Balancer's default TCP idle timeout."""


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as running:
        yield running


def stored(data: Path) -> list[str]:
    with closing(sqlite3.connect(data / "results.sqlite")) as database:
        return [row[0] for row in database.execute("SELECT id FROM records")]


async def test_sigterm_under_load_answers_what_was_admitted_and_leaves_nothing_in_the_journal(
    tmp_path: Path, triton: FakeTriton, cat: bytes
) -> None:
    triton.delay_s = 0.05
    async with running_gateway(tmp_path, triton.address) as gateway:
        with gateway.load(cat):
            await gateway.until_acknowledged(20)
            triton.delay_s = 0.5
            triton.working.clear()
            await triton.working.wait()
            asked, answered = triton.asked, len(gateway.acknowledged)
            gateway.process.send_signal(signal.SIGTERM)
            assert await gateway.ends() == 0
            await asyncio.sleep(0)
    assert len(gateway.acknowledged) >= answered + 1
    assert triton.asked <= asked + 8, "what came after the signal was not begun"
    assert set(gateway.refused) <= {"not_ready", "overloaded", "ConnectError", "ReadError", "RemoteProtocolError"}
    assert sorted(stored(tmp_path)) == sorted(gateway.acknowledged), "none missing, none doubled, none unanswered"


async def test_kill_under_load_loses_nothing_that_was_acknowledged(
    tmp_path: Path, triton: FakeTriton, cat: bytes
) -> None:
    async with running_gateway(tmp_path, triton.address) as gateway:
        with gateway.load(cat):
            await gateway.until_acknowledged(30)
            gateway.process.kill()
            await gateway.ends()
    async with running_gateway(tmp_path, triton.address) as again:
        for record_id in gateway.acknowledged:
            assert await again.status_of(record_id) == 200
    assert set(gateway.acknowledged) <= set(stored(tmp_path))


async def test_a_stop_that_cannot_finish_ends_inside_its_limit_and_the_rest_is_stored_later(
    tmp_path: Path, triton: FakeTriton, cat: bytes
) -> None:
    async with running_gateway(tmp_path, triton.address, drain_timeout_s=0.5) as gateway:
        with closing(sqlite3.connect(tmp_path / "results.sqlite", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            record_id = await gateway.classify(cat)
            assert record_id is not None
            gateway.process.terminate()
            assert await gateway.ends(30) in (0, 1)
            assert stored(tmp_path) == []
            database.execute("ROLLBACK")
    async with running_gateway(tmp_path, triton.address) as again:
        assert await again.status_of(record_id) == 200
    assert stored(tmp_path) == [record_id]


PING, GOAWAY, ACK = 6, 7, 1
"""Frame types and the flag of RFC 9113, section 6."""


class Http2:
    """As much of an HTTP/2 client as it takes to ping: grpcio itself pings at most once a second."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")

    async def ping(self) -> bytes:
        """What the server says to one ping: ``b""``, or the reason for which it hangs up."""
        self._writer.write(b"\0\0\10" + bytes([PING, 0]) + bytes(4) + b"bestiary")
        while True:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3]))
            if head[3] == GOAWAY:
                return payload[8:]
            if head[3] == PING and head[4] & ACK:
                return b""


@pytest.mark.parametrize(("allowed_every_s", "reason"), [(0.01, b""), (300.0, b"too_many_pings")])
async def test_a_client_without_calls_may_ping_as_often_as_the_setting_says(
    tmp_path: Path, triton: FakeTriton, allowed_every_s: float, reason: bytes
) -> None:
    settings = Settings(
        http_port=0,
        grpc_port=0,
        triton_address=triton.address,
        data_dir=tmp_path,
        grpc_min_ping_interval_s=allowed_every_s,
    )
    gateway = Gateway(settings)
    await gateway.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.grpc_port)
    client = Http2(reader, writer)
    said = b""
    for _ in range(10):
        said = said or await client.ping()
        await asyncio.sleep(2 * min(allowed_every_s, 0.01))
    assert said == reason
    writer.close()
    await gateway.stop()


def test_idle_connections_outlive_a_balancer_and_old_ones_are_replaced() -> None:
    settings = Settings()
    options = dict(keepalive_options(settings))
    assert options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"] < AZURE_IDLE_S * 1000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.min_ping_interval_without_data_ms"] <= 10_000, "the shortest that gRPC clients use"
    assert options["grpc.max_connection_age_grace_ms"] >= settings.max_timeout_s * 1000, "no unary call is cut off"
    assert settings.http_keep_alive_s > AZURE_IDLE_S
