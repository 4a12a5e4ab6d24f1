"""A whole ``bestiary up`` on free ports, started and ended by a benchmark."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).parent.parent
WORKSHOP: Final = ROOT / "var" / "bench"
"""Downloads and data of runs. Not /tmp, which may be in memory, where an fsync costs nothing."""

PLAIN: Final = "--no-rollout"
"""Option of ``bestiary up`` for who asks Triton directly: its models then have their plain names."""

START_LIMIT_S: Final = 180.0
STOP_LIMIT_S: Final = 60.0


class StackError(RuntimeError):
    """The stack did not start or did not stop; the message says where to look."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running ``bestiary up``: its process and where its parts listen on loopback."""

    process: subprocess.Popen[bytes]
    data: Path
    http_port: int
    grpc_port: int
    triton_port: int

    @property
    def gateway_grpc(self) -> str:
        """``host:port`` of the gateway's gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def triton_grpc(self) -> str:
        """``host:port`` of Triton's gRPC."""
        return f"127.0.0.1:{self.triton_port + 1}"

    @property
    def blobs(self) -> Path:
        """Where the gateway keeps the photos."""
        return self.data / "data" / "blobs"

    @property
    def results(self) -> Path:
        """The gateway's result store."""
        return self.data / "data" / "results.sqlite"


@contextmanager
def workshop(purpose: str) -> Iterator[Path]:
    """A folder of its own on the disk of the project, removed afterwards."""
    WORKSHOP.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=WORKSHOP))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_stack(data: Path, *arguments: str) -> Iterator[Stack]:
    """Start a stack that keeps everything in ``data``, wait until it is ready, end it. ``arguments``: more options of
    ``bestiary up``. Raises StackError."""
    base = free_ports(5)
    command = [sys.executable, "-m", "cli", "up", "--data", str(data)]
    command += ["--http-port", str(base), "--grpc-port", str(base + 1), "--triton-port", str(base + 2), *arguments]
    with (data / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    stack = Stack(process, data, base, base + 1, base + 2)
    try:
        _wait_ready(stack)
        yield stack
    finally:
        stop(stack)


def stop(stack: Stack) -> None:
    """SIGTERM and wait, so that the journal is drained. Safe to call twice."""
    if stack.process.poll() is None:
        stack.process.terminate()
    try:
        stack.process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        stack.process.kill()
        stack.process.wait()
        raise StackError(f"The stack did not stop within {STOP_LIMIT_S:.0f} s and was killed.") from None


def _wait_ready(stack: Stack) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not _ready(stack):
        if stack.process.poll() is not None or time.monotonic() > deadline:
            last_words = (stack.data / "up.log").read_text(errors="replace").strip().splitlines()[-3:]
            raise StackError("The stack did not become ready: " + " | ".join(last_words))
        time.sleep(0.1)


def _ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{stack.http_port}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False


def free_ports(number: int) -> int:
    """First of ``number`` ports in a row that are free on loopback."""
    for _ in range(200):
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            base = int(first.getsockname()[1])
            try:
                for port in range(base + 1, base + number):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return base
    raise StackError(f"There are no {number} free ports in a row.")
