"""uvicorn as the gateway runs it: no signal handlers of its own, and a bound on request headers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 1 << 20
"""Bytes that may arrive before the headers of a request end. One read from the socket can hold the beginning of a
body too, so this is far more than any header needs; what counts is that it is not without end."""


class BoundedHttp(HttpToolsProtocol):
    """Hangs up on a request whose headers do not end."""

    _head_bytes = 0
    _in_head = True

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
