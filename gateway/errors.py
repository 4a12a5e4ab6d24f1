"""Every error that the gateway answers with.

    BestiaryError
     ├── CallerError              the caller can mend it; retrying as it is will not help
     │    ├── PhotoRejected       this photo cannot be used; carries its PhotoStatus
     │    ├── InvalidRequest      a parameter, a tensor or a header is wrong
     │    │    └── BlobRefused    a reference to a blob that is not the service's to read
     │    ├── RecordNotFound      no record (or photo) with this id
     │    ├── NotExposed          the operation exists elsewhere but not here (model control)
     │    ├── Unauthenticated     no credentials, or none that hold; carries the challenge
     │    └── Forbidden           the credentials hold and do not allow this
     ├── DeadlineExceeded         the caller's time ran out before there was an answer
     ├── QuotaExceeded            the caller's own share is used up; retry after ``retry_after_s``
     └── ServiceError             our side; retry after ``retry_after_s``
          ├── Overloaded          no room right now
          ├── NotReady            starting, or shutting down
          ├── ModelUnavailable    Triton is away or refused; it is restarted by itself
          ├── ModelFailed         a model answered nonsense or crashed on this input
          └── StorageUnavailable  journal, store or blobs cannot be written

``code`` is stable and public. ``str(error)`` is one or two sentences for the caller: what is wrong
and what to do. Nothing internal is ever in it; that goes to the log by ``__cause__``.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from contract.photo_status import PhotoStatus, advice


class BestiaryError(Exception):
    """Base of all; ``retryable`` and ``retry_after_s`` say whether and when to try again."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    @property
    def reason(self) -> str:
        """The stable public word for this error."""
        return self.code


class CallerError(BestiaryError):
    """The caller's to mend."""


class PhotoRejected(CallerError):
    """One photo cannot be used."""

    code = "photo_rejected"

    def __init__(self, status: PhotoStatus, message: str | None = None) -> None:
        super().__init__(message or advice(status))
        self.status = status

    @property
    def reason(self) -> str:
        """The photo status' own word, e.g. ``truncated``."""
        return self.status.code


class InvalidRequest(CallerError):
    """A parameter, a tensor or a header is wrong; the message names it."""

    code = "invalid_request"


class BlobRefused(InvalidRequest):
    """A reference names no blob of the configured account and containers; nothing was connected to."""

    code = "blob_refused"


class RecordNotFound(CallerError):
    """Nothing is stored under this id."""

    code = "not_found"


class NotExposed(CallerError):
    """Model control and shared memory belong to the operator, not to callers."""

    code = "not_exposed"


class Unauthenticated(CallerError):
    """Nobody knows the caller. ``challenge`` is the value of ``WWW-Authenticate`` (RFC 9110, 11.6.1), '' for none."""

    code = "unauthenticated"

    def __init__(self, message: str, *, challenge: str = "") -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(CallerError):
    """The caller is known and may not do this. ``challenge`` as for :class:`Unauthenticated`."""

    code = "forbidden"

    def __init__(self, message: str, *, challenge: str = "") -> None:
        super().__init__(message)
        self.challenge = challenge


class DeadlineExceeded(BestiaryError):
    """The caller's deadline passed."""

    code = "deadline_exceeded"
    retryable = True


class QuotaExceeded(BestiaryError):
    """The caller has used up its own share; others are still served."""

    code = "quota_exceeded"
    retryable = True


class ServiceError(BestiaryError):
    """Ours to mend; the caller may retry."""

    retryable = True


class Overloaded(ServiceError):
    """More work than fits right now."""

    code = "overloaded"


class NotReady(ServiceError):
    """The service is starting or draining."""

    code = "not_ready"


class ModelUnavailable(ServiceError):
    """Triton cannot be reached (``away``), has no such model loaded (``missing``), or its process died (``died``)."""

    code = "model_unavailable"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        cause: Literal["away", "missing", "died"] = "away",
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.cause = cause


class ModelFailed(ServiceError):
    """Triton answered with an internal error or with tensors that break the contract."""

    code = "model_failed"
    retryable = False


class StorageUnavailable(ServiceError):
    """The journal, the result store or the blob store failed or is full."""

    code = "storage_unavailable"
