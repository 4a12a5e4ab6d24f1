"""What a browser is told: headers on every answer, no origin but the named ones, a page that needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.auth.guard import OpenAuthenticator
from gateway.edge.http.app import HttpOptions
from tests.support.gateway import Running, running_gateway

PATH = "/v1/classifications"
PARK = "https://park.example"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    options = HttpOptions("1", 5.0, ("127.0.0.1",), cors_origins=(PARK,))
    async with running_gateway(tmp_path, OpenAuthenticator(), options=options) as running:
        yield running


@pytest.fixture
async def http(gateway: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway.http() as client:
        yield client


@pytest.mark.parametrize("path", ["/livez", PATH, f"{PATH}/nonsense", "/nowhere", "/metrics", "/docs", "/v2"])
async def test_every_answer_has_the_headers(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers, "a browser must not be told of TLS where there is none"


async def test_a_host_that_is_not_ours_gets_them_too(gateway: Running) -> None:
    async with gateway.http("http://evil.example") as http:
        answer = await http.get(PATH)
    assert answer.status_code == 400
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_internal_error_has_them_too(
    gateway: Running, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(gateway.service, "list", broken)
    answer = await http.get(PATH)
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_uploaded_photo_stays_in_its_sandbox(http: httpx.AsyncClient, cat: bytes) -> None:
    made = await http.post(PATH, content=cat)
    answer = await http.get(f"{made.headers['location']}/photo")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-frame-options"] == "DENY"


async def test_a_named_origin_may_ask_and_another_may_not(http: httpx.AsyncClient) -> None:
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-api-key"}
    allowed = await http.options(PATH, headers={"Origin": PARK, **asking})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PARK
    assert "access-control-allow-credentials" not in allowed.headers
    refused = await http.options(PATH, headers={"Origin": "https://evil.example", **asking})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    reading = await http.get(PATH, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in reading.headers
    assert (await http.get(PATH, headers={"Origin": PARK})).headers["access-control-allow-origin"] == PARK


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:5173", 403),
        (PARK, 201),
        ("http://127.0.0.1", 201),
    ],
)
async def test_without_credentials_no_other_page_sends_photos_from_a_browser(
    http: httpx.AsyncClient, cat: bytes, origin: str, status: int
) -> None:
    answer = await http.post(PATH, content=cat, headers={"Origin": origin, "Content-Type": "text/plain"})
    assert answer.status_code == status


async def test_by_default_no_origin_may_ask(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, OpenAuthenticator()) as gateway, gateway.http() as http:
        answer = await http.get(PATH, headers={"Origin": PARK})
        assert "access-control-allow-origin" not in answer.headers


async def test_a_page_of_a_named_origin_can_read_why_it_was_refused(tmp_path: Path) -> None:
    options = HttpOptions("1", 5.0, ("127.0.0.1",), cors_origins=(PARK,), loopback=False)
    async with running_gateway(tmp_path, options=options) as gateway, gateway.http() as http:
        answer = await http.get(PATH, headers={"Origin": PARK})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == PARK
        preflight = {"Origin": PARK, "Access-Control-Request-Method": "POST"}
        assert (await http.options(PATH, headers=preflight)).status_code == 200


async def test_the_documentation_page_runs_only_what_its_policy_allows(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert len(scripts) == 1
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for address in re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text):
        assert address.startswith("/static-offline-docs/"), "nothing is fetched from elsewhere"
        assert (await http.get(address)).status_code == 200
    assert "url: '/openapi.json'" in page.text
    assert (await http.get("/openapi.json")).json()["info"]["title"] == "Bestiary"
