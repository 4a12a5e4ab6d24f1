"""How a photo is put to each server: the bytes around the photo's own, made once, so that sending costs little."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from tritonclient.grpc import service_pb2

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.options import Task
from contract.priority import Priority
from contract.tensors import PHOTO
from gateway.edge.grpc.calls import PRIORITY_KEY

_BOUNDARY: Final = "8e1d6c0f5b2a4793"
_LENGTH_DELIMITED: Final = 2
"""Wire type of a protobuf field that carries its length (Protocol Buffers, Encoding)."""


@dataclass(frozen=True, slots=True)
class Http:
    """POST of the photo's bytes, or of a form with the photo as the file ``form_field``."""

    path: str
    content_type: str = "application/octet-stream"
    form_field: str = ""

    def parts(self, photo: bytes) -> tuple[bytes, ...]:
        """Request line, headers and body, to be written one after the other."""
        if not self.form_field:
            return self._head(self.content_type, len(photo)), photo
        before = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{self.form_field}"; filename="photo.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        ).encode()
        after = f"\r\n--{_BOUNDARY}--\r\n".encode()
        length = len(before) + len(photo) + len(after)
        return self._head(f"multipart/form-data; boundary={_BOUNDARY}", length), before, photo, after

    def _head(self, content_type: str, length: int) -> bytes:
        lines = (
            f"POST {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Accept: application/json",
            f"Content-Type: {content_type}",
            f"Content-Length: {length}",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class Grpc:
    """A unary call whose request is ``prefix`` and then the photo as the bytes field ``field``.

    Protobuf allows the fields of a message in any order and one after another, so no message has to be built.
    """

    method: str
    prefix: bytes
    field: int
    counted: bool = False
    """Whether the field's content is a BYTES element of KServe v2: the length, little-endian, before the photo."""
    metadata: tuple[tuple[str, str], ...] = ()

    def message(self, photo: bytes) -> bytes:
        """The serialised request."""
        element = struct.pack("<I", len(photo)) if self.counted else b""
        tag = bytes([self.field << 3 | _LENGTH_DELIMITED])
        return b"".join((self.prefix, tag, _varint(len(element) + len(photo)), element, photo))


Wire = Http | Grpc


def bestiary_http(priority: Priority) -> Http:
    """Our REST, task ``species``."""
    return Http(f"/v1/classifications?tasks={Task.SPECIES}&priority={priority}", "image/jpeg")


def bestiary_grpc(priority: Priority) -> Grpc:
    """Our gRPC, task ``species``."""
    prefix = pb.ClassifyRequest(tasks=pb.TASKS_SPECIES).SerializeToString()
    return Grpc("/bestiary.v1.Bestiary/Classify", prefix, 1, metadata=((PRIORITY_KEY, priority.value),))


def kserve_grpc(model: str) -> Grpc:
    """KServe v2: one photo as the only element of a BYTES tensor."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=PHOTO.name, datatype="BYTES", shape=[1])
    return Grpc("/inference.GRPCInferenceService/ModelInfer", request.SerializeToString(), 7, counted=True)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
