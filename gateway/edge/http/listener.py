"""uvicorn as the gateway runs it: no signal handlers of its own, and a bound on request headers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.auth.certificates import subject_of

MAX_HEAD_BYTES = 1 << 20
"""Bytes that may arrive before the headers of a request end. One read from the socket can hold the beginning of a
body too, so this is far more than any header needs; what counts is that it is not without end."""


class BoundedHttp(HttpToolsProtocol):
    """Hangs up on a request whose headers do not end, and says whose client certificate came with a connection."""

    _head_bytes = 0
    _in_head = True
    _client = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the subject of the client certificate, which the handshake verified."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if isinstance(tls, ssl.SSLObject) and (certificate := tls.getpeercert(binary_form=True)):
            self._client = subject_of(certificate)

    def data_received(self, data: bytes) -> None:
        """Count what arrives while headers are awaited."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is over: stop counting."""
        self._in_head, self._head_bytes = False, 0
        if self._client:  # as the TLS extension of ASGI has it
            self.scope["extensions"] = {"tls": {"client_cert_name": self._client}}
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next request on this connection begins."""
        self._in_head = True
        super().on_message_complete()


class Listener(uvicorn.Server):
    """uvicorn without its signal handlers: the process has one way to stop, and it drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the gateway."""
        yield
