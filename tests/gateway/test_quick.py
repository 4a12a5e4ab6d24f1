"""The short way of a plain photo answers as the documented route does, and leaves it whatever is not plain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import gateway.edge.http.quick as quick
from gateway.auth.guard import LOCAL, OpenAuthenticator
from gateway.edge.http.app import HttpOptions
from tests.support.gateway import running_gateway

PATH = "/v1/classifications"

PLAIN = (
    "",
    "tasks=species",
    "tasks=full&ack=stored&priority=batch",
    "ack=accepted&filename=summer%2F0001.jpg&keep_location=true",
    "detect_from=0.25&overlap=0.5&sure_from=1&empty_from=0",
    "filename=%F0%9F%A6%93&tasks=count",
)
"""Queries that are answered the short way."""

OTHER = (
    "tasks=everything",
    "tasks=species&tasks=full",
    "priority=urgent",
    "ack=never",
    "detect_from=2",
    "detect_from=nan",
    "detect_from=1e-3",
    "overlap=",
    "keep_location=1",
    "keep_location=perhaps",
    f"filename={'x' * 1025}",
    "unknown=1",
    "tasks=%FF",
)
"""Queries that the documented route has to judge."""


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running_gateway(tmp_path, OpenAuthenticator(), options=HttpOptions("1", 5.0, ("127.0.0.1",))) as running,
        running.http() as client,
    ):
        yield client


def without_what_differs(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    differ = ("location", "content-length", "server-timing")
    headers = {name: value for name, value in answer.headers.items() if name not in differ}
    body = answer.json()
    for name in ("id", "received_at", "timings_ms", "timings"):
        body.pop(name, None)
    return answer.status_code, headers, body


async def both_ways(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, query: str, content: bytes, **headers: str
) -> tuple[httpx.Response, httpx.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    short = await http.post(f"{PATH}?{query}", content=content, headers=named)
    with monkeypatch.context() as patch:
        patch.setattr(quick, "PATH", "/elsewhere")
        return short, await http.post(f"{PATH}?{query}", content=content, headers=named)


@pytest.mark.parametrize("query", [*PLAIN, *OTHER])
async def test_both_ways_answer_alike(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, query: str, cat: bytes
) -> None:
    short, long = await both_ways(http, monkeypatch, query, cat)
    assert without_what_differs(short) == without_what_differs(long)
    if short.status_code == 201:
        assert "server-timing" in short.headers and "server-timing" in long.headers
        assert short.headers["location"] == f"{PATH}/{short.json()['id']}"


@pytest.mark.parametrize("timeout_ms", ["5000", "0", "-1", "soon", "86400001"])
async def test_timeouts_too(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, timeout_ms: str, cat: bytes
) -> None:
    short, long = await both_ways(http, monkeypatch, "", cat, bestiary_timeout_ms=timeout_ms)
    assert without_what_differs(short) == without_what_differs(long)


@pytest.mark.parametrize("content", [b"", b"no photo", b"\xff\xd8\xff" + 5_000_000 * b"x"])
async def test_refusals_too(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    short, long = await both_ways(http, monkeypatch, "tasks=species", content)
    assert short.status_code >= 400
    assert without_what_differs(short) == without_what_differs(long)


@pytest.mark.parametrize("query", PLAIN)
async def test_plain_photos_skip_the_route(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, query: str, cat: bytes
) -> None:
    monkeypatch.setattr("gateway.edge.http.rest.read_upload", None)  # the route would fail
    answer = await http.post(f"{PATH}?{query}", content=cat)
    assert answer.status_code == 201


@pytest.mark.parametrize("query", OTHER)
def test_others_are_left_to_it(query: str) -> None:
    scope = {"headers": [], "query_string": query.encode(), "bestiary.principal": LOCAL}
    assert quick._read(scope) is None
