"""What tritonclient's own examples do (health, metadata, unknown models, string tensors, asynchronous calls), with the
name of our model: the examples themselves ask for models of Triton's demonstration repository."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.grpc.aio as over_grpc_aio
import tritonclient.http as over_http
import tritonclient.http.aio as over_http_aio
from tritonclient.utils import InferenceServerException

from tests.support.stack import Stack


def photos(library, cat: bytes):  # type: ignore[no-untyped-def]
    tensor = library.InferInput("PHOTO", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[cat]], np.object_))
    return [tensor]


def test_health_and_metadata_take_headers_and_query_parameters(stack: Stack) -> None:
    with over_http.InferenceServerClient(stack.url.removeprefix("http://")) as client:
        assert client.is_server_live(query_params={"test_1": 1, "test_2": 2})
        assert client.is_server_ready()
        assert client.get_model_metadata("animals", query_params={"test_1": 1})["name"] == "animals"
        with pytest.raises(InferenceServerException, match="Request for unknown model"):
            client.get_model_metadata("wrong_model_name")
    with over_grpc.InferenceServerClient(stack.grpc) as client:
        assert client.is_server_live(headers={"test": "1", "dummy": "2"})
        assert client.get_model_metadata("animals", headers={"test": "1"}).name == "animals"
        with pytest.raises(InferenceServerException, match="Request for unknown model"):
            client.get_model_metadata("wrong_model_name")


def test_asynchronous_calls_with_callbacks(stack: Stack, cat: bytes) -> None:
    import queue

    answers: queue.Queue[object] = queue.Queue()
    with over_grpc.InferenceServerClient(stack.grpc) as client:
        for _ in range(3):
            client.async_infer("animals", photos(over_grpc, cat), lambda result, error: answers.put(error or result))
        results = [answers.get(timeout=30) for _ in range(3)]
    assert [result.as_numpy("SPECIES_NAMES")[0, 0] for result in results] == [b"domestic cat"] * 3  # type: ignore[attr-defined]
    with over_http.InferenceServerClient(stack.url.removeprefix("http://"), concurrency=2) as client:
        pending = [client.async_infer("animals", photos(over_http, cat)) for _ in range(3)]
        names = [one.get_result().as_numpy("SPECIES_NAMES")[0, 0] for one in pending]
    assert names == [b"domestic cat"] * 3


@pytest.mark.parametrize(
    ("library", "http"), [(over_grpc_aio, False), (over_http_aio, True)], ids=["grpc.aio", "http.aio"]
)
async def test_asyncio_clients(stack: Stack, cat: bytes, library, http: bool) -> None:  # type: ignore[no-untyped-def]
    address = stack.url.removeprefix("http://") if http else stack.grpc
    inputs = photos(over_http if http else over_grpc, cat)
    async with library.InferenceServerClient(address) as client:
        assert await client.is_model_ready("animals")
        result = await client.infer("animals", inputs)
    assert result.as_numpy("SPECIES_NAMES")[0, 0] == b"domestic cat"


def test_a_stream_answers_in_order(stack: Stack, cat: bytes) -> None:
    import queue

    answers: queue.Queue[object] = queue.Queue()
    with over_grpc.InferenceServerClient(stack.grpc) as client:
        client.start_stream(lambda result, error: answers.put(error or result))
        for number in range(3):
            client.async_stream_infer("animals", photos(over_grpc, cat), request_id=str(number))
        results = [answers.get(timeout=30) for _ in range(3)]
        client.stop_stream()
    assert [result.get_response().id for result in results] == ["0", "1", "2"]  # type: ignore[attr-defined]
