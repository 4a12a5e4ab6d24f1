"""A span for each request, and the caller's trace context taken over (W3C Trace Context)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.edge.http.quick import PATH

if TYPE_CHECKING:
    from gateway.tracing.tracer import Tracing

TRACED: Final = ("/v1/", "/v2/models/")
"""Where photos and records are; health, metrics and the documentation are not traced."""

_HEADERS: Final = (b"traceparent", b"tracestate")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_SERVER_ERROR: Final = 500


class Traced:
    """ASGI middleware, the outermost, only where traces are sent somewhere. Attributes are those of the semantic
    conventions for HTTP servers; the path and the query stay out, only the route goes in."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; the span ends with the answer."""
        if scope["type"] != "http" or not scope["path"].startswith(TRACED):
            await self._app(scope, receive, send)
            return
        status = _SERVER_ERROR

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
                   if name in _HEADERS}  # fmt: skip
        attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        with self._tracing.request(method, headers, attributes) as span:
            try:
                await self._app(scope, receive, watch)
            finally:
                span.set_attribute("http.response.status_code", status)
                route = getattr(scope.get("route"), "path", PATH if scope["path"] == PATH else "")
                if route:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                if status >= _SERVER_ERROR:
                    self._tracing.failed(span, str(status))
