"""One gateway process that is stopped, killed and started again while photos come in."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.server import Gateway, keepalive_options
from gateway.settings import Settings
from tests.support.gateway import running_gateway
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
    assert set(gateway.refused) <= {"not_ready", "ConnectError", "ReadError", "RemoteProtocolError"}
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


async def test_pings_as_often_as_allowed_are_not_too_many(tmp_path: Path, triton: FakeTriton) -> None:
    settings = Settings(
        http_port=0, grpc_port=0, triton_address=triton.address, data_dir=tmp_path, grpc_min_ping_interval_s=0.05
    )
    gateway = Gateway(settings)
    await gateway.start()
    # gRPC's own minimum of 300 s would hang up on the third of these pings, and end the call with them.
    options = (
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}", options=options) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(watch.read())), 1.5)
        assert not watch.done()
        watch.cancel()
    await gateway.stop()


def test_idle_connections_outlive_a_balancer_and_old_ones_are_replaced() -> None:
    settings = Settings()
    options = dict(keepalive_options(settings))
    assert options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"] < AZURE_IDLE_S * 1000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.min_ping_interval_without_data_ms"] <= 10_000, "the shortest that gRPC clients use"
    assert options["grpc.max_connection_age_grace_ms"] >= settings.max_timeout_s * 1000, "no unary call is cut off"
    assert settings.http_keep_alive_s > AZURE_IDLE_S
