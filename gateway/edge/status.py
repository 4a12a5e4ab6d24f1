"""The one table from errors to HTTP and gRPC codes."""

from __future__ import annotations

from http import HTTPStatus

import grpc

from contract.photo_status import PhotoStatus
from gateway import errors
from gateway.errors import BestiaryError, PhotoRejected

_TABLE: tuple[tuple[type[BestiaryError], HTTPStatus, grpc.StatusCode], ...] = (
    (errors.PhotoRejected, HTTPStatus.UNPROCESSABLE_ENTITY, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.InvalidRequest, HTTPStatus.BAD_REQUEST, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.RecordNotFound, HTTPStatus.NOT_FOUND, grpc.StatusCode.NOT_FOUND),
    (errors.NotExposed, HTTPStatus.FORBIDDEN, grpc.StatusCode.PERMISSION_DENIED),
    (errors.Unauthenticated, HTTPStatus.UNAUTHORIZED, grpc.StatusCode.UNAUTHENTICATED),
    (errors.Forbidden, HTTPStatus.FORBIDDEN, grpc.StatusCode.PERMISSION_DENIED),
    (errors.QuotaExceeded, HTTPStatus.TOO_MANY_REQUESTS, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.DeadlineExceeded, HTTPStatus.GATEWAY_TIMEOUT, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Overloaded, HTTPStatus.TOO_MANY_REQUESTS, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.NotReady, HTTPStatus.SERVICE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    (errors.ModelUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    (errors.ModelFailed, HTTPStatus.BAD_GATEWAY, grpc.StatusCode.INTERNAL),
    (errors.StorageUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    (errors.BestiaryError, HTTPStatus.INTERNAL_SERVER_ERROR, grpc.StatusCode.INTERNAL),
)

_PHOTO_HTTP = {
    PhotoStatus.EMPTY: HTTPStatus.BAD_REQUEST,
    PhotoStatus.NOT_AN_IMAGE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    PhotoStatus.UNSUPPORTED_FORMAT: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    PhotoStatus.TOO_MANY_BYTES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
"""Where a photo's own trouble has a more exact HTTP code than 422."""


def http_status(error: BestiaryError) -> HTTPStatus:
    """The HTTP status for an error."""
    if isinstance(error, PhotoRejected) and error.status in _PHOTO_HTTP:
        return _PHOTO_HTTP[error.status]
    return next(http for kind, http, _ in _TABLE if isinstance(error, kind))


def grpc_status(error: BestiaryError) -> grpc.StatusCode:
    """The gRPC status code for an error."""
    return next(code for kind, _, code in _TABLE if isinstance(error, kind))
