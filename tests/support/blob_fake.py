"""A strict Blob Storage in this process: the REST calls that the gateway uses, and faults on demand.

It checks every signature (SharedKey, account SAS and user delegation SAS) from the published string-to-sign, so that
what the SDK sends is what the service would take. Anything that it does not know answers 501.
Source: learn.microsoft.com, Blob service REST API, versions from 2020-12-06.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import ssl
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote

from aiohttp import web

from tests.support.azurite import ACCOUNT, connection_string

OID, TID = "0000-oid", "0000-tid"


@dataclass
class Stored:
    """A committed blob."""

    data: bytes
    headers: dict[str, str]
    etag: str


@dataclass
class Fault:
    """What to do instead of answering: ``503``, ``500``, ``cut`` (inside the body), ``silence``."""

    kind: str
    when: Callable[[web.Request], bool]
    times: int
    retry_after: str = ""


class Refusal(Exception):
    """An error answer as the service words it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class BlobFake:
    """One storage account."""

    key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(64)).decode())
    may_create_containers: bool = True
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    containers: dict[str, dict[str, Stored]] = field(default_factory=dict)
    blocks: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    token: str = ""
    delegation_key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    port: int = 0

    @property
    def connection_string(self) -> str:
        return connection_string(self.port, ACCOUNT, self.key)

    def fail(self, kind: str, *, times: int = 1, method: str = "", query: str = "", retry_after: str = "") -> None:
        """Spoil the next ``times`` requests with this method and this text in the query."""

        def when(request: web.Request) -> bool:
            return method in ("", request.method) and query in request.query_string

        self.faults.append(Fault(kind, when, times, retry_after))

    def refuse(self, status: int, code: str) -> web.Response:
        """Answer an error."""
        raise Refusal(status, code)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Every request comes here."""
        self.requests.append(f"{request.method} {request.raw_path.partition('?')[0]} {request.query_string}".rstrip())
        body = await request.read()
        for fault in self.faults:
            if fault.times and fault.when(request):
                fault.times -= 1
                return await self._spoil(fault, request)
        try:
            return self._answer(request, body)
        except Refusal as refusal:
            text = f"<?xml version='1.0'?><Error><Code>{refusal.code}</Code><Message>{refusal.code}</Message></Error>"
            headers = {"x-ms-error-code": refusal.code}
            return web.Response(
                text="" if request.method == "HEAD" else text,
                status=refusal.status,
                headers=headers,
                content_type="application/xml",
            )

    async def _spoil(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if fault.kind == "silence":
            await asyncio.sleep(3600)
        if fault.kind == "cut":
            response = web.StreamResponse(status=206 if request.method == "GET" else 201)
            response.headers.update(
                {"Content-Length": "1000", "Content-Range": "bytes 0-999/1000", "ETag": '"cut"'}
                | {"x-ms-blob-type": "BlockBlob"}
            )
            await response.prepare(request)
            await response.write(b"half")
            request.transport.close()
            return response
        headers = {"x-ms-error-code": "ServerBusy" if fault.kind == "503" else "InternalError"}
        if fault.retry_after:
            headers["Retry-After"] = fault.retry_after
        return web.Response(status=int(fault.kind), headers=headers)

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        account, _, rest = unquote(request.raw_path.partition("?")[0]).lstrip("/").partition("/")
        container, _, blob = rest.partition("/")
        if account != ACCOUNT:
            raise Refusal(400, "InvalidUri")
        self._authorize(request, container, blob)
        query, method = request.query, request.method
        if not container and (query.get("restype"), query.get("comp")) == ("service", "userdelegationkey"):
            return self._user_delegation_key(body)
        if container and not blob and method == "PUT" and query.get("restype") == "container":
            return self._create(container)
        if container not in self.containers:
            raise Refusal(404, "ContainerNotFound")
        if method == "PUT" and query.get("comp") == "block":
            return self._put_block(request, container, blob, body)
        if method == "PUT" and query.get("comp") == "blocklist":
            return self._put_block_list(request, container, blob, body)
        if method == "GET" and not blob and query.get("comp") == "list":
            return self._list(request, container)
        if method == "PUT" and blob and request.headers.get("x-ms-blob-type") == "BlockBlob" and not query.get("comp"):
            return self._put_blob(request, container, blob, body)
        if method == "DELETE" and blob:
            return self._delete(container, blob)
        if method in ("GET", "HEAD") and not query.get("comp"):
            return self._read(request, container, blob)
        raise Refusal(501, "NotImplementedByTheFake")

    def _create(self, container: str) -> web.Response:
        if not self.may_create_containers:
            raise Refusal(403, "AuthorizationPermissionMismatch")
        if container in self.containers:
            raise Refusal(409, "ContainerAlreadyExists")
        self.containers[container] = {}
        return web.Response(status=201, headers=_dated())

    def _list(self, request: web.Request, container: str) -> web.Response:
        prefix = request.query.get("prefix", "")
        names = sorted(name for name in self.containers[container] if name.startswith(prefix))
        inner = "".join(f"<Blob><Name>{name}</Name><Properties></Properties></Blob>" for name in names)
        text = f"<?xml version='1.0'?><EnumerationResults><Blobs>{inner}</Blobs><NextMarker/></EnumerationResults>"
        return web.Response(text=text, content_type="application/xml", headers=_dated())

    def _put_blob(self, request: web.Request, container: str, blob: str, body: bytes) -> web.Response:
        there = self.containers[container].get(blob)
        if request.headers.get("If-None-Match") == "*" and there is not None:
            raise Refusal(409, "BlobAlreadyExists")
        asked = request.headers.get("If-Match")
        if asked and (there is None or there.etag != asked):
            raise Refusal(412, "ConditionNotMet")
        stored = Stored(body, {"Content-Type": "application/octet-stream"}, f'"{secrets.token_hex(8)}"')
        self.containers[container][blob] = stored
        return web.Response(status=201, headers={**_dated(), "ETag": stored.etag})

    def _delete(self, container: str, blob: str) -> web.Response:
        if self.containers[container].pop(blob, None) is None:
            raise Refusal(404, "BlobNotFound")
        return web.Response(status=202, headers=_dated())

    def _put_block(self, request: web.Request, container: str, blob: str, body: bytes) -> web.Response:
        identity = base64.b64decode(request.query["blockid"], validate=True)
        uncommitted = self.blocks.setdefault((container, blob), {})
        if any(len(base64.b64decode(other)) != len(identity) for other in uncommitted) or len(identity) > 64:
            raise Refusal(400, "InvalidBlobOrBlock")
        md5 = request.headers.get("Content-MD5")
        if md5 and base64.b64decode(md5) != hashlib.md5(body).digest():
            raise Refusal(400, "Md5Mismatch")
        uncommitted[request.query["blockid"]] = body
        return web.Response(status=201, headers=_dated())

    def _put_block_list(self, request: web.Request, container: str, blob: str, body: bytes) -> web.Response:
        if request.headers.get("If-None-Match") == "*" and blob in self.containers[container]:
            raise Refusal(409, "BlobAlreadyExists")
        names = [str(latest.text) for latest in ET.fromstring(body)]
        uncommitted = self.blocks.pop((container, blob), {})
        if any(name not in uncommitted for name in names):
            raise Refusal(400, "InvalidBlockList")
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith("x-ms-meta-")}
        headers["Content-Type"] = request.headers.get("x-ms-blob-content-type", "application/octet-stream")
        if md5 := request.headers.get("x-ms-blob-content-md5"):
            headers["Content-MD5"] = md5
        data = b"".join(uncommitted[name] for name in names)
        self.containers[container][blob] = Stored(data, headers, f'"{secrets.token_hex(8)}"')
        return web.Response(status=201, headers=_dated())

    def _read(self, request: web.Request, container: str, blob: str) -> web.Response:
        stored = self.containers[container].get(blob)
        if stored is None:
            raise Refusal(404, "BlobNotFound")
        if request.headers.get("If-Match", stored.etag) != stored.etag:
            raise Refusal(412, "ConditionNotMet")
        headers = {**stored.headers, **_dated(), "ETag": stored.etag, "x-ms-blob-type": "BlockBlob"}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(stored.data))})
        asked = request.headers.get("x-ms-range") or request.headers.get("Range")
        if not asked:
            return web.Response(body=stored.data, headers=headers)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(stored.data)), len(stored.data) - 1)
        if start >= len(stored.data):
            raise Refusal(416, "InvalidRange")
        headers.pop("Content-MD5", None)  # on a range it would be the range's
        headers["Content-Range"] = f"bytes {start}-{end}/{len(stored.data)}"
        return web.Response(status=206, body=stored.data[start : end + 1], headers=headers)

    def _user_delegation_key(self, body: bytes) -> web.Response:
        asked = {child.tag: child.text for child in ET.fromstring(body)}
        parts = {"SignedOid": OID, "SignedTid": TID, "SignedStart": asked["Start"], "SignedExpiry": asked["Expiry"]}
        parts |= {"SignedService": "b", "SignedVersion": "2020-12-06", "Value": self.delegation_key}
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items())
        text = f"<?xml version='1.0'?><UserDelegationKey>{inner}</UserDelegationKey>"
        return web.Response(text=text, content_type="application/xml", headers=_dated())

    def _authorize(self, request: web.Request, container: str, blob: str) -> None:
        given = request.headers.get("Authorization", "")
        if "sig" in request.query:
            self._check_sas(request, container, blob)
        elif given.startswith("SharedKey "):
            expected = f"SharedKey {ACCOUNT}:{_sign(self.key, _shared_key_text(request))}"
            if not hmac.compare_digest(given, expected):
                raise Refusal(403, "AuthenticationFailed")
        elif not self.token or given != f"Bearer {self.token}":
            raise Refusal(401, "NoAuthenticationInformation")

    def _check_sas(self, request: web.Request, container: str, blob: str) -> None:
        q = request.query
        delegated = "skoid" in q
        resource = f"/blob/{ACCOUNT}/{container}/{blob}"
        fields = [q.get("sp", ""), q.get("st", ""), q.get("se", ""), resource]
        if delegated:
            fields += [q.get(name, "") for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")]
            fields += [q.get(name, "") for name in ("saoid", "suoid", "scid", "skdutid", "sduoid")]
        else:
            fields.append(q.get("si", ""))
        fields += [q.get(name, "") for name in ("sip", "spr", "sv", "sr")] + ["", q.get("ses", "")]
        if delegated:
            fields += ["", ""]  # request headers and query parameters of dynamic signatures
        fields += [q.get(name, "") for name in ("rscc", "rscd", "rsce", "rscl", "rsct")]
        key = self.delegation_key if delegated else self.key
        if q.get("sr") != "b" or not hmac.compare_digest(q["sig"], _sign(key, "\n".join(fields))):
            raise Refusal(403, "AuthenticationFailed")
        if datetime.fromisoformat(q["se"]) <= self.now() or request.scheme not in q["spr"].split(","):
            raise Refusal(403, "AuthenticationFailed")
        if request.method not in ("GET", "HEAD") or "r" not in q["sp"]:
            raise Refusal(403, "AuthorizationPermissionMismatch")


def _dated() -> dict[str, str]:
    return {"Last-Modified": format_datetime(datetime.now(UTC), usegmt=True), "x-ms-version": "2020-12-06"}


def _sign(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()


_SIGNED_HEADERS = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
    "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


def _shared_key_text(request: web.Request) -> str:
    headers = {name: request.headers.get(name, "") for name in _SIGNED_HEADERS}
    if headers["Content-Length"] == "0":
        headers["Content-Length"] = ""
    extra = sorted((name.lower(), value) for name, value in request.headers.items() if name.lower().startswith("x-ms-"))
    lines = [request.method, *headers.values(), *(f"{name}:{value}" for name, value in extra)]
    lines.append(f"/{ACCOUNT}{request.raw_path.partition('?')[0]}")
    lines += [f"{name.lower()}:{value}" for name, value in sorted(request.query.items())]
    return "\n".join(lines)


@asynccontextmanager
async def running_fake(tls: ssl.SSLContext | None = None) -> AsyncIterator[BlobFake]:
    """Serve one on a free port of loopback."""
    fake = BlobFake()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{rest:.*}", fake.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    fake.port = runner.addresses[0][1]
    try:
        yield fake
    finally:
        await runner.cleanup()
