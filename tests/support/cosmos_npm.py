"""The Cosmos DB server of npm (``@vercel/cosmosdb-server``), where it is installed: wire, not semantics.

Found by ``BESTIARY_COSMOS_SERVER`` (path of ``cosmosdb-server``) or under ``build/emulators``:
``npm install --prefix build/emulators @vercel/cosmosdb-server@1.0.1``. Two things that it wants otherwise than Azure
are put right on the way by ``adapted``; what it lacks besides stands in the conformance suite.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from aiohttp import web

from tests.support.stack import ROOT

VARIABLE: Final = "BESTIARY_COSMOS_SERVER"
_INSTALLED: Final = ROOT / "build" / "emulators" / "node_modules" / ".bin" / "cosmosdb-server"


def binary() -> Path:
    """The server's script; the test is skipped where there is none."""
    path = Path(os.environ.get(VARIABLE) or _INSTALLED)
    if not path.is_file():
        pytest.skip(f"no Cosmos DB server of npm at {path}; see tests/support/cosmos_npm.py")
    return path


@contextmanager
def running_server() -> Iterator[str]:
    """Its endpoint, on a free port of loopback."""
    command = [str(binary()), "--no-ssl", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            ready = re.search(r":(\d+)$", process.stdout.readline().strip())
            assert ready is not None, "the server of npm did not start"
            yield f"http://127.0.0.1:{ready[1]}/"
        finally:
            process.kill()


@asynccontextmanager
async def adapted(server: str) -> AsyncIterator[str]:
    """An endpoint in front of the server's. A batch there has the partition key in each operation, not in the header;
    and a query by a prefix of the key is one across partitions."""

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name not in _OF_THE_CONNECTION}
        if headers.get("x-ms-cosmos-is-batch-request", "").lower() == "true":
            key = headers["x-ms-documentdb-partitionkey"]
            body = json.dumps([{**operation, "partitionKey": key} for operation in json.loads(body)]).encode()
        if headers.get("x-ms-documentdb-isquery", "").lower() == "true":
            headers["x-ms-documentdb-query-enablecrosspartition"] = "true"
        url = server.rstrip("/") + request.raw_path
        async with session.request(request.method, url, data=body or None, headers=headers) as answer:
            content = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION}
            return web.Response(status=answer.status, body=content, headers=kept)

    application = web.Application(client_max_size=16 << 20)
    application.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"http://{host}:{port}/"
        finally:
            await runner.cleanup()


_OF_THE_CONNECTION: Final = ("Host", "Content-Length", "Transfer-Encoding", "Connection", "connection", "Keep-Alive")
