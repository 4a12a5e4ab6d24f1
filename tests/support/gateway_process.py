"""A gateway process (or several, under their supervisor) for tests, in front of any model server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.stack import ROOT, free_ports


@dataclass
class GatewayProcess:
    """The process and where it listens. ``workers`` 1 is a gateway without a supervisor."""

    process: subprocess.Popen[str]
    data: Path
    log: Path
    http_port: int
    acknowledged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    async def classify(self, photo: bytes, ack: str = "durable") -> str | None:
        """Send one photo on a connection of its own; its record's id, noted in ``acknowledged``, or None."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                reply = await client.post(f"{self.url}/v1/classifications", params={"ack": ack}, content=photo)
        except httpx.TransportError as error:
            self.refused.append(type(error).__name__)
            return None
        if reply.status_code != 201:
            self.refused.append(reply.json()["code"])
            return None
        self.acknowledged.append(reply.json()["id"])
        return self.acknowledged[-1]

    async def status_of(self, record_id: str) -> int:
        """HTTP status of reading one record, on a connection of its own."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return (await client.get(f"{self.url}/v1/classifications/{record_id}")).status_code

    @contextmanager
    def load(self, photo: bytes, callers: int = 8) -> Iterator[None]:
        """Photos from several callers, each sending its next when the last is answered, until the end."""

        async def call() -> None:
            while True:
                if await self.classify(photo) is None:
                    await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(call()) for _ in range(callers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def until_acknowledged(self, count: int) -> None:
        """Return when so many photos more were acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) < goal:  # noqa: ASYNC110  # appended to by plain coroutines
                await asyncio.sleep(0.01)

    async def until_ready(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client, asyncio.timeout(60):
            while True:
                if self.process.poll() is not None:
                    pytest.fail(f"the gateway ended with {self.process.returncode}:\n{self.log.read_text()}")
                try:
                    if (await client.get(f"{self.url}/readyz")).is_success:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    async def ends(self, limit_s: float = 60) -> int:
        """The exit code, once it has ended."""
        return await asyncio.to_thread(self.process.wait, limit_s)


@asynccontextmanager
async def running_gateway(
    data: Path, triton_address: str, *arguments: str, **settings: object
) -> AsyncIterator[GatewayProcess]:
    """Start ``python -m gateway`` on free ports, wait until it is ready, and end it in the end if it still runs."""
    http_port = free_ports(2)
    data.mkdir(parents=True, exist_ok=True)
    log = data / "gateway.log"
    environment = {
        **os.environ,
        "BESTIARY_HTTP_PORT": str(http_port),
        "BESTIARY_GRPC_PORT": str(http_port + 1),
        "BESTIARY_TRITON_ADDRESS": triton_address,
        "BESTIARY_DATA_DIR": str(data),
        **{f"BESTIARY_{name.upper()}": str(value) for name, value in settings.items()},
    }
    with log.open("a") as output:
        process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
            [sys.executable, "-m", "gateway", *arguments],
            cwd=ROOT, env=environment, stdout=output, stderr=output, text=True,
        )  # fmt: skip
    gateway = GatewayProcess(process, data, log, http_port)
    try:
        await gateway.until_ready()
        yield gateway
    finally:
        if process.poll() is None:
            process.terminate()
        await gateway.ends()
