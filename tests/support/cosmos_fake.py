"""A strict stand-in for Azure Cosmos DB's REST interface, in this process, that the real SDK talks to.

What the service refuses it refuses too (wrong key, missing index, wrong partition, size, preconditions), and it fails
on demand. Its request charges are a model of its own, not Azure's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from tests.support.cosmos_data import Container, Key, Refused, Reply

KEY: Final = base64.b64encode(b"a key for the fake only, 32 byte").decode()
_MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024


@dataclass
class Fault:
    """What is done instead of answering well, ``times`` times. ``status`` is answered before anything is done;
    ``"silent"`` never answers; ``"drop"`` closes the connection unanswered, ``"cut"`` in the middle of the body, both
    after the work was done."""

    kind: int | str
    times: int = 1
    retry_after_ms: int | None = None
    sub_status: int | None = None
    only: str = ""
    """The operation that it strikes; '' strikes documents' operations of all kinds."""
    skip: int = 0
    """Requests that are let through first."""


@dataclass
class CosmosFake:
    """The account. ``log`` has every operation, its status and charge, in order."""

    endpoint: str = ""
    now: Callable[[], float] = time.time
    databases: dict[str, dict[str, Container]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, int, float]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    """Bearer tokens that are taken, beside the key."""
    consistency: str = "Session"
    read_locations: list[tuple[str, str]] = field(default_factory=list)
    """Regions to read from, by name and endpoint; empty is this one alone."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def charged(self) -> float:
        return sum(charge for _, _, charge in self.log)

    def operations(self, name: str) -> list[int]:
        """Statuses of one kind of operation."""
        return [status for operation, status, _ in self.log if operation == name]

    def container(self, name: str = "records") -> Container:
        (database,) = self.databases.values()
        return database[name]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operation = _operation(request)
        fault = self._fault(operation)
        try:
            self._authorize(request)
            if isinstance(fault, Fault) and isinstance(fault.kind, int):
                raise Refused(fault.kind, "as told", fault.sub_status)
            if len(body) > _MAX_REQUEST_BYTES + 4096:
                raise Refused(413, "Request size is too large")
            reply = self._answer(operation, request, body)
        except Refused as refusal:
            reply = Reply(refusal.status, {"code": str(refusal.status), "message": str(refusal)}, 1.0)
            if refusal.sub_status is not None:
                reply.headers["x-ms-substatus"] = str(refusal.sub_status)
            if fault is not None and fault.retry_after_ms is not None:
                reply.headers["x-ms-retry-after-ms"] = str(fault.retry_after_ms)
        if fault is not None and fault.kind == "silent":
            await self.released.wait()
        if fault is not None and fault.kind in ("silent", "drop"):
            _close(request)
            return web.Response()
        self.log.append((operation, reply.status, reply.charge))
        return await self._send(request, reply, cut=fault is not None and fault.kind == "cut")

    def _fault(self, operation: str) -> Fault | None:
        documents = operation not in ("account", "dbs", "colls", "pkranges")
        for fault in self.faults:
            if fault.times > 0 and (fault.only == operation or (not fault.only and documents)):
                if fault.skip > 0:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def _answer(self, operation: str, request: web.Request, body: bytes) -> Reply:
        parts = [urllib.parse.unquote(part) for part in request.path.strip("/").split("/") if part]
        if operation == "account":
            return Reply(200, self._account(), 0.0)
        if len(parts) <= 2:
            return self._database(request.method, parts, body)
        database = self.databases.get(parts[1])
        if database is None:
            raise Refused(404, "Owner resource does not exist", 1003)
        if len(parts) <= 4 and parts[2] == "colls":
            return self._collection(request.method, database, parts, body)
        container = database.get(parts[3])
        if container is None:
            raise Refused(404, "Owner resource does not exist", 1003)
        if operation == "pkranges":
            return self._ranges(request, container)
        reply = self._document(operation, request, container, parts, body)
        reply.headers["x-ms-session-token"] = f"0:0#{container.lsn}"
        return reply

    def _account(self) -> dict[str, Any]:
        place = [{"name": "Here", "databaseAccountEndpoint": self.endpoint}]
        reading = [{"name": name, "databaseAccountEndpoint": url} for name, url in self.read_locations] or place
        return {
            "id": "fake", "_rid": "fake", "_self": "", "writableLocations": place, "readableLocations": reading,
            "enableMultipleWriteLocations": False,
            "userConsistencyPolicy": {"defaultConsistencyLevel": self.consistency},
        }  # fmt: skip

    def _database(self, method: str, parts: list[str], body: bytes) -> Reply:
        if method == "POST":
            name = json.loads(body)["id"]
            if name in self.databases:
                raise Refused(409, "Resource with specified id or name already exists.")
            self.databases[name] = {}
            return Reply(201, {"id": name, "_rid": "d", "_self": f"dbs/{name}/"}, 4.95)
        if parts[1] not in self.databases:
            raise Refused(404, "Resource Not Found", 1003)
        return Reply(200, {"id": parts[1], "_rid": "d", "_self": f"dbs/{parts[1]}/"}, 2.0)

    def _collection(self, method: str, database: dict[str, Container], parts: list[str], body: bytes) -> Reply:
        if method == "POST":
            properties = json.loads(body)
            if properties["id"] in database:
                raise Refused(409, "Resource with specified id or name already exists.")
            properties |= {"_rid": "c", "_self": f"dbs/{parts[1]}/colls/{properties['id']}/"}
            database[properties["id"]] = Container(properties, self.now)
            return Reply(201, properties, 4.95)
        if parts[3] not in database:
            raise Refused(404, "Resource Not Found", 1003)
        return Reply(200, database[parts[3]].properties, 2.0)

    def _ranges(self, request: web.Request, container: Container) -> Reply:
        etag = f'"{len(container.boundaries)}"'
        if request.headers.get("If-None-Match") == etag:
            return Reply(304, None, 1.0, {"etag": etag})
        ranges = container.ranges()
        return Reply(200, {"_rid": "c", "PartitionKeyRanges": ranges, "_count": len(ranges)}, 1.0, {"etag": etag})

    def _document(
        self, operation: str, request: web.Request, container: Container, parts: list[str], body: bytes
    ) -> Reply:
        headers = request.headers
        if operation == "query":
            page = int(headers.get("x-ms-max-item-count", "-1"))
            lies = _placement(request, container)
            return container.query(json.loads(body), lies, page if page > 0 else 100, headers.get("x-ms-continuation"))
        if "x-ms-documentdb-partitionkey" not in headers:
            raise Refused(400, "PartitionKey value must be supplied for this operation.")
        partition = tuple(json.loads(headers["x-ms-documentdb-partitionkey"]))
        if_match = headers.get("If-Match")
        match operation:
            case "batch":
                return container.batch(partition, json.loads(body))
            case "upsert":
                return container.upsert(partition, json.loads(body), if_match)
            case "create":
                return container.create(partition, json.loads(body))
            case "read":
                return container.read(partition, parts[5])
            case "replace":
                return container.replace(partition, parts[5], json.loads(body), if_match)
            case "delete":
                return container.delete(partition, parts[5], if_match)
        raise Refused(400, f"The fake does not know {operation}.")

    def _authorize(self, request: web.Request) -> None:
        """The signature, as learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources has it."""
        given = dict(
            urllib.parse.parse_qsl(urllib.parse.unquote(request.headers.get("Authorization", "")).replace("+", "%2B"))
        )
        if given.get("type") == "aad":
            if given.get("sig") not in self.tokens:
                raise Refused(401, "The token is not known.")
            return
        parts = [urllib.parse.unquote(part) for part in request.path.strip("/").split("/") if part]
        if len(parts) % 2:
            kind, link = parts[-1], "/".join(parts[:-1])
        else:
            kind, link = (parts[-2] if parts else ""), "/".join(parts)
        text = f"{request.method.lower()}\n{kind}\n{link}\n{request.headers.get('x-ms-date', '').lower()}\n\n"
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        if given.get("type") != "master" or given.get("sig") != base64.b64encode(digest).decode():
            raise Refused(401, "The input authorization token can't serve the request.")

    async def _send(self, request: web.Request, reply: Reply, *, cut: bool) -> web.StreamResponse:
        content = b"" if reply.body is None else json.dumps(reply.body).encode()
        headers = {"x-ms-request-charge": str(reply.charge), "x-ms-activity-id": "0", **reply.headers}
        if not cut:
            return web.Response(status=reply.status, body=content, headers=headers, content_type="application/json")
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        _close(request)
        return response


def _operation(request: web.Request) -> str:
    """One word for what is asked."""
    parts = request.path.strip("/").split("/")
    kind = parts[0::2][-1] if parts != [""] else "account"
    headers = request.headers
    if kind != "docs":
        return kind
    if headers.get("x-ms-cosmos-is-query-plan-request", "").lower() == "true":
        return "query plan"
    for header, name in (
        ("x-ms-cosmos-is-batch-request", "batch"),
        ("x-ms-documentdb-isquery", "query"),
        ("x-ms-documentdb-is-upsert", "upsert"),
    ):
        if headers.get(header, "").lower() == "true":
            return name
    return {"POST": "create", "GET": "read", "PUT": "replace", "DELETE": "delete"}[request.method]


def _placement(request: web.Request, container: Container) -> Callable[[Key], bool]:
    """Which documents a query is for: one logical partition, or a piece of one physical partition."""
    headers = request.headers
    if "x-ms-documentdb-partitionkey" in headers:
        partition = tuple(json.loads(headers["x-ms-documentdb-partitionkey"]))
        if len(partition) != len(container.paths):
            raise Refused(400, "A query by partition key needs the whole key; a prefix goes by range.", 1001)
        return lambda key: key[0] == partition
    known = {entry["id"]: entry for entry in container.ranges()}
    physical = known.get(headers.get("x-ms-documentdb-partitionkeyrangeid", ""))
    if physical is None:
        raise Refused(400, "Cross partition query is not served here: the store has none.", 1004)
    low = max(physical["minInclusive"], headers.get("x-ms-start-epk", ""))
    high = min(physical["maxExclusive"], headers.get("x-ms-end-epk", "FF"))
    return lambda key: low <= container.effective(key[0]) < high


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


@asynccontextmanager
async def running_fake(
    now: Callable[[], float] = time.time, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[CosmosFake]:
    """A fake on a free port of loopback, on the running loop; with ``tls``, https."""
    fake = CosmosFake(now=now)
    application = web.Application(client_max_size=16 << 20)
    application.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.endpoint = f"{'https' if tls else 'http'}://{host}:{port}/"
    try:
        yield fake
    finally:
        fake.released.set()
        await runner.cleanup()
