"""Who calls over gRPC: an interceptor in front of every method; what is not named here needs ``admin``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, NoReturn

import grpc

from gateway.auth.certificates import subject_of
from gateway.auth.guard import Guard, require
from gateway.auth.principal import Credentials, Principal, Scope, read_credentials
from gateway.edge.grpc.failures import fail
from gateway.edge.grpc.wrapped import wrapped
from gateway.errors import BestiaryError, Unauthenticated

_BESTIARY: Final = "/bestiary.v1.Bestiary/"
_KSERVE: Final = "/inference.GRPCInferenceService/"

OPEN: Final = (
    "/grpc.health.v1.Health/",
    f"{_KSERVE}ServerLive",
    f"{_KSERVE}ServerReady",
)
"""Health: prefixes of methods that anybody may call."""

NEEDS: Final[dict[str, Scope | None]] = {
    f"{_BESTIARY}Classify": Scope.CLASSIFY,
    f"{_BESTIARY}ClassifyStream": Scope.CLASSIFY,
    f"{_BESTIARY}GetClassification": Scope.READ,
    f"{_BESTIARY}ListClassifications": Scope.READ,
    f"{_KSERVE}ModelInfer": Scope.CLASSIFY,
    f"{_KSERVE}ModelStreamInfer": Scope.CLASSIFY,
    f"{_KSERVE}ServerMetadata": None,
    f"{_KSERVE}ModelMetadata": None,
    f"{_KSERVE}ModelReady": None,
    f"{_KSERVE}ModelConfig": None,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": None,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": None,
}
"""Method -> scope; None is for everybody who is known."""

_principal: ContextVar[Principal] = ContextVar("bestiary_principal")


def caller() -> Principal:
    """Whoever makes the call that is being handled. Raises Unauthenticated outside of one."""
    try:
        return _principal.get()
    except LookupError:
        raise Unauthenticated("Credentials are needed.") from None


class Access(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc is untyped
    """Knows the caller before the handler runs. With credentials in the metadata that is before the message is read;
    a client certificate can only be asked for once the call has begun."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler to run: the method's own, or one that only says why not."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(OPEN):
            return handler
        try:
            credentials = self._read(details.invocation_metadata or ())
            if not credentials and self._guard.certificates:
                return self._by_certificate(handler, details.method)
            await self._enter(credentials, details.method)
        except BestiaryError as error:
            return _refusal(error)
        return handler

    async def _enter(self, credentials: Credentials, method: str) -> None:
        principal = await self._guard.authenticate(credentials)
        scope = NEEDS.get(method, Scope.ADMIN)
        if scope is not None:
            require(principal, scope)
        _principal.set(principal)

    def _read(self, metadata: Any) -> Credentials:
        values: dict[str, list[str]] = {"authorization": [], "x-api-key": []}
        for name, value in metadata:
            if name in values:
                values[name].append(value)
        if any(len(given) > 1 for given in values.values()):
            raise self._guard.refuse(Unauthenticated("There are several credentials: send one."))
        try:
            return read_credentials(*("".join(given) for given in values.values()))
        except Unauthenticated as error:
            raise self._guard.refuse(error) from None

    def _by_certificate(self, handler: Any, method: str) -> Any:
        """The same handler behind a look at the client certificate."""

        async def enter(context: grpc.aio.ServicerContext) -> None:
            certificates = context.auth_context().get("x509_pem_cert", ())
            try:
                subject = subject_of(bytes(certificates[0])) if certificates else ""
                await self._enter(Credentials(certificate=subject), method)
            except BestiaryError as error:
                await fail(context, error)

        behaviour = handler.unary_unary or handler.stream_unary or handler.unary_stream or handler.stream_stream

        async def one(request: Any, context: grpc.aio.ServicerContext) -> Any:
            await enter(context)
            return await behaviour(request, context)

        async def many(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            await enter(context)
            async for reply in behaviour(request, context):
                yield reply

        return wrapped(handler, one, many)


def _refusal(error: BestiaryError) -> Any:
    """A handler for any method that ends the call. As one for streams it does not read the message first."""

    async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> NoReturn:
        await fail(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)
