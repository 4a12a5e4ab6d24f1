"""Every system of the comparison, started, ready, and ended with all its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.peers import cost, ours
from benchmarks.peers.systems import PEERS, PORTS, SERVERS, Options, Peer, environment_of
from benchmarks.peers.wire import Wire, bestiary_grpc, bestiary_http
from benchmarks.stack import StackError, free_ports, running_stack, workshop
from contract.priority import Priority

START_LIMIT_S: Final = 120.0
STOP_LIMIT_S: Final = 20.0
_LAST_WORDS: Final = 3

OURS: Final = {
    "ours-http-float32": "Bestiary, HTTP, float32",
    "ours-grpc-float32": "Bestiary, gRPC, float32",
    "ours-http": "Bestiary, HTTP, as shipped",
    "ours-grpc": "Bestiary, gRPC, as shipped",
}
TITLES: Final = OURS | {peer.name: peer.title for peer in PEERS}
OUR_VARIANTS: Final[dict[str, Options]] = {
    "batch": {"priority": "batch"},
    "interactive": {"priority": "interactive"},
    "batch, 2 workers": {"priority": "batch", "workers": "2"},
}
"""Under ``interactive`` the gateway refuses what it would answer too late for its objective, which here is an error."""


class StartError(RuntimeError):
    """A system did not become ready; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Running:
    """A system that is ready: where and how it takes photos, and the mark of its processes (``cost``)."""

    port: int
    wire: Wire
    mark: str


def variants_of(system: str) -> dict[str, Options]:
    """The settings of a system; the first are the ones to run."""
    return dict(OUR_VARIANTS) if system in OURS else dict(_peer(system).variants)


@contextmanager
def running(system: str, variant: str, cores: int) -> Iterator[Running]:
    """Start, wait until ready, end. Raises StartError, SetupError, StackError."""
    mark, options = uuid.uuid4().hex, variants_of(system)[variant]
    with workshop(f"peers-{system}") as folder:
        try:
            with (
                _ours(system, folder, mark, options)
                if system in OURS
                else _theirs(_peer(system), folder, mark, cores, options) as it
            ):
                yield it
        finally:
            cost.end(mark)


def _peer(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


@contextmanager
def _ours(system: str, folder: Path, mark: str, options: Options) -> Iterator[Running]:
    arguments = ["--workers", options.get("workers", "1")]
    if system.endswith("float32"):
        arguments += ["--repository", str(ours.float32_repository(folder))]
    os.environ[cost.MARK] = mark  # inherited by what is started here
    try:
        with running_stack(folder, *arguments) as stack:
            del os.environ[cost.MARK]
            priority = Priority(options["priority"])
            if "grpc" in system:
                yield Running(stack.grpc_port, bestiary_grpc(priority), mark)
            else:
                yield Running(stack.http_port, bestiary_http(priority), mark)
    finally:
        os.environ.pop(cost.MARK, None)


@contextmanager
def _theirs(peer: Peer, folder: Path, mark: str, cores: int, options: Options) -> Iterator[Running]:
    launch = peer.launch(folder, free_ports(PORTS), cores, options)
    environment = {**environment_of(options, cores), **launch.environment, **cost.mark(mark)}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            launch.command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_ready(peer.title, f"http://127.0.0.1:{launch.ready_port}{launch.ready_path}", process, log)
        yield Running(launch.port, launch.wire, mark)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            cost.end(mark)
            process.wait()


def _wait_ready(title: str, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not _ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            words = " | ".join(log.read_text(errors="replace").strip().splitlines()[-_LAST_WORDS:])
            raise StartError(f"{title} did not become ready: {words}")
        time.sleep(0.2)


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


__all__ = ["OURS", "SERVERS", "TITLES", "Running", "StackError", "StartError", "running", "variants_of"]
