"""What the SDK raises, as errors of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from gateway.errors import BestiaryError, InvalidRequest, StorageUnavailable

FAULTS: Final = (AzureError, aiohttp.ClientError, OSError, json.JSONDecodeError)
"""Everything that a call of the SDK raises for what went wrong outside. A body that is cut off comes as aiohttp's
own error or as broken JSON."""

RETRY_AFTER: Final = "x-ms-retry-after-ms"
REQUEST_CHARGE: Final = "x-ms-request-charge"

ServiceError = CosmosHttpResponseError | CosmosBatchOperationError
"""Answers of 400 and above. The error of a batch is no CosmosHttpResponseError, and has its headers elsewhere."""

_POISON: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def translated(error: Exception, *, writing: bool) -> BestiaryError:
    """The error to raise instead. When ``writing``, 400 and 413 say that the document itself is refused, which no
    retry mends; when reading they are a container that is not as we made it."""
    if isinstance(error, ClientAuthenticationError):
        return StorageUnavailable("No credentials for the result store could be had. Tell the operator.")
    if not isinstance(error, ServiceError):
        return StorageUnavailable("The result store cannot be reached right now. Retry later.")
    if writing and error.status_code in _POISON:
        return InvalidRequest("The result store does not take this record.")
    if error.status_code in _REFUSED:
        return StorageUnavailable("The result store refuses the gateway's credentials. Tell the operator.")
    if error.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return StorageUnavailable("The result store is over its rate. Retry later.", retry_after_s=retry_after_s(error))
    return StorageUnavailable(
        "The result store cannot be used right now. Retry later.", retry_after_s=retry_after_s(error)
    )


def headers_of(error: Exception) -> Mapping[str, Any]:
    """Headers of the reply that an error came with; empty if there was none."""
    if isinstance(error, CosmosBatchOperationError):
        return error.headers or {}
    return getattr(getattr(error, "response", None), "headers", None) or {}


def retry_after_s(error: ServiceError) -> float | None:
    """Seconds that the service asks to wait; None if it does not say. In a batch the operation may say it alone."""
    values = [headers_of(error).get(RETRY_AFTER)]
    if isinstance(error, CosmosBatchOperationError):
        values += [operation.get("retryAfterMilliseconds") for operation in error.operation_responses or ()]
    waits = [float(value) / 1000 for value in values if value is not None]
    return max(waits, default=None)


def charge(headers: Mapping[str, Any]) -> float:
    """Request units of a reply; 0.0 where it does not say."""
    return float(headers.get(REQUEST_CHARGE) or 0.0)
