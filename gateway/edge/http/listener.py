"""uvicorn as the gateway runs it: no signal handlers of its own, and bounds on what a connection may cost."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.auth.certificates import subject_of

MAX_HEAD_BYTES = 1 << 20
"""Bytes that may arrive before the headers of a request end. One read from the socket can hold the beginning of a
body too, so this is far more than any header needs; what counts is that it is not without end."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may cost; ``gateway.settings`` has the values."""

    connections: int
    """At once; one more is closed."""
    head_timeout_s: float
    """Until the head of a request is there, from the connection or from its first byte on."""
    stall_timeout_s: float
    """Until a reply is read by its caller, once the socket takes no more of it."""


class BoundedHttp(HttpToolsProtocol):
    """Hangs up on one connection too many, on heads that do not end and on callers that do not read; says whose client
    certificate came with a connection."""

    limits: ClassVar[ConnectionLimits]

    _head_bytes = 0
    _in_head = True
    _client = ""
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head, if there is room, and remember the subject of the client certificate, which
        the handshake verified."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if isinstance(tls, ssl.SSLObject) and (certificate := tls.getpeercert(binary_form=True)):
            self._client = subject_of(certificate)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._head_is_here()
        self._reading_again()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives while headers are awaited."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a head, which may have come with the request before it."""
        if self._timer is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is over: stop counting."""
        self._in_head, self._head_bytes = False, 0
        self._head_is_here()
        if self._client:  # as the TLS extension of ASGI has it
            self.scope["extensions"] = {"tls": {"client_cert_name": self._client}}
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next request on this connection begins; until its first byte uvicorn's keep-alive timeout counts."""
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The caller does not read as fast as we write."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.stall_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The caller has read."""
        self._reading_again()
        super().resume_writing()

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_timeout_s, self._too_slow)

    def _head_is_here(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reading_again(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # a request sent ahead; the one before it is still being answered
            return
        self._timer = None
        self.transport.abort()


def bounded_http(limits: ConnectionLimits) -> type[BoundedHttp]:
    """The protocol with its limits, as a class, because uvicorn makes one instance for each connection."""
    return type("LimitedHttp", (BoundedHttp,), {"limits": limits})


class Listener(uvicorn.Server):
    """uvicorn without its signal handlers: the process has one way to stop, and it drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the gateway."""
        yield
