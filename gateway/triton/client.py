"""The ``animals`` models on a Triton reached by gRPC (KServe v2), photos by HTTP if that is asked for."""

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
from contract.tensors import ANIMALS_OUTPUTS, PHOTO, SPECIES_OUTPUTS
from gateway.errors import BestiaryError, DeadlineExceeded
from gateway.triton.faults import fault_of
from gateway.triton.http import Trace, TritonHttp

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
_OUTPUTS_OF_SPECIES: Final = tuple(
    pb.ModelInferRequest.InferRequestedOutputTensor(name=spec.name) for spec in SPECIES_OUTPUTS
)


class TritonClient:
    """One channel to one Triton: a ``gateway.ports.TensorServer``. Create it inside the event loop that uses it."""

    def __init__(self, address: str, http: TritonHttp | None = None, trace: Trace | None = None) -> None:
        """``http``: where photos are sent instead, if that is to be the way; the rest is asked here. ``trace``: as of
        :class:`TritonHttp`."""
        self._trace = trace
        self._http = http
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)

    async def infer(
        self, model: str, photo: bytes, *, deadline: float, options: Options, priority: Priority
    ) -> Mapping[str, bytes]:
        """See ``gateway.ports.TensorServer``. The time left also goes to Triton as the request's queue
        timeout, so that what cannot be in time is dropped there instead of computed."""
        if self._http is not None:
            return await self._http.infer(model, photo, deadline=deadline, options=options, priority=priority)
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
            metadata = None if self._trace is None else tuple(self._trace().items())
            response = await self._stub.ModelInfer(request, timeout=left_s, metadata=metadata)
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
        if self._http is not None:
            await self._http.close()
        await self._channel.close()


def _row(response: Any) -> dict[str, bytes]:
    return {output.name: raw for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)}


def translate(error: grpc.aio.AioRpcError) -> BestiaryError:
    """A failed call to Triton as one of our errors."""
    return fault_of(error.code(), error.details() or "")
