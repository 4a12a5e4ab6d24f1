"""KServe v2 over gRPC, on the messages that tritonclient ships."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceServicer

from contract.tensors import ANIMALS, ANIMALS_OUTPUTS, MAX_BATCH, PHOTO
from gateway.edge import kserve
from gateway.edge.grpc.access import caller
from gateway.edge.grpc.calls import caller_of, time_left_s
from gateway.edge.grpc.failures import guarded, unary
from gateway.edge.timings import SERVER_TIMING, server_timing
from gateway.errors import BestiaryError, InvalidRequest, NotExposed
from gateway.ports import ModelDetails
from gateway.service import Service


class KServeGrpc(GRPCInferenceServiceServicer):  # type: ignore[misc]  # tritonclient is untyped
    """Inference and metadata of ``animals``; everything that controls the server is refused."""

    def __init__(self, service: Service, model: ModelDetails, version: str) -> None:
        self._service = service
        self._model = model
        self._version = version

    @unary
    async def ServerLive(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """The process answers, so it lives."""
        return pb.ServerLiveResponse(live=True)

    @unary
    async def ServerReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """As ``/readyz``."""
        return pb.ServerReadyResponse(ready=(await self._service.readiness()).ready)

    @unary
    async def ModelReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """As ``/readyz``, for ``animals`` only."""
        kserve.check_model(request.name, request.version)
        return pb.ModelReadyResponse(ready=(await self._service.readiness()).ready)

    @unary
    async def ServerMetadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Name and version of the gateway."""
        return pb.ServerMetadataResponse(name=kserve.PLATFORM, version=self._version)

    @unary
    async def ModelMetadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Inputs and outputs from the tensor contract."""
        kserve.check_model(request.name, request.version)
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=ANIMALS,
            versions=["1"],
            platform=kserve.PLATFORM,
            inputs=[tensor(name=PHOTO.name, datatype=PHOTO.datatype, shape=(-1, *PHOTO.shape))],
            outputs=[
                tensor(name=spec.name, datatype=spec.datatype, shape=(-1, *spec.shape)) for spec in ANIMALS_OUTPUTS
            ],
        )

    @unary
    async def ModelConfig(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Triton's own configuration of ``animals``, whatever the release's model is called there."""
        kserve.check_model(request.name, request.version)
        answer = await self._model.config()
        answer.config.name = ANIMALS
        return answer

    @unary
    async def ModelStatistics(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Triton's own statistics of ``animals``: of the release that answers."""
        kserve.check_model(request.name or ANIMALS, request.version)
        answer = await self._model.statistics()
        for statistics in answer.model_stats:
            statistics.name = ANIMALS
        return answer

    @unary
    async def ModelInfer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Classify the photos in one request."""
        response, reply = await self._infer(request, context)
        context.set_trailing_metadata(((SERVER_TIMING, server_timing(reply.timings_ms)),))
        return response

    async def ModelStreamInfer(
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        """Request by request; a failed one is answered with its message and ends nothing."""
        async for request in requests:
            try:
                answer, _ = await guarded(self._infer(request, context))
                response = pb.ModelStreamInferResponse(infer_response=answer)
            except BestiaryError as error:
                response = pb.ModelStreamInferResponse(error_message=str(error))
                response.infer_response.id = request.id
            yield response

    async def _infer(self, request: Any, context: grpc.aio.ServicerContext) -> tuple[Any, kserve.InferReply]:
        entered = self._service.clock.monotonic()
        kserve.check_model(request.model_name, request.model_version)
        with self._service.admission.hold() as take:
            take(request.ByteSize())
            call = _call(request, time_left_s(context), caller_of(context), entered)
            reply = await kserve.infer(self._service, call, caller(), "kserve_grpc")
        response = pb.ModelInferResponse(
            model_name=ANIMALS, model_version=reply.version, id=request.id, raw_output_contents=reply.tensors.values()
        )
        response.parameters["record_ids"].string_param = ",".join(reply.record_ids)
        for name in reply.tensors:
            shape = kserve.output_shape(name, reply.count)
            response.outputs.add(name=name, datatype=kserve.output_datatype(name), shape=shape)
        return response, reply


def _call(request: Any, time_left: float | None, caller: str, entered: float) -> kserve.InferCall:
    if len(request.inputs) != 1:
        raise InvalidRequest(f"Send exactly one input, {PHOTO.name}.")
    tensor = request.inputs[0]
    for parameters in (tensor.parameters, *(output.parameters for output in request.outputs)):
        kserve.check_parameters(parameters)
    raw = request.raw_input_contents
    elements = raw[0] if raw else tensor.contents.bytes_contents[: MAX_BATCH + 1]
    asked = kserve.timeout_of(request.parameters["timeout"].int64_param if "timeout" in request.parameters else 0)
    parameters = {name: getattr(value, value.WhichOneof("parameter_choice") or "", None)
                  for name, value in request.parameters.items()}  # fmt: skip
    limits = [limit for limit in (asked, time_left) if limit is not None]
    return kserve.InferCall(
        photos=kserve.photos_of(tensor.name, tensor.datatype, tensor.shape, elements),
        outputs=[output.name for output in request.outputs],
        timeout_s=min(limits, default=None),
        ack=kserve.ack_of(str(parameters.get("ack") or "")),
        options=kserve.options_of(parameters),
        keep_location=kserve.flag(parameters, "keep_location"),
        priority=kserve.priority_of(parameters),
        caller=caller,
        entered=entered,
    )


def _refused(name: str) -> Any:
    @unary
    async def handler(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        raise NotExposed(f"{name} is the operator's and is not offered here: use Triton's own port on its machine.")

    return handler


CONTROL = (
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
)
"""Calls of the protocol that steer the server: model control, shared memory, tracing, logging."""

for _name in CONTROL:
    setattr(KServeGrpc, _name, _refused(_name))
