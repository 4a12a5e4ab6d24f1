"""KServe v2 on the gateway, spoken to by tritonclient, which nobody here wrote."""

from __future__ import annotations

import base64

import httpx
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

from contract.photo_status import PhotoStatus
from contract.tensors import ANIMALS_OUTPUTS, MAX_BOXES, TOP_K
from tests.support.stack import Stack


def photo_input(library, photos: list[bytes]):  # type: ignore[no-untyped-def]  # both modules of tritonclient
    tensor = library.InferInput("PHOTO", [len(photos), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[photo] for photo in photos], dtype=object))
    return tensor


@pytest.fixture(params=["grpc", "http"])
def client(request: pytest.FixtureRequest, stack: Stack):  # type: ignore[no-untyped-def]
    library = over_grpc if request.param == "grpc" else over_http
    address = stack.grpc if request.param == "grpc" else f"127.0.0.1:{stack.http_port}"
    with library.InferenceServerClient(address) as connected:
        connected.library = library
        yield connected


def test_one_photo_gives_every_tensor_of_the_contract(client, cat: bytes) -> None:  # type: ignore[no-untyped-def]
    result = client.infer("animals", [photo_input(client.library, [cat])])
    for spec in ANIMALS_OUTPUTS:
        assert result.as_numpy(spec.name).shape == (1, *spec.shape), spec.name
    assert result.as_numpy("SPECIES_NAMES")[0, 0] == b"domestic cat"
    assert result.as_numpy("STATUS")[0, 0] == PhotoStatus.OK


def test_a_bad_photo_in_a_batch_costs_only_itself(client, cat: bytes) -> None:  # type: ignore[no-untyped-def]
    result = client.infer("animals", [photo_input(client.library, [cat, b"nonsense", cat])])
    assert result.as_numpy("STATUS").ravel().tolist() == [0, PhotoStatus.NOT_AN_IMAGE, 0]
    assert [name[0] for name in result.as_numpy("SPECIES_NAMES")] == [b"domestic cat", b"", b"domestic cat"]
    assert result.as_numpy("BOXES").shape == (3, MAX_BOXES, 4)
    assert result.as_numpy("SPECIES_IDS").shape == (3, TOP_K)


def test_a_single_bad_photo_fails_the_call(client) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InferenceServerException, match="not an image"):
        client.infer("animals", [photo_input(client.library, [b"nonsense"])])


def test_metadata_names_the_contract(client) -> None:  # type: ignore[no-untyped-def]
    metadata = client.get_model_metadata("animals")
    outputs = metadata["outputs"] if isinstance(metadata, dict) else metadata.outputs
    names = [item["name"] if isinstance(item, dict) else item.name for item in outputs]
    assert names == [spec.name for spec in ANIMALS_OUTPUTS]
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("animals")


def test_internal_models_and_unknown_outputs_are_refused(client, cat: bytes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InferenceServerException):
        client.infer("classifier", [photo_input(client.library, [cat])])
    with pytest.raises(InferenceServerException, match="There is no output"):
        wanted = client.library.InferRequestedOutput("NOTHING")
        client.infer("animals", [photo_input(client.library, [cat])], outputs=[wanted])


def test_model_control_is_not_exposed(client) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InferenceServerException):
        client.unload_model("animals")
    with pytest.raises(InferenceServerException):
        client.load_model("animals")
    assert client.is_model_ready("animals")


def test_a_kserve_call_is_recorded(stack: Stack, cat: bytes) -> None:
    with over_grpc.InferenceServerClient(stack.grpc) as client:
        response = client.infer("animals", [photo_input(over_grpc, [cat])]).get_response()
    record_id = response.parameters["record_ids"].string_param
    record = httpx.get(f"{stack.url}/v1/classifications/{record_id}").json()
    assert record["species"][0]["common_name"] == "domestic cat"


def test_plain_json_needs_no_client_library(stack: Stack, cat: bytes) -> None:
    body = {
        "id": "mine",
        "inputs": [{"name": "PHOTO", "shape": [1, 1], "datatype": "BYTES", "data": [base64.b64encode(cat).decode()]}],
        "outputs": [{"name": "SPECIES_NAMES"}],
    }
    answer = httpx.post(f"{stack.url}/v2/models/animals/infer", json=body, timeout=30).json()
    assert answer["id"] == "mine"
    assert answer["outputs"][0]["data"][0] == "domestic cat"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"inputs": []}',
        b'{"inputs": [{"name": "PHOTO", "shape": [1, 1], "datatype": "BYTES", "data": ["%%%"]}]}',
        b'{"inputs": [{"name": "PHOTO", "shape": [2, 1], "datatype": "BYTES", "data": ["aGk="]}]}',
        b'{"inputs": [{"name": "PHOTO", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}',
        b'{"inputs": [{"name": "PHOTO", "shape": "x", "datatype": "BYTES", "data": ["aGk="]}]}',
        b'{"inputs": [{"name": "PHOTO", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}]}',
        b'{"inputs": [{"name": "PHOTO", "shape": [1], "datatype": "BYTES", "parameters": []}]}',
    ],
)
def test_a_malformed_request_says_what_to_do(stack: Stack, body: bytes) -> None:
    answer = httpx.post(f"{stack.url}/v2/models/animals/infer", content=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "invalid_request"


@pytest.mark.parametrize("header", ["\xb2", "9" * 5000, "-1", "999999"])
def test_a_garbled_header_length_is_refused(stack: Stack, header: str) -> None:
    answer = httpx.post(
        f"{stack.url}/v2/models/animals/infer",
        content=b"{}",
        headers=[(b"Inference-Header-Content-Length", header.encode("latin-1"))],
    )
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "extra", ['"id": "\\ud800"', '"parameters": {"timeout": 1e999}', '"parameters": {"timeout": 1' + "0" * 400 + "}"]
)
def test_hostile_values_are_refused_before_anything_is_kept(stack: Stack, cat: bytes, extra: str) -> None:
    photo = base64.b64encode(cat).decode()
    body = f'{{"inputs": [{{"name": "PHOTO", "shape": [1], "datatype": "BYTES", "data": ["{photo}"]}}], {extra}}}'
    before = httpx.get(f"{stack.url}/metrics").text.count("journal")
    answer = httpx.post(f"{stack.url}/v2/models/animals/infer", content=body.encode())
    assert answer.status_code == 400, answer.text
    assert before == httpx.get(f"{stack.url}/metrics").text.count("journal")


def test_a_flood_of_empty_elements_is_refused(stack: Stack) -> None:
    channel_options = [("grpc.max_send_message_length", -1)]
    with over_grpc.InferenceServerClient(stack.grpc, channel_args=channel_options) as client:
        tensor = over_grpc.InferInput("PHOTO", [1, 1], "BYTES")
        tensor._raw_content = bytes(30_000_000)
        with pytest.raises(InferenceServerException, match="At most 32 photos"):
            client.infer("animals", [tensor])
