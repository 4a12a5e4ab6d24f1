"""The three ack levels on every interface, by what is held back while the answer comes or does not come."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2 as kserve
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from contract.record import Record
from gateway.server import Gateway
from gateway.settings import Settings
from gateway.storage.sqlite import SqliteResultStore
from tests.support.triton import FakeTriton

INTERFACES = ["rest", "grpc", "kserve_http", "kserve_grpc"]


class Callers:
    """One way in for each interface; gives the record's id."""

    def __init__(self, gateway: Gateway) -> None:
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.http_port}", trust_env=False, timeout=30)
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}")

    async def rest(self, photo: bytes, ack: str) -> str:
        reply = await self._http.post("/v1/classifications", params={"ack": ack}, content=photo)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    async def grpc(self, photo: bytes, ack: str) -> str:
        level = pb.AckLevel.Value(f"ACK_LEVEL_{ack.upper()}")
        reply = await BestiaryStub(self._channel).Classify(pb.ClassifyRequest(photo=photo, ack=level), timeout=30)
        return str(reply.classification.id)

    async def kserve_http(self, photo: bytes, ack: str) -> str:
        raw = struct.pack("<I", len(photo)) + photo
        photo_input: dict[str, Any] = {"name": "PHOTO", "datatype": "BYTES", "shape": [1, 1]}
        photo_input["parameters"] = {"binary_data_size": len(raw)}
        request = httpx.Request("POST", "http://x", json={"inputs": [photo_input], "parameters": {"ack": ack}})
        head = request.content
        reply = await self._http.post(
            "/v2/models/animals/infer", content=head + raw, headers={"Inference-Header-Content-Length": str(len(head))}
        )
        assert reply.status_code == 200, reply.text
        return str(reply.json()["parameters"]["record_ids"])

    async def kserve_grpc(self, photo: bytes, ack: str) -> str:
        photo_input = kserve.ModelInferRequest.InferInputTensor(name="PHOTO", datatype="BYTES", shape=(1, 1))
        request = kserve.ModelInferRequest(
            model_name="animals", inputs=[photo_input], raw_input_contents=[struct.pack("<I", len(photo)) + photo]
        )
        request.parameters["ack"].string_param = ack
        reply = await GRPCInferenceServiceStub(self._channel).ModelInfer(request, timeout=30)
        return str(reply.parameters["record_ids"].string_param)

    async def known(self, record_id: str) -> int:
        return (await self._http.get(f"/v1/classifications/{record_id}")).status_code

    async def listed(self) -> list[str]:
        page = (await self._http.get("/v1/classifications")).json()
        return [record["id"] for record in page["classifications"]]

    async def metrics(self) -> str:
        return (await self._http.get("/metrics")).text

    async def close(self) -> None:
        await self._http.aclose()
        await self._channel.close()


class Held:
    """A disk whose journal fsyncs wait, and a store whose writes wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.disk, self.store = threading.Event(), asyncio.Event()
        self.disk.set()
        self.store.set()
        fdatasync, upsert = os.fdatasync, SqliteResultStore.upsert

        def held_fdatasync(fd: int) -> None:
            assert self.disk.wait(30)
            fdatasync(fd)

        async def held_upsert(store: SqliteResultStore, records: Sequence[Record]) -> None:
            await self.store.wait()
            await upsert(store, records)

        monkeypatch.setattr(os, "fdatasync", held_fdatasync)
        monkeypatch.setattr(SqliteResultStore, "upsert", held_upsert)


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as running:
        yield running


@pytest.fixture
async def callers(tmp_path: Path, held: Held, triton: FakeTriton) -> AsyncIterator[Callers]:
    settings = Settings(http_port=0, grpc_port=0, triton_address=triton.address, data_dir=tmp_path)
    gateway = Gateway(settings)
    await gateway.start()
    made = Callers(gateway)
    yield made
    held.disk.set()
    held.store.set()
    await made.close()
    await gateway.stop()


@pytest.mark.parametrize("interface", INTERFACES)
async def test_accepted_is_answered_while_the_journals_disk_hangs(
    callers: Callers, held: Held, cat: bytes, interface: str
) -> None:
    held.disk.clear()
    record_id = await getattr(callers, interface)(cat, "accepted")
    assert await callers.known(record_id) == 404
    held.disk.set()
    async with asyncio.timeout(30):
        while await callers.known(record_id) != 200:
            pass


@pytest.mark.parametrize("interface", INTERFACES)
async def test_durable_waits_for_the_disk_and_not_for_the_store(
    callers: Callers, held: Held, cat: bytes, interface: str
) -> None:
    held.disk.clear()
    held.store.clear()
    waiting = asyncio.create_task(getattr(callers, interface)(cat, "durable"))
    await getattr(callers, interface)(cat, "accepted")  # went the same way, so the other has come as far
    assert not waiting.done()
    held.disk.set()
    record_id = await waiting
    assert await callers.known(record_id) == 200
    assert await callers.listed() == []


@pytest.mark.parametrize("interface", INTERFACES)
async def test_stored_waits_for_the_store(callers: Callers, held: Held, cat: bytes, interface: str) -> None:
    held.store.clear()
    waiting = asyncio.create_task(getattr(callers, interface)(cat, "stored"))
    await getattr(callers, interface)(cat, "durable")
    assert not waiting.done()
    held.store.set()
    assert await waiting in await callers.listed()


@pytest.mark.parametrize("interface", ["rest", "kserve_http", "kserve_grpc"])
async def test_an_unknown_level_is_refused(callers: Callers, cat: bytes, interface: str) -> None:
    with pytest.raises((AssertionError, grpc.aio.AioRpcError), match="ack"):
        await getattr(callers, interface)(cat, "eventually")


async def test_the_lag_is_told_while_nothing_is_being_stored(callers: Callers, held: Held, cat: bytes) -> None:
    async def scraped() -> dict[str, float]:
        lines = (await callers.metrics()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("bestiary_drain", "bestiary_journal")))
        return {name.removeprefix("bestiary_"): float(value) for name, value in pairs}

    assert (await scraped())["drain_lag_seconds"] == 0
    held.store.clear()
    for _ in range(3):
        await callers.rest(cat, "durable")
    await asyncio.sleep(0.01)  # ids, from which the lag is counted, have milliseconds
    first = await scraped()
    await asyncio.sleep(0.01)
    second = await scraped()
    assert first["journal_undrained_records"] == first["journal_appended_records"] == 3
    assert first["drain_batches_in_flight"] == 1
    assert 0 < first["drain_lag_seconds"] < second["drain_lag_seconds"]
    assert 0 < first["journal_fsyncs"] <= 3
    held.store.set()
    async with asyncio.timeout(30):
        while (await scraped())["drain_stored_records"] < 3:
            pass
    last = await scraped()
    assert (last["journal_undrained_records"], last["drain_lag_seconds"]) == (0, 0)
