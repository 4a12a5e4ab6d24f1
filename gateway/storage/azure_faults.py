"""How the Blob Storage client retries, and what its errors are here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob.aio import LinearRetry

from gateway.errors import RecordNotFound, StorageUnavailable

RETRIES: Final = 2
"""Tries after the first. The caller's deadline is short, and it can retry too."""
MAX_WAIT_S: Final = 1.0
"""A service that asks for a longer pause is not asked again; the pause goes to the caller."""
BACKOFF_S: Final = 0.2
"""Mean wait before the first retry; twice as long before the next."""


class BoundedRetry(LinearRetry):
    """A few retries with full jitter that keep to the service's Retry-After; the SDK's own policies do not read it,
    and wait 15 s and more."""

    def __init__(self, backoff_s: float = BACKOFF_S) -> None:
        super().__init__(retry_total=RETRIES)
        self._backoff_s = backoff_s

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        """Seconds before the next try."""
        asked_s = _retry_after_s(settings["history"][-1].http_response) if settings["history"] else None
        jittered_s = random.uniform(0, self._backoff_s * 2 ** settings["count"])
        return max(asked_s or 0.0, jittered_s)

    def increment(self, settings: dict[str, Any], request: Any, response: Any = None, error: Any = None) -> bool:
        """Whether to try again."""
        again: bool = super().increment(settings, request, response, error)
        return again and (_retry_after_s(response) or 0.0) <= MAX_WAIT_S


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Raise what the SDK raises as RecordNotFound (only the blob's absence, seen when reading) or StorageUnavailable.

    ``doing`` is for the sentence, e.g. ``read``. The SDK's own words stay in ``__cause__``: requests are logged by it
    without signatures.
    """
    try:
        yield
    except ResourceNotFoundError as error:
        if doing == "read":
            raise RecordNotFound("There is no photo of this name.") from error
        raise _unavailable(doing, error) from error
    except (AzureError, OSError, TimeoutError) as error:
        raise _unavailable(doing, error) from error


def error_code(error: HttpResponseError) -> str:
    """The service's word for an error, e.g. ``BlobAlreadyExists``; '' where it gave none."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _unavailable(doing: str, error: Exception) -> StorageUnavailable:
    response = error.response if isinstance(error, HttpResponseError) else None
    return StorageUnavailable(
        f"Blob Storage could not {doing} the photo. Retry later.", retry_after_s=_retry_after_s(response) or 1.0
    )


def _retry_after_s(response: Any) -> float | None:
    """``x-ms-retry-after-ms`` or ``Retry-After`` in whole seconds; its other form, a date, counts as none."""
    headers = getattr(response, "headers", None) or {}
    for name, per_second in (("x-ms-retry-after-ms", 1000), ("retry-after", 1)):
        text = str(headers.get(name, ""))
        if text.isascii() and text.isdigit() and len(text) < 10:
            return int(text) / per_second
    return None
