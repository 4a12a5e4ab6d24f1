"""Errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from gateway.edge.status import http_status
from gateway.errors import BestiaryError, Forbidden, Unauthenticated

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What every failed request is answered with."""

    title: str = Field(description="The HTTP status in words.")
    status: int
    code: str = Field(description="Stable reason, e.g. `truncated`.")
    detail: str = Field(description="What is wrong and what to do.")
    retryable: bool


def problem(error: BestiaryError) -> JSONResponse:
    """The response for an error. Where trying again helps it says when: ``Retry-After`` knows whole seconds only
    (RFC 9110, 10.2.3), ``retry-after-ms`` is the same more exactly. ``WWW-Authenticate`` stands where credentials would
    help."""
    status = http_status(error)
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * 1e3))
    if isinstance(error, Unauthenticated | Forbidden) and error.challenge:
        headers["WWW-Authenticate"] = error.challenge
    body = Problem(title=status.phrase, status=status, code=error.reason, detail=str(error), retryable=error.retryable)
    return JSONResponse(body.model_dump(), status, headers, media_type=MEDIA_TYPE)


def refuse(request: Request, error: BestiaryError) -> JSONResponse:
    """:func:`problem`, with a line in the log where the error has a cause that callers are not told."""
    if error.__cause__ is not None:
        cause = " ".join(str(error.__cause__).split())
        log.warning("%s %s: %s (%s)", request.method, request.url.path, error.reason, cause)
    return problem(error)


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route for the OpenAPI document: these statuses come with a :class:`Problem`."""
    return {code: {"model": Problem, "content": {MEDIA_TYPE: {}}} for code in codes}
