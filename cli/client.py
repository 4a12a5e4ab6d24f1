"""The wire: one HTTP client and its rules for trying again.

Tried again, up to ``retries`` times: refused or lost connections, 429 and 503. The pause is what
``retry-after-ms`` or ``Retry-After`` asks for, else it doubles from ``FIRST_PAUSE_S``; both with jitter, so that photos
refused together do not come back together. A lost connection may leave a second record of a photo.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ipaddress import ip_address
from types import MappingProxyType, TracebackType
from typing import Final, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from cli.errors import TRY_AGAIN, ClientError, ConnectionLost, Problem, Refused, TimedOut, UnexpectedAnswer, Unreachable
from contract.record import AckLevel, Record, Verdict

PATH: Final = "/v1/classifications"
MAX_PAGE: Final = 500
"""The service's own limit for one page."""

MAX_FILENAME: Final = 1024
"""Characters that the service takes for a file name."""

TIMEOUT_HEADER: Final = "Bestiary-Timeout-Ms"
CONNECT_TIMEOUT_S: Final = 5.0
GRACE_S: Final = 5.0
"""Waited on top of a request's time, so that the service's own word on its deadline arrives."""

FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 30.0

Answer = TypeVar("Answer", bound=BaseModel)


class _Page(BaseModel):
    classifications: list[Record]
    next_page_token: str


class _Live(BaseModel):
    status: str


class _Ready(BaseModel):
    checks: dict[str, str]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which records. ``since`` is inclusive, ``until`` exclusive; upload time, UTC unless they say otherwise."""

    species: str = ""
    verdict: Verdict | None = None
    since: datetime | None = None
    until: datetime | None = None

    def params(self) -> dict[str, str]:
        """The query parameters."""
        given = {
            "species": self.species,
            "verdict": self.verdict or "",
            "since": self.since.isoformat() if self.since else "",
            "until": self.until.isoformat() if self.until else "",
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of ``/readyz``: what was checked, ``ok`` or the reason why not."""

    ready: bool
    checks: Mapping[str, str]


Notice = Callable[[str], None]
"""Takes one sentence on why a call takes longer."""


def _no_notice(sentence: str) -> None:
    pass


class Client:
    """Talks to one service. Use as ``async with``. All calls raise only ClientError."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        retries: int,
        connections: int = 1,
        notice: Notice = _no_notice,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``headers`` go with every request: the caller's credentials."""
        self._url = url
        self._timeout_s = timeout_s
        self._retries = retries
        self._notice = notice
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=dict(headers),
            timeout=httpx.Timeout(timeout_s + GRACE_S, connect=CONNECT_TIMEOUT_S, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            verify=httpx.create_ssl_context(),  # SSL_CERT_FILE counts on loopback too
            trust_env=not is_loopback(httpx.URL(url).host),  # a proxy cannot reach this machine's loopback
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def classify(
        self,
        photo: bytes,
        *,
        filename: str = "",
        ack: AckLevel | None = None,
        asked: Mapping[str, str] = MappingProxyType({}),
    ) -> Record:
        """Classify one encoded photo. Of a name that is too long the end is kept. ``asked``: query parameters with
        the task, thresholds and whether to keep the position."""
        request = self._http.build_request(
            "POST",
            PATH,
            content=photo,
            params=({"filename": filename[-MAX_FILENAME:]} if filename else {})
            | ({"ack": ack.value} if ack else {})
            | dict(asked),
            headers={
                "Content-Type": "application/octet-stream",
                TIMEOUT_HEADER: str(math.ceil(self._timeout_s * 1e3)),
            },
        )
        return self._parse(Record, await self._send(request))

    async def record(self, record_id: UUID) -> Record:
        """One record by its id."""
        return self._parse(Record, await self._send(self._http.build_request("GET", f"{PATH}/{record_id}")))

    async def photo(self, record_id: UUID) -> bytes:
        """A record's photo as it was uploaded."""
        return (await self._send(self._http.build_request("GET", f"{PATH}/{record_id}/photo"))).content

    async def records(self, filters: Filters, limit: int | None = None) -> AsyncGenerator[Record, None]:
        """Records newest first, read page by page; all of them without ``limit``."""
        token, left = "", limit
        while left is None or left > 0:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            params = filters.params() | {"limit": str(size)} | ({"page_token": token} if token else {})
            page = self._parse(_Page, await self._send(self._http.build_request("GET", PATH, params=params)))
            for record in page.classifications:
                yield record
            if left is not None:
                left -= len(page.classifications)
            token = page.next_page_token
            if not token:
                return

    async def live(self) -> None:
        """Return if a Bestiary answers."""
        self._parse(_Live, await self._send(self._http.build_request("GET", "/livez")))

    async def readiness(self) -> Readiness:
        """Whether photos would be answered now; 503 is an answer here and is not tried again."""
        response = await self._once(self._http.build_request("GET", "/readyz"))
        if not response.is_success and response.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise self._refusal(response)
        return Readiness(response.is_success, self._parse(_Ready, response).checks)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        attempt = 0
        while True:
            try:
                response = await self._once(request)
                if response.is_success:
                    return response
                raise self._refusal(response)
            except ClientError as error:
                if not error.try_again or attempt >= self._retries:
                    raise
                pause_s = _pause_s(attempt, error.retry_after_s)
                if isinstance(error, Unreachable):
                    self._notice(f"No answer at {self._url} yet: trying again, {attempt + 1} of {self._retries}.")
            await asyncio.sleep(pause_s)
            attempt += 1

    async def _once(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(self._url) from error
        except httpx.TimeoutException as error:
            raise TimedOut(f"No answer within {self._timeout_s:g} s: allow more with --timeout.") from error
        except httpx.TransportError as error:
            raise ConnectionLost(f"The connection to {self._url} broke off before the answer: try again.") from error
        except httpx.DecodingError as error:
            raise self._unexpected("bytes that cannot be decoded") from error

    def _parse(self, model: type[Answer], response: httpx.Response) -> Answer:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise self._unexpected(f"{response.status_code} with another body") from error

    def _refusal(self, response: httpx.Response) -> ClientError:
        status = response.status_code
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            if status not in TRY_AGAIN:
                return self._unexpected(f"{status} {response.reason_phrase}".rstrip())
            detail = f"{self._url} answered {status} {response.reason_phrase}: try again later."
            problem = Problem(status=status, code=f"http_{status}", detail=detail, retryable=True)
        return Refused(problem, _hint_s(response.headers))

    def _unexpected(self, what: str) -> UnexpectedAnswer:
        return UnexpectedAnswer(f"{self._url} answered {what}, not as a Bestiary does: check --url.")


def _hint_s(headers: httpx.Headers) -> float | None:
    milliseconds = headers.get("retry-after-ms", "")
    return float(milliseconds) / 1e3 if milliseconds.isdecimal() else retry_after_s(headers.get("Retry-After", ""))


def retry_after_s(header: str) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, which has seconds or a date (RFC 9110, 10.2.3); None without."""
    if header.isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _pause_s(attempt: int, asked_s: float | None) -> float:
    if asked_s is not None:
        return min(asked_s, MAX_PAUSE_S) + random.uniform(0, FIRST_PAUSE_S)
    doubled_s: float = FIRST_PAUSE_S * 2.0**attempt
    return min(doubled_s, MAX_PAUSE_S) * random.uniform(0.5, 1)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
