"""Priority and refusals on a running stack, on every interface."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
import tritonclient.grpc as over_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from tests.support.stack import Stack

BURST = 48
"""More at once than two cores can answer within the SLO."""


def waits(stack: Stack) -> float:
    """Photos that were let in so far, waited for or not."""
    text = httpx.get(f"{stack.url}/metrics").text
    found = re.search(r'bestiary_stage_seconds_count\{stage="wait"\} (\S+)', text)
    return float(found[1]) if found else 0.0


def test_a_burst_is_refused_in_part_and_told_when_to_come_back(stack: Stack, cat: bytes) -> None:
    def post(_: int) -> httpx.Response:
        return httpx.post(f"{stack.url}/v1/classifications", content=cat, timeout=60)

    before = waits(stack)
    with ThreadPoolExecutor(BURST) as pool:
        answers = list(pool.map(post, range(BURST)))
    assert {answer.status_code for answer in answers} <= {201, 429}
    assert sum(answer.status_code == 201 for answer in answers) == waits(stack) - before > 0
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["code"] == "overloaded"
            assert 0 < int(answer.headers["retry-after-ms"]) <= 1000 * int(answer.headers["retry-after"])


def test_a_burst_that_is_a_batch_waits_its_turn(stack: Stack, cat: bytes) -> None:
    def classify(_: int) -> str:
        request = pb.ClassifyRequest(photo=cat)
        metadata = (("bestiary-priority", "batch"),)
        return BestiaryStub(channel).Classify(request, timeout=60, metadata=metadata).classification.id

    with grpc.insecure_channel(stack.grpc) as channel, ThreadPoolExecutor(BURST) as pool:
        assert len(set(pool.map(classify, range(BURST)))) == BURST


def test_no_time_to_wait_is_an_overload_with_a_hint_in_fractions_of_a_second(stack: Stack, cat: bytes) -> None:
    hints = []

    def classify(_: int) -> None:
        try:
            BestiaryStub(channel).Classify(pb.ClassifyRequest(photo=cat), timeout=2)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            for detail in rpc_status.from_call(error).details:
                hint = error_details_pb2.RetryInfo()
                if detail.Unpack(hint):
                    hints.append(hint.retry_delay.ToTimedelta().total_seconds())

    with grpc.insecure_channel(stack.grpc) as channel, ThreadPoolExecutor(BURST) as pool:
        list(pool.map(classify, range(BURST)))
    assert hints
    assert all(0 < hint <= 10 for hint in hints)


@pytest.mark.parametrize("priority", [0, 1, 2])
def test_kserve_takes_tritons_levels(stack: Stack, cat: bytes, priority: int) -> None:
    for address, model in ((stack.grpc, "animals"), (stack.triton_grpc, stack.model("animals"))):
        with over_grpc.InferenceServerClient(address) as client:
            tensor = over_grpc.InferInput("PHOTO", [1, 1], "BYTES")
            tensor._raw_content = len(cat).to_bytes(4, "little") + cat
            result = client.infer(model, [tensor], priority=priority)
            assert result.as_numpy("STATUS") == 0


def test_an_unknown_priority_is_the_callers_mistake(stack: Stack, cat: bytes) -> None:
    answer = httpx.post(f"{stack.url}/v1/classifications", params={"priority": "urgent"}, content=cat, timeout=60)
    assert answer.status_code == 400
    with over_grpc.InferenceServerClient(stack.grpc) as client:
        tensor = over_grpc.InferInput("PHOTO", [1, 1], "BYTES")
        tensor._raw_content = len(cat).to_bytes(4, "little") + cat
        with pytest.raises(over_grpc.InferenceServerException, match="priority"):
            client.infer("animals", [tensor], priority=3)
    with grpc.insecure_channel(stack.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        request = pb.ClassifyRequest(photo=cat)
        BestiaryStub(channel).Classify(request, timeout=60, metadata=(("bestiary-priority", "urgent"),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
