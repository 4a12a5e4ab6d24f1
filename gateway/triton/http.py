"""Inference on a Triton reached by HTTP/1.1 (KServe v2 with Triton's binary tensor data extension).

A call costs a third of what it costs by gRPC from Python, and Triton itself a little less (decision 0024); and each
connection may lead to another replica behind one address.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import grpc
import httptools

from contract.options import Options, Task
from contract.priority import PRIORITY, Priority
from contract.tensors import ANIMALS_OUTPUTS, PHOTO, SPECIES_OUTPUTS, TensorSpec
from gateway.errors import BestiaryError, DeadlineExceeded, ModelFailed, ModelUnavailable
from gateway.triton.faults import fault_of

Trace = Callable[[], Mapping[str, str]]

CONNECT_TIMEOUT_S: Final = 1.0
OK: Final = 200

_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""Triton's HTTP statuses as the gRPC codes of the same errors (server/src/http_server.cc of 24.10)."""


def _wanted(specs: Sequence[TensorSpec]) -> str:
    return json.dumps([{"name": spec.name, "parameters": {"binary_data": True}} for spec in specs])


_OUTPUTS: Final = _wanted(ANIMALS_OUTPUTS)
_OUTPUTS_OF_SPECIES: Final = _wanted(SPECIES_OUTPUTS)


class TritonHttp:
    """Connections to one address, each with one call at a time. For one event loop."""

    def __init__(self, address: str, trace: Trace | None = None) -> None:
        """``address``: ``host:port``; ``trace``: headers of the trace that a call belongs to, if there are traces."""
        self._trace = trace
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._idle: deque[_Connection] = deque()

    async def infer(
        self, model: str, photo: bytes, *, deadline: float, options: Options, priority: Priority
    ) -> Mapping[str, bytes]:
        """See ``gateway.ports.TensorServer``. The time left is also the request's queue timeout in Triton."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded("There was no time left to ask the model: allow more time.")
        trace = "" if self._trace is None else "".join([f"{key}: {text}\r\n" for key, text in self._trace().items()])
        message = (*_head(self._host, model, len(photo), left_s, options, priority, trace), photo)
        try:
            async with asyncio.timeout(left_s):
                status, body, at = await self._ask(message)
        except TimeoutError:
            raise DeadlineExceeded(
                "The model had no time to answer within the deadline: allow more time or send fewer at once."
            ) from None
        try:
            return _tensors(body, at) if status == OK else _fail(status, body)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFailed("The model server's reply cannot be read: tell the operator.") from error

    async def close(self) -> None:
        """Close what is idle; calls in flight close theirs as they end."""
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, message: Sequence[bytes]) -> tuple[int, bytes, int]:
        """Status, body, and where in it the tensors begin. Raises ModelUnavailable."""
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                try:
                    return await self._ask_on(connection, message)
                except _Stale:  # closed by the other side while it was idle: nothing was answered
                    continue
        try:
            return await self._ask_on(await self._connect(), message)
        except _Stale as error:
            raise _away() from error

    async def _ask_on(self, connection: _Connection, message: Sequence[bytes]) -> tuple[int, bytes, int]:
        try:
            answer = await connection.ask(message)
        except BaseException:
            connection.close()  # what would come on it now is the answer to this call
            raise
        if connection.open:
            self._idle.append(connection)
        return answer

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(_Connection, self._host, self._port)
        except (OSError, TimeoutError) as error:
            raise _away() from error
        return connection


class _Stale(Exception):
    """The connection was closed before any byte of a reply."""


class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes, int]] | None = None
        self._body: list[bytes] = []
        self._tensors_at = 0
        self._begun = False
        self.open = False

    async def ask(self, message: Sequence[bytes]) -> tuple[int, bytes, int]:
        """Send a request and wait for its reply. Raises _Stale, ModelUnavailable."""
        self._answer = asyncio.get_running_loop().create_future()
        self._body, self._tensors_at, self._begun = [], 0, False
        self._transport.writelines(message)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        self.open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type
        self.open = True

    def data_received(self, data: bytes) -> None:
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(_away())
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._end(_away() if self._begun else _Stale())

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"inference-header-content-length":
            self._tensors_at = int(value)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.open = False
            self._transport.close()
        if self._answer is not None and not self._answer.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._answer.set_result((self._parser.get_status_code(), body, self._tensors_at))

    def _end(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _head(
    host: str, model: str, size: int, left_s: float, options: Options, priority: Priority, trace: str
) -> tuple[bytes, bytes, bytes]:
    """Everything in front of the photo's bytes."""
    more = "".join(f', "{name}": {json.dumps(str(value))}' for name, value in options.parameters().items())
    outputs = _OUTPUTS_OF_SPECIES if options.tasks is Task.SPECIES else _OUTPUTS
    request = (
        f'{{"parameters": {{"timeout": {max(1, int(left_s * 1e6))}, "{PRIORITY}": {priority.level}{more}}}, '
        f'"inputs": [{{"name": "{PHOTO.name}", "datatype": "{PHOTO.datatype}", "shape": [1, 1], '
        f'"parameters": {{"binary_data_size": {size + 4}}}}}], "outputs": {outputs}}}'
    ).encode()
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {host}\r\n{trace}"
        f"Inference-Header-Content-Length: {len(request)}\r\nContent-Length: {len(request) + 4 + size}\r\n\r\n"
    ).encode()
    return head, request, struct.pack("<I", size)


def _tensors(body: bytes, at: int) -> dict[str, bytes]:
    """Output name -> its bytes, out of a reply whose tensors follow one another from ``at`` on."""
    tensors: dict[str, bytes] = {}
    for output in json.loads(body[:at])["outputs"]:
        end = at + output["parameters"]["binary_data_size"]
        tensors[output["name"]] = body[at:end]
        at = end
    if at != len(body):
        raise ValueError("the reply's tensors have another length than it says")
    return tensors


def _fail(status: int, body: bytes) -> Mapping[str, bytes]:
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        text = ""
    raise fault_of(_CODES.get(status, grpc.StatusCode.INTERNAL), text)


def _away() -> BestiaryError:
    return ModelUnavailable(
        "The model server is away and is being restarted: try again in a few seconds.", retry_after_s=2.0
    )
