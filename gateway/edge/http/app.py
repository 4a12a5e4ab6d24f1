"""The ASGI application: routes put together, errors made into problems."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Match, Route

from gateway.auth.guard import Guard
from gateway.edge.http import kserve, releases, rest
from gateway.edge.http.access import DOCS, HEALTH, METRICS, Access, metrics_reader
from gateway.edge.http.headers import SecurityHeaders, docs_policy, security_headers
from gateway.edge.http.problems import MEDIA_TYPE, Problem, problem, refuse
from gateway.edge.http.quick import QuickClassify
from gateway.edge.http.traced import Traced
from gateway.errors import BestiaryError, InvalidRequest
from gateway.metrics import Metrics
from gateway.service import Service

if TYPE_CHECKING:
    from gateway.tracing.tracer import Tracing

log = logging.getLogger(__name__)

_API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What the HTTP side alone needs to know."""

    version: str
    upload_timeout_s: float
    allowed_hosts: Sequence[str]
    cors_origins: Sequence[str] = ()
    loopback: bool = True
    """The documentation page is open there, and only there."""
    metrics_open: bool = False
    tls: bool = False
    """Whether callers speak TLS, to us or to a proxy in front."""


def create_app(
    service: Service,
    guard: Guard,
    metrics: Metrics,
    refresh: Callable[[], None],
    options: HttpOptions,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The HTTP side of the gateway. ``refresh`` brings gauges up to date before a scrape; ``tracing`` None is none."""
    # The documentation page's scripts come out of the package, so it works with no network.
    app = FastAPIOffline(
        title="Bestiary",
        version=options.version,
        summary="Identifies, counts and classifies animals in photos.",
        docs_url=None,
        redoc_url=None,
    )
    schemes = [] if guard.open else [Security(HTTPBearer(auto_error=False)), Security(_API_KEY)]
    app.include_router(rest.router(service, options.upload_timeout_s), dependencies=schemes)
    app.include_router(releases.router(service), dependencies=schemes)
    app.include_router(kserve.router(service, options.version, options.upload_timeout_s), dependencies=schemes)
    app.add_middleware(QuickClassify, service=service, upload_timeout_s=options.upload_timeout_s)
    _add_middleware(app, guard, options)
    if tracing is not None:
        app.add_middleware(Traced, tracing=tracing)
    _add_docs(app)
    _add_operations(app, service, metrics, refresh)
    _add_errors(app, security_headers(options.tls))
    return app


def _add_middleware(app: FastAPI, guard: Guard, options: HttpOptions) -> None:
    """From the inside out: a preflight has no credentials, and every answer gets the headers."""
    open_paths = [*HEALTH, *([METRICS] if options.metrics_open else []), *(DOCS if options.loopback else [])]
    app.add_middleware(Access, guard=guard, open_paths=open_paths, origins=options.cors_origins)
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=[
                "Authorization",
                _API_KEY.model.name,
                "Content-Type",
                "Bestiary-Timeout-Ms",
                "traceparent",
                "tracestate",
            ],
            expose_headers=["Location", "Retry-After", "Server-Timing", "WWW-Authenticate"],
        )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(options.allowed_hosts), www_redirect=False)
    app.add_middleware(SecurityHeaders, headers=security_headers(options.tls))


def _add_docs(app: FastAPI) -> None:
    files = DOCS[-1].rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "",
        title=app.title,
        swagger_js_url=f"{files}/swagger-ui-bundle.js",
        swagger_css_url=f"{files}/swagger-ui.css",
        swagger_favicon_url=f"{files}/favicon.png",
    )
    policy = docs_policy(bytes(page.body).decode())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page.body, headers={"Content-Security-Policy": policy})


def _add_operations(app: FastAPI, service: Service, metrics: Metrics, refresh: Callable[[], None]) -> None:
    @app.get("/livez", tags=["operations"])
    async def livez() -> dict[str, str]:
        """Whether the process answers; restart it if not."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operations"], responses={503: {"description": "Not ready; `checks` says why."}})
    async def readyz() -> JSONResponse:
        """Whether a photo sent now would be answered; send traffic elsewhere if not."""
        readiness = await service.readiness()
        body = {"status": "ready" if readiness.ready else "not ready", "checks": readiness.checks}
        return JSONResponse(body, 200 if readiness.ready else 503)

    @app.get("/metrics", tags=["operations"], response_class=Response, dependencies=[Depends(metrics_reader)])
    async def scrape() -> Response:
        """Prometheus metrics; gateway/metrics.py says what each is for."""
        refresh()
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI, headers: Mapping[str, str]) -> None:
    @app.exception_handler(BestiaryError)
    async def on_error(request: Request, error: BestiaryError) -> Response:
        return refuse(request, error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(InvalidRequest(_first_complaint(error)))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        body = Problem(
            title=str(error.detail), status=error.status_code, code="http", detail=_hint(error), retryable=False
        )
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return JSONResponse(body.model_dump(), error.status_code, headers, media_type=MEDIA_TYPE)

    @app.exception_handler(Exception)
    async def on_unexpected(request: Request, error: Exception) -> Response:
        log.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
        answer = problem(BestiaryError("An internal error: tell the operator; the gateway's log has it."))
        answer.headers.update(headers)  # it is answered outside of the middleware
        return answer


def _methods(app: FastAPI, request: Request) -> set[str]:
    """All methods of a path; the router itself knows only those of the first route that has it."""
    return {
        method
        for route in app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def _first_complaint(error: RequestValidationError) -> str:
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}. See /docs for what this call takes."


def _hint(error: HTTPException) -> str:
    if error.status_code == 405:
        return "This path does not take this method. See /docs."
    return "Nothing is here. See /docs for all paths." if error.status_code == 404 else str(error.detail)
