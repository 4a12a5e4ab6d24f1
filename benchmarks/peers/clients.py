"""Clients of the load generator.

HTTP/1.1: httptools' parser in C and connections that stay open. gRPC: the C core, with requests that are put together
from bytes (``wire``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

import grpc
import httptools

from benchmarks.peers.wire import Grpc, Http, Wire

HTTP_CONNECTIONS: Final = 32
"""Opened before the first photo, so that servers of several processes share them out; more follow if all are busy."""

GRPC_CHANNELS: Final = 8
CALL_TIMEOUT_S: Final = 10.0


class CallFailed(Exception):
    """The server answered with an error, or closed the connection."""


def client_for(port: int, wire: Wire) -> HttpClient | GrpcClient:
    """The client that speaks ``wire``."""
    return HttpClient(port, wire) if isinstance(wire, Http) else GrpcClient(port, wire)


class HttpClient:
    """HTTP/1.1 connections that are used in turn."""

    def __init__(self, port: int, wire: Http) -> None:
        self._port = port
        self._wire = wire
        self._idle: deque[_Connection] = deque()

    async def connect(self) -> None:
        """Open what is needed at first. Raises OSError."""
        for _ in range(HTTP_CONNECTIONS):
            self._idle.append(await self._open())

    async def call(self, photo: bytes) -> bytes:
        """Body of the answer to one photo. Raises CallFailed, OSError."""
        connection = await self._free()
        try:
            body = await connection.exchange(self._wire.parts(photo))
        except BaseException:
            connection.close()
            raise
        if connection.usable:
            self._idle.append(connection)
        return body

    async def _free(self) -> _Connection:
        while self._idle:
            connection = self._idle.popleft()
            if connection.usable:
                return connection
        return await self._open()

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One connection: a request at a time. Methods ``on_...`` are called by the parser."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._answer: asyncio.Future[bytes] | None = None
        self._body: list[bytes] = []
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.usable = True

    async def exchange(self, parts: Sequence[bytes]) -> bytes:
        """Send one request and wait for its answer's body. Raises CallFailed."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._body = []
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines(parts)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"no HTTP: {error}")
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.usable = self.usable and self._parser.should_keep_alive()
        status, body = self._parser.get_status_code(), b"".join(self._body)
        if 200 <= status < 300:
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(body)
        else:
            self._fail(f"HTTP {status}")

    def connection_lost(self, _: Exception | None) -> None:
        self.usable = False
        self._fail("connection closed")

    def close(self) -> None:
        """At once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, words: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CallFailed(words))


class GrpcClient:
    """Unary calls over a few channels in turn, with requests and answers as bytes."""

    def __init__(self, port: int, wire: Grpc) -> None:
        self._port = port
        self._wire = wire
        self._calls: deque[Callable[..., Awaitable[bytes]]] = deque()

    async def connect(self) -> None:
        """Raises TimeoutError where nobody listens."""
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_send_message_length", -1),
        )
        for _ in range(GRPC_CHANNELS):
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options=options)
            await asyncio.wait_for(channel.channel_ready(), CALL_TIMEOUT_S)
            self._calls.append(channel.unary_unary(self._wire.method))

    async def call(self, photo: bytes) -> bytes:
        """The answer to one photo, serialised. Raises CallFailed."""
        self._calls.rotate()
        try:
            return await self._calls[0](self._wire.message(photo), metadata=self._wire.metadata or None)
        except grpc.aio.AioRpcError as error:
            raise CallFailed(f"{error.code().name}: {error.details()}") from None
