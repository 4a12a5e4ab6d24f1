"""What can go wrong on the wire.

ClientError               ``code``, ``retryable`` as the service words them
 ├── Unreachable          nobody answers at the URL
 ├── ConnectionLost       somebody answered, then the connection broke
 ├── TimedOut             no answer within the time given
 ├── Refused              the service answered with a problem
 └── UnexpectedAnswer     something answers there, but not as a Bestiary does
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from pydantic import BaseModel

TRY_AGAIN: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""Statuses that pass by themselves."""


class ClientError(Exception):
    """Base of all. ``retryable`` is for whoever reads the error; ``try_again`` is this client's own rule."""

    code: str = "client"
    retryable: bool = False
    try_again: bool = False
    retry_after_s: float | None = None


class Unreachable(ClientError):
    """No connection."""

    code = "unreachable"
    retryable = True
    try_again = True

    def __init__(self, url: str) -> None:
        super().__init__(f"No Bestiary answers at {url}: start it with `make up`, or give --url.")


class ConnectionLost(ClientError):
    """The connection broke between request and answer."""

    code = "connection_lost"
    retryable = True
    try_again = True


class TimedOut(ClientError):
    """The time of one request is over."""

    code = "timeout"
    retryable = True


class Refused(ClientError):
    """A problem (RFC 9457) as the service sent it."""

    def __init__(self, problem: Problem, retry_after_s: float | None) -> None:
        super().__init__(problem.detail)
        self.code = problem.code
        self.retryable = problem.retryable
        self.try_again = problem.status in TRY_AGAIN
        self.retry_after_s = retry_after_s


class UnexpectedAnswer(ClientError):
    """Not the API that we know."""

    code = "unexpected_answer"


class Problem(BaseModel):
    """The body of every refusal."""

    status: int
    code: str
    detail: str
    retryable: bool
