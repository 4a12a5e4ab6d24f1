"""KServe v2 over HTTP: JSON, with the binary tensor extension that tritonclient speaks by default."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from contract.answer import split_strings
from contract.tensors import ANIMALS, ANIMALS_OUTPUTS, MAX_BATCH, PHOTO
from gateway.edge import kserve
from gateway.edge.http.access import Classifies
from gateway.edge.http.body import caller_of, read_limited, small_number
from gateway.edge.http.problems import problems
from gateway.edge.timings import SERVER_TIMING, server_timing
from gateway.errors import InvalidRequest
from gateway.service import Service

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Length of the JSON in front of binary tensors (Triton's binary tensor data extension)."""

MAX_JSON_BYTES = 8 << 20
"""More JSON than this is refused: parsing it takes about a second."""

PARSE_INLINE_BYTES = 64 << 10
"""Parsing less takes about as long as handing it to a thread and back, 0.1 to 0.3 ms."""

MAX_ID = 1024

_FORMATS = {"FP32": "f", "INT32": "i"}


def router(service: Service, version: str, upload_timeout_s: float) -> APIRouter:
    """The KServe v2 routes over ``service``."""
    routes = APIRouter(prefix="/v2", tags=["KServe v2"])

    @routes.get("")
    async def server_metadata() -> dict[str, Any]:
        """Name and version of the gateway."""
        return {"name": kserve.PLATFORM, "version": version, "extensions": ["binary_tensor_data"]}

    @routes.get("/health/live", response_class=Response)
    async def live() -> Response:
        """The process answers, so it lives."""
        return Response()

    @routes.get("/health/ready", response_class=Response, responses={503: {"description": "Not ready."}})
    async def ready() -> Response:
        """As `/readyz`."""
        return Response(status_code=200 if (await service.readiness()).ready else 503)

    @routes.get("/models/{model}", responses=problems(400, 401, 403, 404))
    @routes.get("/models/{model}/versions/{model_version}", include_in_schema=False)
    async def model_metadata(model: str, model_version: str = "") -> dict[str, Any]:
        """Inputs and outputs of `animals`."""
        kserve.check_model(model, model_version)
        return _metadata()

    @routes.get(
        "/models/{model}/ready",
        response_class=Response,
        responses={503: {"description": "Not ready."}, **problems(400, 401, 403, 404)},
    )
    @routes.get("/models/{model}/versions/{model_version}/ready", include_in_schema=False)
    async def model_ready(model: str, model_version: str = "") -> Response:
        """As `/readyz`, for `animals` only."""
        kserve.check_model(model, model_version)
        return await ready()

    @routes.post("/models/{model}/infer", responses=problems(400, 401, 403, 404, 413, 415, 422, 429, 503, 504))
    @routes.post("/models/{model}/versions/{model_version}/infer", include_in_schema=False)
    async def infer(request: Request, model: str, caller: Classifies, model_version: str = "") -> Response:
        """Classify photos given as an inference request of the Open Inference Protocol."""
        entered = service.clock.monotonic()
        kserve.check_model(model, model_version)
        # JSON carries bytes as base64, a third longer than the photo.
        limit = service.admission.max_photo_bytes
        with service.admission.hold() as take:
            body = await read_limited(request, service.admission, take, upload_timeout_s, extra_bytes=limit // 2)
            header, binary = await _split(request, body)
            _id(header)
            call = _call(header, binary, caller_of(request), entered)
            reply = await kserve.infer(service, call, caller, "kserve_http")
        response = _respond(header, reply)
        if reply.timings_ms:
            response.headers[SERVER_TIMING] = server_timing(reply.timings_ms)
        return response

    return routes


def _metadata() -> dict[str, Any]:
    return {
        "name": ANIMALS,
        "versions": ["1"],
        "platform": kserve.PLATFORM,
        "inputs": [{"name": PHOTO.name, "datatype": PHOTO.datatype, "shape": [-1, *PHOTO.shape]}],
        "outputs": [
            {"name": spec.name, "datatype": spec.datatype, "shape": [-1, *spec.shape]} for spec in ANIMALS_OUTPUTS
        ],
    }


async def _split(request: Request, body: bytes) -> tuple[Mapping[str, Any], bytes]:
    text = request.headers.get(HEADER_LENGTH)
    length = len(body) if text is None else small_number(text)
    if length is None or length > len(body):
        raise InvalidRequest(f"{HEADER_LENGTH} must be the length of the JSON in front of the binary data.")
    if length > MAX_JSON_BYTES:
        raise InvalidRequest("The JSON is too long: send large photos with the binary tensor data extension.")
    try:
        if length <= PARSE_INLINE_BYTES:
            header = json.loads(body[:length])
        else:  # in a thread, so that a long text does not hold up everybody else
            header = await asyncio.to_thread(json.loads, body[:length])
    except (ValueError, RecursionError):
        raise InvalidRequest("The inference request is not valid JSON.") from None
    if not isinstance(header, dict):
        raise InvalidRequest("The inference request must be a JSON object.")
    return header, body[length:]


def _call(header: Mapping[str, Any], binary: bytes, caller: str, entered: float) -> kserve.InferCall:
    inputs, outputs = header.get("inputs"), header.get("outputs", [])
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InvalidRequest(f"Send exactly one input, {PHOTO.name}.")
    if not isinstance(outputs, list) or not all(isinstance(item, dict) for item in outputs):
        raise InvalidRequest("`outputs` must be a list of objects with a name.")
    tensor = inputs[0]
    for item in (tensor, *outputs):
        kserve.check_parameters(_parameters(item))
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(isinstance(side, int) for side in shape):
        raise InvalidRequest("`shape` must be a list of integers.")
    size = _parameters(tensor).get("binary_data_size")
    if size is not None and size != len(binary):
        raise InvalidRequest("binary_data_size is not the length of the binary data.")
    elements = binary if size is not None else _json_elements(tensor.get("data"))
    parameters = _parameters(header)
    return kserve.InferCall(
        photos=kserve.photos_of(str(tensor.get("name")), str(tensor.get("datatype")), shape, elements),
        outputs=[str(item.get("name")) for item in outputs],
        timeout_s=kserve.timeout_of(parameters.get("timeout")),
        ack=kserve.ack_of(str(parameters.get("ack", ""))),
        options=kserve.options_of(parameters),
        keep_location=kserve.flag(parameters, "keep_location"),
        priority=kserve.priority_of(parameters),
        caller=caller,
        entered=entered,
    )


def _id(header: Mapping[str, Any]) -> str:
    """The caller's id, which must be text that JSON can carry back. Raises InvalidRequest."""
    text = str(header.get("id", ""))
    if len(text) > MAX_ID or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidRequest(f"`id` must be at most {MAX_ID} characters of valid Unicode.")
    return text


def _parameters(item: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = item.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidRequest("`parameters` must be an object.")
    return parameters


def _json_elements(data: Any) -> list[bytes]:
    """Photos in JSON are base64 text, as JSON has no bytes."""
    flat: list[Any] = []
    for item in data[: MAX_BATCH + 1] if isinstance(data, list) else [data]:
        flat.extend(item if isinstance(item, list) else [item])
    if len(flat) > MAX_BATCH or not all(isinstance(item, str) for item in flat):
        raise InvalidRequest("`data` must be a list of base64 strings, or use the binary tensor data extension.")
    try:
        return [base64.b64decode(item, validate=True) for item in flat]
    except ValueError:
        raise InvalidRequest("`data` must be base64 text of the encoded photo.") from None


def _respond(header: Mapping[str, Any], reply: kserve.InferReply) -> Response:
    asked = {str(item.get("name")): _parameters(item) for item in header.get("outputs", [])}
    default_binary = bool(_parameters(header).get("binary_data_output", False))
    outputs, blobs = [], []
    for name, raw in reply.tensors.items():
        datatype = kserve.output_datatype(name)
        output: dict[str, Any] = {
            "name": name, "datatype": datatype, "shape": kserve.output_shape(name, reply.count)
        }  # fmt: skip
        if asked.get(name, {}).get("binary_data", default_binary):
            output["parameters"] = {"binary_data_size": len(raw)}
            blobs.append(raw)
        else:
            output["data"] = _values(datatype, raw)
        outputs.append(output)
    answer = {
        "model_name": ANIMALS,
        "model_version": reply.version,
        "parameters": {"record_ids": ",".join(reply.record_ids)},
        "outputs": outputs,
    }
    if "id" in header:
        answer["id"] = _id(header)
    if not blobs:
        return JSONResponse(answer)
    head = json.dumps(answer, separators=(",", ":")).encode()
    return Response(
        b"".join((head, *blobs)), headers={HEADER_LENGTH: str(len(head))}, media_type="application/octet-stream"
    )


def _values(datatype: str, raw: bytes) -> list[Any]:
    if datatype == "BYTES":
        return [element.decode() for element in split_strings(raw)]
    return list(struct.unpack(f"<{len(raw) // 4}{_FORMATS[datatype]}", raw))
