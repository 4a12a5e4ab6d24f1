"""One Triton over gRPC, as the sync agent needs it: load, unload, what is ready, and a real photo's answer.

Not over HTTP: there a load holds one of the server's threads until it is done, and with it every connection that the
thread serves, those of photos included (24.10; seconds). Over gRPC it has a thread of its own.
Source: Triton's model repository extension of KServe v2.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from contract.tensors import ANIMALS_OUTPUTS, PHOTO

ASK_S: Final = 5.0
"""Seconds that a question may take; loading has a limit of its own."""

_AWAY: Final = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # Triton is inside; a proxy of the environment is for the way out
)


class TritonAway(Exception):
    """Nobody answers there, or not in time; another try may succeed."""


class TritonRefused(Exception):
    """Triton says no: ``str()`` is its own text."""


class TritonControl:
    """The control side of one Triton. ``address``: its gRPC, e.g. ``127.0.0.1:8001``. Create it inside the event loop
    that uses it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)

    async def load(self, model: str, timeout_s: float) -> None:
        """Load a model and wait for it. Raises TritonRefused, TritonAway; after the latter it may still be loading."""
        await self._ask(self._stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name=model), timeout_s)

    async def unload(self, model: str) -> None:
        """Unload a model: no new request reaches it, and it ends when the last is answered. Raises as :meth:`load`."""
        await self._ask(self._stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name=model), ASK_S)

    async def states(self) -> dict[str, str]:
        """Models -> ``READY``, ``LOADING``, ``UNLOADING``, ``UNAVAILABLE``, or '' for one that was never loaded.
        Raises TritonAway, TritonRefused."""
        answer = await self._ask(self._stub.RepositoryIndex, pb.RepositoryIndexRequest(), ASK_S)
        return {row.name: row.state for row in answer.models}

    async def infer(self, model: str, photo: bytes, timeout_s: float) -> dict[str, bytes]:
        """All outputs of an ``animals`` for one photo: name -> raw bytes. Raises TritonAway, TritonRefused."""
        request = pb.ModelInferRequest(
            model_name=model,
            inputs=[pb.ModelInferRequest.InferInputTensor(name=PHOTO.name, datatype=PHOTO.datatype, shape=(1, 1))],
            outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=spec.name) for spec in ANIMALS_OUTPUTS],
            raw_input_contents=[struct.pack("<I", len(photo)) + photo],
        )
        answer = await self._ask(self._stub.ModelInfer, request, timeout_s)
        return {output.name: raw for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)}

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def _ask(self, call: Any, request: Any, timeout_s: float) -> Any:
        try:
            return await call(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            text = " ".join((error.details() or error.code().name).split())[:500]
            if error.code() in _AWAY or (error.code() is grpc.StatusCode.UNAVAILABLE and _nobody(text)):
                raise TritonAway(f"Triton does not answer at {self._address}: {error.code().name}.") from error
            raise TritonRefused(text) from error


def _nobody(text: str) -> bool:
    """Whether an UNAVAILABLE is of the connection, not what Triton says of a model or of its end."""
    return any(part in text.lower() for part in ("connect", "socket", "end of file", "broken pipe", "goaway"))
