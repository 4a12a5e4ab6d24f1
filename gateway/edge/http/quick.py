"""The short way of ``POST /v1/classifications`` with a photo as its body, which is nearly all that comes.

The route in :mod:`gateway.edge.http.rest` is what the documentation describes, and answers whatever is not plain: a
form, a reference, a parameter that is unknown or wrong. What is plain skips routing and validation, which cost as
much as the rest of the way (docs/decisions/0024).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.options import Options, Task
from contract.priority import Priority
from contract.record import AckLevel
from gateway.auth.principal import Principal
from gateway.auth.principal import Scope as Permission
from gateway.classify import Outcome
from gateway.edge.http.access import principal_in
from gateway.edge.http.body import caller_of, read_limited, small_number
from gateway.edge.http.problems import refuse
from gateway.edge.http.rest import MAX_TIMEOUT_MS
from gateway.edge.timings import SERVER_TIMING, server_timing
from gateway.errors import BestiaryError
from gateway.service import MAX_FILENAME, Service

PATH: Final = "/v1/classifications"
_SHARE: Final = re.compile(r"0(\.\d{1,9})?|1(\.0{1,9})?", re.ASCII)
_SHARES: Final = ("detect_from", "overlap", "sure_from", "empty_from")
_BOOLEANS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class _Asked:
    """The parameters of a plain request."""

    principal: Principal
    options: Options
    priority: Priority
    ack: AckLevel | None
    filename: str | None
    keep_location: bool
    timeout_s: float | None


class QuickClassify:
    """ASGI middleware: answers plain classifications and passes everything else on."""

    def __init__(self, app: ASGIApp, service: Service, upload_timeout_s: float) -> None:
        self._app = app
        self._service = service
        self._upload_timeout_s = upload_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on before anything was read."""
        asked = None
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            asked = _read(scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        entered = self._service.clock.monotonic()
        request = Request(scope, receive)
        try:
            outcome = await self._classify(request, asked, entered)
        except BestiaryError as error:
            await refuse(request, error)(scope, receive, send)
            return
        body = outcome.record.model_dump_json(by_alias=True).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"location", f"{PATH}/{outcome.record.id}".encode()),
            (SERVER_TIMING.encode(), server_timing(outcome.timings_ms).encode()),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _classify(self, request: Request, asked: _Asked, entered: float) -> Outcome:
        with self._service.admission.hold() as take:
            photo = await read_limited(request, self._service.admission, take, self._upload_timeout_s)
            return await self._service.classify(
                photo,
                principal=asked.principal,
                edge="http",
                timeout_s=asked.timeout_s,
                filename=asked.filename,
                ack=asked.ack,
                options=asked.options,
                keep_location=asked.keep_location,
                caller=caller_of(request),
                priority=asked.priority,
                entered=entered,
            )


def _read(scope: Scope) -> _Asked | None:
    """What a request asks for; None if it is not plain."""
    principal = principal_in(scope)
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and name in _READ_HEADERS:
            return None
        headers[name] = value
    media_type = headers.get(b"content-type", b"").lower()
    if principal is None or not principal.holds(Permission.CLASSIFY) or media_type.startswith(_OTHER_BODIES):
        return None
    timeout_ms = None
    if (given := headers.get(b"bestiary-timeout-ms")) is not None:
        timeout_ms = small_number(given.decode("latin-1"))
        if timeout_ms is None or not 1 <= timeout_ms <= MAX_TIMEOUT_MS:
            return None
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=False)
        query = dict(pairs)
        return None if len(query) < len(pairs) else _asked(principal, query, timeout_ms)
    except (ValueError, KeyError):
        return None


_READ_HEADERS: Final = frozenset({b"content-type", b"bestiary-timeout-ms"})
_OTHER_BODIES: Final = (b"multipart/", b"application/json")


def _asked(principal: Principal, query: dict[str, str], timeout_ms: int | None) -> _Asked | None:
    """Raises ValueError or KeyError for a value that is not plain."""
    shares = {name: _share(query.pop(name)) for name in _SHARES if name in query}
    tasks = Task(query.pop("tasks", Task.FULL))
    priority = Priority(query.pop("priority", Priority.INTERACTIVE))
    ack = AckLevel(query.pop("ack")) if "ack" in query else None
    filename = query.pop("filename", None)
    keep_location = _BOOLEANS[query.pop("keep_location", "false")]
    if query or len(filename or "") > MAX_FILENAME:
        return None
    return _Asked(
        principal=principal,
        options=Options(tasks=tasks, **shares),
        priority=priority,
        ack=ack,
        filename=filename,
        keep_location=keep_location,
        timeout_s=None if timeout_ms is None else timeout_ms / 1e3,
    )


def _share(text: str) -> float:
    if _SHARE.fullmatch(text) is None:
        raise ValueError(text)
    return float(text)
