"""A whole gateway that follows a model store: its edges, readiness and records, with Triton alone a fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from contract.rollout import Bounds, Stage
from contract.tensors import ANIMALS
from gateway.rollout.setup import gateway_name
from gateway.server import Gateway
from gateway.settings import Settings
from tests.gateway.conftest import Until
from tests.support.gateway_process import running_gateway
from tests.support.rollouts import Rollout
from tests.support.triton import answer_row


@pytest.fixture
async def gateway(rollout: Rollout, tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(
        Settings(
            http_port=0,
            grpc_port=0,
            triton_address=rollout.triton.address,
            data_dir=tmp_path / "data",
            model_store=str(tmp_path / "models"),
            model_poll_s=0.02,
            gateway_name="gateway-1",
            drain_timeout_s=5,
        )
    )
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    url = f"http://127.0.0.1:{gateway.http_port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        yield client


async def follows(http: httpx.AsyncClient, until: Until, **expected: object) -> dict[str, object]:
    """The status, once it is as expected."""
    status: dict[str, object] = {}

    async def as_expected() -> bool:
        status.update((await http.get("/v1/releases")).json())
        return {name: status[name] for name in expected} == expected

    await until(as_expected)
    return status


async def test_it_waits_for_the_first_release_and_answers_then(
    rollout: Rollout, http: httpx.AsyncClient, until: Until, cat: bytes
) -> None:
    ready = await http.get("/readyz")
    assert ready.status_code == 503
    assert "bestiary releases publish" in ready.json()["checks"]["release"]
    refused = await http.post("/v1/classifications", content=cat)
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert "Retry-After" in refused.headers
    champion = await rollout.publish("1")
    await rollout.write(champion)
    await follows(http, until, champion=champion, generation=1)
    assert (await http.get("/readyz")).status_code == 200
    record = (await http.post("/v1/classifications", content=cat)).json()
    assert record["release"] == champion


async def test_shadow_promote_and_roll_back_under_load_fail_no_photo(
    rollout: Rollout, http: httpx.AsyncClient, until: Until, cat: bytes
) -> None:
    old, new = (
        await rollout.publish("1"),
        await rollout.publish("2", bounds=Bounds(max_disagreement=1), row=answer_row("tiger")),
    )
    await rollout.write(old)
    await follows(http, until, champion=old)
    codes: list[int] = []
    loading = True

    async def call() -> None:
        while loading:
            codes.append((await http.post("/v1/classifications", content=cat, params={"ack": "accepted"})).status_code)

    async def answered() -> str:
        record = (await http.post("/v1/classifications", content=cat)).json()
        return f"{record['release']} {record['taxon']['common_name']}"

    calls = [asyncio.create_task(call()) for _ in range(4)]
    await rollout.write(old, challenger=rollout.challenger(new, Stage.SHADOW))
    await follows(http, until, stage="shadow", challenger=new)
    assert await answered() == f"{old} domestic dog"

    async def reported() -> bool:
        report = await rollout.report()
        return report.tally.pairs.get("domestic dog", {}).get("tiger", 0) > 0 and bool(report.examples)

    await until(reported)
    await rollout.write(new, previous=old, probation=rollout.probation(old, -1))
    await follows(http, until, champion=new)
    assert await answered() == f"{new} tiger"
    await rollout.write(old, previous=new)
    await follows(http, until, champion=old)
    assert await answered() == f"{old} domestic dog"
    loading = False
    await asyncio.gather(*calls)
    assert set(codes) == {201}


async def test_kserve_speaks_of_animals_whatever_release_answers(
    rollout: Rollout, gateway: Gateway, http: httpx.AsyncClient, until: Until
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        kserve = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await kserve.ModelConfig(pb.ModelConfigRequest(name=ANIMALS))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        champion = await rollout.publish("1")
        await rollout.write(champion)
        await follows(http, until, champion=champion)
        assert (await kserve.ModelConfig(pb.ModelConfigRequest(name=ANIMALS))).config.name == ANIMALS
        statistics = await kserve.ModelStatistics(pb.ModelStatisticsRequest(name=ANIMALS))
        assert [one.name for one in statistics.model_stats] == [ANIMALS]


async def test_every_worker_follows_by_itself(rollout: Rollout, tmp_path: Path) -> None:
    await rollout.write(await rollout.publish("1"))
    settings = {"model_store": tmp_path / "models", "model_poll_s": 0.05, "gateway_name": "edge"}
    async with running_gateway(tmp_path / "data", rollout.triton.address, "--workers", "2", **settings):
        async with asyncio.timeout(60):  # two processes have to start
            while set(await rollout.store.reports("gateways")) != {"edge-0", "edge-1"}:  # noqa: ASYNC110  # other processes
                await asyncio.sleep(0.05)
    assert await rollout.store.reports("gateways") == {}


async def test_an_address_that_is_no_store_ends_the_start_with_a_sentence(rollout: Rollout, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(http_port=0, grpc_port=0, data_dir=tmp_path, model_store=str(tmp_path / "file"))
    with pytest.raises(ValueError, match="BESTIARY_MODEL_STORE"):
        await Gateway(settings).start()


def test_a_gateway_signs_with_a_name_that_a_restart_keeps() -> None:
    settings = Settings(http_port=8080)
    assert gateway_name(settings) == gateway_name(Settings(http_port=8080))
    assert gateway_name(settings).endswith("-8080")
    assert gateway_name(Settings(http_port=8080, worker=3)) == f"{gateway_name(settings)}-3"
    assert gateway_name(Settings(gateway_name="edge", worker=1)) == "edge-1"
