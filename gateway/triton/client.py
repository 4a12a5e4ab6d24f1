"""The ``animals`` models on a Triton reached by gRPC (KServe v2)."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from contract.options import Options, Task
from contract.priority import PRIORITY, Priority
from contract.tensors import ANIMALS_OUTPUTS, BOX_OUTPUTS, PHOTO
from gateway.errors import BestiaryError, DeadlineExceeded, ModelFailed, ModelUnavailable, Overloaded

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", -1),
    # A restarted Triton must be found within the second, not after gRPC's default two minutes of backoff.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # Triton is inside; a proxy of the environment is for the way out
)

READY_TIMEOUT_S: Final = 1.0

# Messages that are the same in every request are made once.
_INPUT: Final = pb.ModelInferRequest.InferInputTensor(name=PHOTO.name, datatype=PHOTO.datatype, shape=(1, 1))
_OUTPUTS: Final = tuple(pb.ModelInferRequest.InferRequestedOutputTensor(name=spec.name) for spec in ANIMALS_OUTPUTS)
_OUTPUTS_OF_SPECIES: Final = tuple(output for output in _OUTPUTS if output.name not in BOX_OUTPUTS)


class TritonClient:
    """One channel to one Triton: a ``gateway.ports.TensorServer``. Create it inside the event loop that uses it."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)

    async def infer(
        self, model: str, photo: bytes, *, deadline: float, options: Options, priority: Priority
    ) -> Mapping[str, bytes]:
        """See ``gateway.ports.TensorServer``. The time left also goes to Triton as the request's queue
        timeout, so that what cannot be in time is dropped there instead of computed."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded("There was no time left to ask the model: allow more time.")
        request = pb.ModelInferRequest(
            model_name=model,
            inputs=(_INPUT,),
            outputs=_OUTPUTS_OF_SPECIES if options.tasks is Task.SPECIES else _OUTPUTS,
            raw_input_contents=(struct.pack("<I", len(photo)) + photo,),
        )
        request.parameters["timeout"].int64_param = max(1, int(left_s * 1e6))
        request.parameters[PRIORITY].int64_param = priority.level
        for name, value in options.parameters().items():
            request.parameters[name].string_param = str(value)
        try:
            response = await self._stub.ModelInfer(request, timeout=left_s)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        return _row(response)

    async def ready(self, model: str) -> bool:
        """Whether Triton says that ``model`` is ready."""
        try:
            answer = await self._stub.ModelReady(pb.ModelReadyRequest(name=model), timeout=READY_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def config(self, model: str) -> Any:
        """``ModelConfigResponse`` of ``model``. Raises as :meth:`infer`."""
        return await self._ask(self._stub.ModelConfig, pb.ModelConfigRequest(name=model))

    async def statistics(self, model: str) -> Any:
        """``ModelStatisticsResponse`` of ``model``. Raises as :meth:`infer`."""
        return await self._ask(self._stub.ModelStatistics, pb.ModelStatisticsRequest(name=model))

    async def _ask(self, call: Any, request: Any) -> Any:
        try:
            return await call(request, timeout=READY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        await self._channel.close()


def _row(response: Any) -> dict[str, bytes]:
    return {output.name: raw for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)}


def translate(error: grpc.aio.AioRpcError) -> BestiaryError:
    """A failed call to Triton as one of our errors. Triton's texts are for the log, never for the caller.

    Triton says UNAVAILABLE both for a full queue and for a request whose queue timeout ran out; the
    two are told apart by their texts (core/src/scheduler_utils.cc of 24.10).
    """
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE and "maximum queue size" in text:
        return Overloaded("The model's queue is full: try again in a moment.", retry_after_s=0.5)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in text.lower():
        return DeadlineExceeded(
            "The model had no time to answer within the deadline: allow more time or send fewer at once."
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded("The model server is out of room: try again in a moment.", retry_after_s=0.5)
    return _unavailable(code, text) or ModelFailed(
        "The model failed on this photo: tell the operator; the gateway's log has the reason."
    )


def _unavailable(code: grpc.StatusCode, text: str) -> ModelUnavailable | None:
    """The model or its server is not there; None if that is not what is said."""
    if code is grpc.StatusCode.NOT_FOUND or "unknown model" in text:
        return ModelUnavailable(
            "The model server has not loaded the model yet: try again in a few seconds.",
            retry_after_s=2.0,
            cause="missing",
        )
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return ModelUnavailable(
            "The model server is away and is being restarted: try again in a few seconds.", retry_after_s=2.0
        )
    if "is not healthy" in text or "Failed to process the request" in text:
        return ModelUnavailable(
            "A model process died and is being restarted: try again.", retry_after_s=1.0, cause="died"
        )
    return None
