"""A whole ``bestiary up`` for tests, on free ports, started and ended by them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from contract.rollout import RolloutState, model_name

ROOT = Path(__file__).parent.parent.parent


def free_ports(count: int) -> int:
    """First of ``count`` ports in a row that are free on loopback."""
    for _ in range(200):
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            base = first.getsockname()[1]
            try:
                for port in range(base + 1, base + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return base
    raise RuntimeError("no free ports in a row")


@dataclass(frozen=True)
class Stack:
    """A running ``bestiary up``: the process and where its parts listen."""

    process: subprocess.Popen[str]
    data: Path
    http_port: int
    grpc_port: int
    triton_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def triton_grpc(self) -> str:
        return f"127.0.0.1:{self.triton_port + 1}"

    def model(self, name: str) -> str:
        """What a model of the release that answers is called in Triton, e.g. ``animals.ab12cd34ef56``."""
        state = RolloutState.model_validate_json((self.data / "models" / "rollout" / "state.json").read_text())
        return model_name(name, state.champion)


@contextmanager
def running_stack(data: Path, *arguments: str) -> Iterator[Stack]:
    """Start ``bestiary up`` on free ports, wait until it is ready, and stop it in the end."""
    base = free_ports(5)
    with (data / "up.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--data", str(data), "--http-port", str(base), "--grpc-port",
             str(base + 1), "--triton-port", str(base + 2), *arguments],
            cwd=ROOT, stdout=log, stderr=log, text=True,
        )  # fmt: skip
    stack = Stack(process, data, base, base + 1, base + 2)
    try:
        wait_ready(stack, data / "up.log")
        yield stack
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


def wait_ready(stack: Stack, log: Path, limit_s: float = 120) -> None:
    """Return once ``/readyz`` says so; fail with the log if the process ends or the limit passes."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if stack.process.poll() is not None:
            pytest.fail(f"bestiary up ended with {stack.process.returncode}:\n{log.read_text()}")
        try:
            if httpx.get(f"{stack.url}/readyz", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not ready after {limit_s} s:\n{log.read_text()}")
