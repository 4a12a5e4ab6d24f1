"""``bestiary.v1`` and KServe v2 over gRPC under gevent."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.tensors import ANIMALS, PHOTO, TIMING_STAGES, TIMINGS_MS
from loadtest.plan import Plan, Protocol, authorities, credentials
from loadtest.wire.reply import CONNECTION, OK, STRANGE, TIMEOUT, Reply, server_timing

CHANNELS: Final = 4
"""A server spreads connections over its workers; calls over one channel stay with one of them."""

SERIAL_BYTES: Final = 8
SERVER_TIMING: Final = "server-timing"
CLASSIFY: Final = "/bestiary.v1.Bestiary/Classify"
INFER: Final = "/inference.GRPCInferenceService/ModelInfer"

_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),  # or all channels share one connection
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


class GrpcSender:
    """Calls one method with messages that are bytes already."""

    def __init__(self, plan: Plan, method: str) -> None:
        target = plan.targets.of(Protocol.GRPC)
        if target.tls:
            trusted = authorities()
            tls = grpc.ssl_channel_credentials(trusted.read_bytes() if trusted else None)
            self._channels = [grpc.secure_channel(target.address, tls, _OPTIONS) for _ in range(CHANNELS)]
        else:
            self._channels = [grpc.insecure_channel(target.address, _OPTIONS) for _ in range(CHANNELS)]
        calls = [channel.unary_unary(method) for channel in self._channels]
        self._calls: Iterator[Any] = itertools.cycle(calls)
        self._timeout_s = plan.timeout_s
        self._metadata = tuple((name.lower(), value) for name, value in credentials().items())

    def send(self, request: bytes) -> Reply:
        """As :class:`loadtest.wire.reply.Sender`."""
        try:
            answer, call = next(self._calls).with_call(request, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return Reply(_outcome(error))
        try:
            stages = dict(self.stages(answer))
        except (DecodeError, ValueError, struct.error, IndexError):
            return Reply(STRANGE)
        for name, value in call.trailing_metadata() or ():
            if name == SERVER_TIMING:
                stages |= server_timing(value)
        return Reply(OK, stages)

    def stages(self, answer: bytes) -> Mapping[str, float]:
        """Milliseconds by stage in an answer. Raises DecodeError, ValueError, struct.error, IndexError."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            channel.close()


class BestiarySender(GrpcSender):
    """``bestiary.v1``."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, CLASSIFY)
        self._metadata += (("bestiary-priority", plan.priority.value),)
        self._rest = pb.ClassifyRequest(tasks=f"TASKS_{plan.tasks.name}").SerializeToString()

    def prepare(self, photo: bytes) -> bytes:
        """The message with the photo, field 1, at its end."""
        return self._rest + _field(1, photo)

    def stages(self, answer: bytes) -> Mapping[str, float]:
        """Whatever ``timings_ms`` has."""
        timings = pb.ClassifyResponse.FromString(answer).classification.timings_ms
        return {field.name: value for field, value in timings.ListFields()}


class KServeSender(GrpcSender):
    """KServe v2's ModelInfer for ``animals``."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, INFER)
        from tritonclient.grpc import service_pb2

        self._response = service_pb2.ModelInferResponse
        request = service_pb2.ModelInferRequest(model_name=ANIMALS)
        request.inputs.add(name=PHOTO.name, datatype=PHOTO.datatype, shape=[1, 1])
        request.parameters["tasks"].string_param = plan.tasks.value
        request.parameters["priority"].int64_param = plan.priority.level
        for name in KSERVE_OUTPUTS:
            request.outputs.add(name=name)
        self._rest: bytes = request.SerializeToString()

    def prepare(self, photo: bytes) -> bytes:
        """The message with ``raw_input_contents``, field 7, at its end: one BYTES element with its length."""
        serial = SERIAL_BYTES if photo else 0
        return self._rest + _field(7, struct.pack("<I", len(photo) + serial) + photo, serial)

    def stages(self, answer: bytes) -> Mapping[str, float]:
        """The tensor of timings."""
        response = self._response.FromString(answer)
        place = [output.name for output in response.outputs].index(TIMINGS_MS.name)
        return read_timings(response.raw_output_contents[place])


KSERVE_OUTPUTS: Final = ("STATUS", "SPECIES_IDS", "SPECIES_SCORES", "SPECIES_NAMES", "COUNT", TIMINGS_MS.name)
"""What a client without our tables asks for."""


def read_timings(raw: bytes) -> dict[str, float]:
    """The timings tensor of one photo: milliseconds by stage. Raises struct.error. Its total is that of the model,
    which a record calls ``model``."""
    stages = dict(zip(TIMING_STAGES, struct.unpack(f"<{len(TIMING_STAGES)}f", raw), strict=True))
    return {"model" if name == "total" else name: value for name, value in stages.items()}


def _field(number: int, data: bytes, serial: int | None = None) -> bytes:
    """A length-delimited protobuf field whose last ``serial`` bytes (by default eight, none of an empty photo) are
    yet to come (https://protobuf.dev/programming-guides/encoding)."""
    missing = (SERIAL_BYTES if data else 0) if serial is None else serial
    return bytes([number << 3 | 2]) + _varint(len(data) + missing) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _outcome(error: Any) -> str:
    """The service's reason, else what gRPC says of the connection."""
    info = error_details_pb2.ErrorInfo()
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return str(info.reason)
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TIMEOUT
    return CONNECTION if code is grpc.StatusCode.UNAVAILABLE else f"grpc_{code.name.lower()}"
