"""The ASGI application: routes put together, errors made into problems."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from gateway.edge.http import kserve, rest
from gateway.edge.http.problems import MEDIA_TYPE, Problem, problem
from gateway.errors import BestiaryError, InvalidRequest
from gateway.metrics import Metrics
from gateway.service import Service

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What the HTTP side alone needs to know."""

    version: str
    upload_timeout_s: float
    allowed_hosts: Sequence[str]


def create_app(service: Service, metrics: Metrics, refresh: Callable[[], None], options: HttpOptions) -> FastAPI:
    """The HTTP side of the gateway. ``refresh`` brings gauges up to date before a scrape."""
    # The documentation page's scripts come out of the package, so it works with no network.
    app = FastAPIOffline(
        title="Bestiary",
        version=options.version,
        summary="Identifies, counts and classifies animals in photos.",
        docs_url="/docs",
        redoc_url=None,
    )
    app.include_router(rest.router(service, options.upload_timeout_s))
    app.include_router(kserve.router(service, options.version, options.upload_timeout_s))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(options.allowed_hosts), www_redirect=False)
    _add_operations(app, service, metrics, refresh)
    _add_errors(app)
    return app


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

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def scrape() -> Response:
        """Prometheus metrics; gateway/metrics.py says what each is for."""
        refresh()
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(BestiaryError)
    async def on_error(request: Request, error: BestiaryError) -> Response:
        if error.__cause__ is not None:
            cause = " ".join(str(error.__cause__).split())
            log.warning("%s %s: %s (%s)", request.method, request.url.path, error.reason, cause)
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(InvalidRequest(_first_complaint(error)))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        body = Problem(
            title=str(error.detail), status=error.status_code, code="http", detail=_hint(error), retryable=False
        )
        return JSONResponse(body.model_dump(), error.status_code, error.headers, media_type=MEDIA_TYPE)

    @app.exception_handler(Exception)
    async def on_unexpected(request: Request, error: Exception) -> Response:
        log.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
        return problem(BestiaryError("An internal error: tell the operator; the gateway's log has it."))


def _first_complaint(error: RequestValidationError) -> str:
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}. See /docs for what this call takes."


def _hint(error: HTTPException) -> str:
    if error.status_code == 405:
        return "This path does not take this method. See /docs."
    return "Nothing is here. See /docs for all paths." if error.status_code == 404 else str(error.detail)
