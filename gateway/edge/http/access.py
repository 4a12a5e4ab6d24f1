"""Who calls over HTTP: nothing but health is reached without a principal, whatever routes there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from gateway.auth.guard import Guard, require
from gateway.auth.principal import Kind, Principal, Scope, read_credentials
from gateway.edge.http.problems import problem
from gateway.errors import BestiaryError, Forbidden, Unauthenticated

HEALTH: Final = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")
"""Always open: whoever watches a process has no credentials."""

METRICS: Final = "/metrics"
DOCS: Final = ("/docs", "/openapi.json", "/static-offline-docs/")
"""Open on loopback only."""

_PRINCIPAL: Final = "bestiary.principal"


class Access:
    """ASGI middleware: knows the caller before a route is looked for and before its body is read."""

    def __init__(self, app: ASGIApp, guard: Guard, open_paths: Collection[str], origins: Collection[str] = ()) -> None:
        self._app = app
        self._guard = guard
        self._origins = frozenset(origins)
        self._open = frozenset(open_paths)
        self._open_folders = tuple(path for path in open_paths if path.endswith("/"))

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass the request on with its principal, or answer with the problem."""
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            try:
                scope[_PRINCIPAL] = await self._principal(scope)
            except BestiaryError as error:
                await problem(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open or path.startswith(self._open_folders)

    async def _principal(self, scope: AsgiScope) -> Principal:
        headers = Headers(scope=scope)
        certificate = scope.get("extensions", {}).get("tls", {}).get("client_cert_name") or ""
        try:
            if len(headers.getlist("authorization")) > 1 or len(headers.getlist("x-api-key")) > 1:
                raise Unauthenticated("There are several credentials: send one.")
            credentials = read_credentials(headers.get("authorization", ""), headers.get("x-api-key", ""), certificate)
        except Unauthenticated as error:
            raise self._guard.refuse(error) from None
        principal = await self._guard.authenticate(credentials)
        if principal.kind is Kind.OPEN and scope["method"] == "POST":
            self._check_origin(headers)
        return principal

    def _check_origin(self, headers: Headers) -> None:
        """Where nobody is asked for credentials, a page of another origin could send photos from the browser of whoever
        looks at it. Browsers say where a POST comes from (Origin, RFC 6454, 7.3); programs do not."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins or origin.partition("://")[2] == headers.get("host"):
            return
        raise Forbidden("Pages of other origins may not send photos here: name theirs in BESTIARY_CORS_ORIGINS.")


def principal_in(scope: AsgiScope) -> Principal | None:
    """The caller that :class:`Access` found; None where nobody was asked for."""
    principal = scope.get(_PRINCIPAL)
    return principal if isinstance(principal, Principal) else None


def _holding(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that gives the caller. Raises Unauthenticated, Forbidden."""

    async def principal_of(request: Request) -> Principal:
        principal = principal_in(request.scope)
        if principal is None:
            raise Unauthenticated("Credentials are needed.")
        require(principal, scope)
        return principal

    return principal_of


Classifies = Annotated[Principal, Depends(_holding(Scope.CLASSIFY))]
"""A caller who may send photos, as a parameter of a route."""

Reads = Annotated[Principal, Depends(_holding(Scope.READ))]
"""A caller who may read its records, as a parameter of a route."""


def metrics_reader(request: Request) -> None:
    """A dependency of ``/metrics``: Raises Forbidden if a principal was asked for and may not read."""
    principal = principal_in(request.scope)
    if principal is not None:
        require(principal, Scope.READ)
