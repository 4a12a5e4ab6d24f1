"""A span for each call, and the caller's trace context taken over (W3C Trace Context in the metadata)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import grpc

from gateway.edge.grpc.wrapped import wrapped

if TYPE_CHECKING:
    from gateway.tracing.tracer import Tracing

TRACED: Final = ("/bestiary.v1.Bestiary/", "/inference.GRPCInferenceService/Model")
"""Where photos and records are; health and reflection are not traced."""

_KEYS: Final = ("traceparent", "tracestate")
_SERVER_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""What makes a server's span one of an error (semantic conventions for gRPC)."""


class Traced(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc is untyped
    """The outermost interceptor, only where traces are sent somewhere. A stream is one span with the stages of all its
    photos under it."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """The method's handler inside of a span."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(TRACED):
            return handler
        name = details.method.lstrip("/")
        headers = {key: value for key, value in details.invocation_metadata or () if key in _KEYS}
        behaviour = handler.unary_unary or handler.stream_unary or handler.unary_stream or handler.stream_stream

        async def one(request: Any, context: grpc.aio.ServicerContext) -> Any:
            with self._tracing.request(name, headers, _attributes(name)) as span:
                try:
                    return await behaviour(request, context)
                finally:
                    self._end(span, context)

        async def many(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            with self._tracing.request(name, headers, _attributes(name)) as span:
                try:
                    async for reply in behaviour(request, context):
                        yield reply
                finally:
                    self._end(span, context)

        return wrapped(handler, one, many)

    def _end(self, span: Any, context: grpc.aio.ServicerContext) -> None:
        code = _code(context)
        span.set_attribute("rpc.response.status_code", code.name)
        if code in _SERVER_FAULTS:
            self._tracing.failed(span, code.name)


def _attributes(name: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": name}


def _code(context: grpc.aio.ServicerContext) -> grpc.StatusCode:
    """How the call ends; ``context.code()`` is a number, or 0 where nobody has set one."""
    given = context.code()
    if isinstance(given, grpc.StatusCode):
        return given
    return next((code for code in grpc.StatusCode if code.value[0] == (given or 0)), grpc.StatusCode.UNKNOWN)
