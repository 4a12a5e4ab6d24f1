"""One photo through a real Triton is one connected trace, from the edge to the result store."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from tests.support.collector import Collector, Seen, running_collector
from tests.support.stack import Stack, running_stack

OURS = {"edge", "wait", "blob", "journal", "drain", "infer animals"}
TRITONS = {"InferRequest", "compute"}
PARENT = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("traced"), "--traces", collector.url) as running:
        yield running


def of_trace(collector: Collector, trace: str, wanted: set[str]) -> dict[str, Seen]:
    """The spans of a trace by name, once all that are ``wanted`` are there."""

    def there(spans: list[Seen]) -> bool:
        return wanted <= {span.name for span in spans if span.trace == trace}

    return {span.name: span for span in collector.wait(there) if span.trace == trace}


def headers(trace: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{PARENT}-{flags}", "tracestate": "vendor=1"}


def check(spans: dict[str, Seen], server: str) -> None:
    """Every span hangs from another one of the trace, and the server's from the caller's."""
    ids = {span.id for span in spans.values()}
    top = spans[server]
    assert top.parent == PARENT
    assert {span.name for span in spans.values() if span.parent not in ids} == {server}
    assert {spans[name].parent for name in OURS} == {top.id}
    asked, request = spans["infer animals"], spans["InferRequest"]
    assert request.service == "bestiary-triton"
    assert request.parent == asked.id
    assert request.state == "vendor=1"
    model = next(span for name, span in spans.items() if name.startswith("animals"))
    assert (model.parent, spans["compute"].parent) == (request.id, model.id)
    assert asked.started_ns <= request.started_ns <= request.ended_ns <= asked.ended_ns
    assert top.started_ns <= spans["edge"].ended_ns <= asked.started_ns <= asked.ended_ns <= top.ended_ns
    assert not any(span.failed for span in spans.values())


def test_rest(traced: Stack, collector: Collector, cat: bytes) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    path = f"{traced.url}/v1/classifications"
    answer = httpx.post(path, content=cat, params={"filename": "secret-place.jpg"}, headers=headers(trace), timeout=30)
    assert answer.status_code == 201, answer.text
    spans = of_trace(collector, trace, OURS | TRITONS | {"POST /v1/classifications"})
    check(spans, "POST /v1/classifications")
    top = spans["POST /v1/classifications"]
    assert top.attributes["http.response.status_code"] == 201
    assert top.attributes["http.route"] == "/v1/classifications"
    assert top.attributes["bestiary.record.id"] == answer.json()["id"]
    assert spans["drain"].attributes["db.system.name"] == "sqlite"
    assert not any("secret-place" in str(span) for span in spans.values())


def test_grpc(traced: Stack, collector: Collector, cat: bytes) -> None:
    trace = "1af7651916cd43dd8448eb211c80319c"
    with grpc.insecure_channel(traced.grpc) as channel:
        BestiaryStub(channel).Classify(
            pb.ClassifyRequest(photo=cat), metadata=tuple(headers(trace).items()), timeout=30
        )
    name = "bestiary.v1.Bestiary/Classify"
    spans = of_trace(collector, trace, OURS | TRITONS | {name})
    check(spans, name)
    assert spans[name].attributes["rpc.response.status_code"] == "OK"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_kserve(traced: Stack, collector: Collector, cat: bytes, protocol: str) -> None:
    trace = {"http": "2af7651916cd43dd8448eb211c80319c", "grpc": "3af7651916cd43dd8448eb211c80319c"}[protocol]
    raw = struct.pack("<I", len(cat)) + cat
    if protocol == "http":
        head = (
            b'{"inputs": [{"name": "PHOTO", "datatype": "BYTES", "shape": [1, 1], '
            b'"parameters": {"binary_data_size": %d}}]}' % len(raw)
        )
        length = {"Inference-Header-Content-Length": str(len(head))}
        url = f"{traced.url}/v2/models/animals/infer"
        answer = httpx.post(url, content=head + raw, headers=headers(trace) | length, timeout=30)
        assert answer.status_code == 200, answer.text
        name = "POST /v2/models/{model}/infer"
    else:
        request = service_pb2.ModelInferRequest(model_name="animals", raw_input_contents=[raw])
        request.inputs.add(name="PHOTO", datatype="BYTES", shape=(1, 1))
        with grpc.insecure_channel(traced.grpc) as channel:
            GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=tuple(headers(trace).items()), timeout=30)
        name = "inference.GRPCInferenceService/ModelInfer"
    check(of_trace(collector, trace, OURS | TRITONS | {name}), name)


def test_a_photo_that_the_caller_does_not_trace_leaves_nothing(traced: Stack, collector: Collector, cat: bytes) -> None:
    quiet, loud = "4af7651916cd43dd8448eb211c80319c", "5af7651916cd43dd8448eb211c80319c"
    path = f"{traced.url}/v1/classifications"
    for given in (headers(quiet, "00"), headers(loud)):
        assert httpx.post(path, content=cat, headers=given, timeout=30).status_code == 201
    spans = of_trace(collector, loud, OURS | TRITONS)
    assert spans
    assert not [span for span in collector.spans if span.trace == quiet]


def test_a_refused_photo_is_no_fault_of_the_service(traced: Stack, collector: Collector) -> None:
    trace = "6af7651916cd43dd8448eb211c80319c"
    answer = httpx.post(f"{traced.url}/v1/classifications", content=b"no photo", headers=headers(trace), timeout=30)
    assert answer.status_code == 415
    spans = of_trace(collector, trace, {"POST /v1/classifications"})
    assert not spans["POST /v1/classifications"].failed
    assert spans["POST /v1/classifications"].attributes["http.response.status_code"] == 415


def test_the_gateway_sends_nothing_and_loads_nothing_where_nobody_collects(stack: Stack, cat: bytes) -> None:
    answer = httpx.post(f"{stack.url}/v1/classifications", content=cat, headers=headers("7" * 32), timeout=30)
    assert answer.status_code == 201
    children = Path(f"/proc/{stack.process.pid}/task/{stack.process.pid}/children").read_text().split()
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    (gateway,) = [pid for pid, command in commands.items() if b"gateway" in command]
    threads = {path.read_text().strip() for path in Path(f"/proc/{gateway}/task").glob("*/comm")}
    assert not any("Otel" in name for name in threads), threads
