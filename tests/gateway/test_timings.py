"""Every edge says where the time of an answer went, and the stages lie inside of one another as they are described."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from PIL import Image
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from gateway.auth.guard import OpenAuthenticator
from gateway.edge.timings import server_timing
from tests.support.gateway import Running, running_gateway

AFTER_ONE_ANOTHER = ("edge", "wait", "fetch", "triton", "blob", "journal", "store")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, OpenAuthenticator()) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def photo() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 140, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def stages(text: str) -> dict[str, float]:
    return {name: float(ms) for name, ms in (part.split(";dur=") for part in text.split(", "))}


def check(spent: dict[str, float]) -> None:
    assert {"edge", "triton", "journal", "store", "total"} <= spent.keys()
    assert sum(spent.get(stage, 0.0) for stage in AFTER_ONE_ANOTHER) <= spent["total"] + 0.1  # rounded
    assert spent.get("queue", 0.0) + spent.get("model", 0.0) <= spent["triton"] + 0.02


def infer_request(*photos: bytes) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="animals")
    request.inputs.add(name="PHOTO", datatype="BYTES", shape=(len(photos), 1))
    request.raw_input_contents.append(b"".join(struct.pack("<I", len(one)) + one for one in photos))
    return request


async def test_rest_says_it_in_a_header_and_in_the_record(running: Running, photo: bytes) -> None:
    async with running.http() as http:
        answer = await http.post("/v1/classifications", content=photo)
        kept = (await http.get(answer.headers["location"])).json()
    check(stages(answer.headers["server-timing"]))
    record = answer.json()
    assert kept["timings_ms"] == record["timings_ms"]
    timings = record["timings_ms"]
    inside = timings["wait"] + timings["fetch"] + timings["triton"] + timings["blob"]
    assert 0 < inside <= timings["total"] + 0.1
    assert timings["edge"] > 0


async def test_a_reference_is_fetched(running: Running, photo: bytes) -> None:
    async with running.http() as http:
        first = (await http.post("/v1/classifications", content=photo)).json()
        answer = await http.post("/v1/classifications", json={"blob": first["photo"]["blob"]})
    assert answer.json()["timings_ms"]["fetch"] > 0
    check(stages(answer.headers["server-timing"]))


@pytest.mark.parametrize("count", [1, 3])
async def test_kserve_http_says_it_of_the_slowest_photo(running: Running, photo: bytes, count: int) -> None:
    request = infer_request(*[photo] * count)
    size = {"binary_data_size": len(request.raw_input_contents[0])}
    tensor = {"name": "PHOTO", "datatype": "BYTES", "shape": [count, 1], "parameters": size}
    head = json.dumps({"inputs": [tensor]}).encode()
    async with running.http() as http:
        answer = await http.post(
            "/v2/models/animals/infer",
            content=head + request.raw_input_contents[0],
            headers={"Inference-Header-Content-Length": str(len(head))},
        )
    assert answer.status_code == 200, answer.text
    check(stages(answer.headers["server-timing"]))


async def test_no_photo_answered_no_timing(running: Running) -> None:
    body = {"inputs": [{"name": "PHOTO", "datatype": "BYTES", "shape": [2, 1], "data": ["", ""]}]}
    async with running.http() as http:
        answer: httpx.Response = await http.post("/v2/models/animals/infer", json=body)
    assert answer.status_code == 200
    assert "server-timing" not in answer.headers


async def test_grpc_says_it_in_trailers(running: Running, photo: bytes) -> None:
    async with running.serve_grpc() as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ours = BestiaryStub(channel).Classify(pb.ClassifyRequest(photo=photo))
        answer = await ours
        check(stages(dict(await ours.trailing_metadata())["server-timing"]))
        assert answer.classification.timings_ms.edge > 0
        theirs = GRPCInferenceServiceStub(channel).ModelInfer(infer_request(photo, photo))
        await theirs
        check(stages(dict(await theirs.trailing_metadata())["server-timing"]))


def test_stages_that_took_nothing_are_left_out() -> None:
    assert server_timing({"edge": 0.206, "fetch": 0.0, "total": 14.8}) == "edge;dur=0.21, total;dur=14.80"
