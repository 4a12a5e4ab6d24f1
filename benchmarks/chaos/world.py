"""Everything that a run breaks: one supervised Triton, several gateways, and the store behind them."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import httpx

from benchmarks.chaos.load import Address
from benchmarks.cpu import GATEWAY, STUB_ROLE, family
from benchmarks.stack import ROOT, StackError, free_ports
from serving.supervisor import Supervisor
from serving.tritonserver import ServerOptions, die_with_parent
from serving.wheel import lay_out

START_LIMIT_S: Final = 120.0
STOP_LIMIT_S: Final = 60.0
REVIVED_AFTER_S: Final = 0.5
"""A dead gateway is started again after this, as a service manager would."""

T = TypeVar("T")


class FaultyStore(Protocol):
    """A result store whose server can be told to misbehave."""

    def environment(self) -> Mapping[str, str]:
        """Settings of a gateway that uses it."""
        ...

    async def start(self) -> None:
        """Listen."""
        ...

    async def stop(self) -> None:
        """Stop listening."""
        ...

    def misbehave(self, how: str) -> None:
        """From now on: ``429``, ``500``, ``silence``, ``cut``, or '' to behave."""
        ...

    def records(self) -> list[tuple[str, str]]:
        """(id, SHA-256 of the photo) of everything stored."""
        ...


class GatewayProcess:
    """One gateway with data of its own. It is started again whenever it dies, until it is stopped.

    With several workers it is their supervisor; they run on the machine's own clock.
    """

    def __init__(self, number: int, folder: Path, environment: Mapping[str, str], workers: int) -> None:
        self.workers = workers
        base = free_ports(2)
        self.address = Address(number, f"http://127.0.0.1:{base}", f"127.0.0.1:{base + 1}")
        self.data = folder / f"gateway-{number}"
        self.data.mkdir()
        self._clock = self.data / "clock"
        self._environment = {
            **os.environ,
            **environment,
            "BESTIARY_HTTP_PORT": str(base),
            "BESTIARY_GRPC_PORT": str(base + 1),
            "BESTIARY_DATA_DIR": str(self.data),
            "BESTIARY_WORKERS": str(workers),
            "CHAOS_CLOCK": str(self._clock),
        }
        self._held = threading.Event()
        self._stopping = threading.Event()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.data / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.gateway_with_clock"],
                cwd=ROOT, env=self._environment, stdout=log, stderr=log, preexec_fn=die_with_parent,  # noqa: PLW1509
            )  # fmt: skip

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._process.wait()
            self._stopping.wait(REVIVED_AFTER_S)
            while self._held.is_set() and not self._stopping.is_set():
                time.sleep(0.02)
            if not self._stopping.is_set():
                self._process = self._start()

    def kill(self, while_dead: Any = None) -> None:
        """SIGKILL; ``while_dead()`` is called before it is started again."""
        self._held.set()
        try:
            self._process.kill()
            self._process.wait()
            if while_dead is not None:
                while_dead()
        finally:
            self._held.clear()

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock off by so much."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._clock)

    def fill_disk(self, full: bool) -> None:
        """No file of this process may grow: every write fails, as on a full disk (EFBIG instead of ENOSPC)."""
        for pid in (self._process.pid, *self.worker_pids()):
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))

    def worker_pids(self) -> list[int]:
        """Processes of its workers; none where it works alone."""
        if self.workers == 1:
            return []
        return [process.pid for process in family(self._process.pid)[1:] if process.role == GATEWAY]

    def newest_segment(self) -> Path | None:
        """The journal file that is written to."""
        files = [file for folder in self.data.glob("journal*") for file in folder.rglob("*") if file.is_file()]
        return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)

    def ready(self) -> bool:
        """Whether it says that it would answer."""
        try:
            return httpx.get(f"{self.address.http}/readyz", timeout=2).is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """SIGTERM and wait: the journal is drained. Raises StackError."""
        self._stopping.set()
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise StackError(f"A gateway did not stop within {STOP_LIMIT_S:.0f} s: see {self.data / 'log'}.") from None


class World:
    """Made by :func:`world`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, supervisor: Supervisor, store: FaultyStore) -> None:
        self._loop = loop
        self.supervisor = supervisor
        self.store = store
        self.gateways: list[GatewayProcess] = []

    def wait_ready(self, limit_s: float = START_LIMIT_S) -> None:
        """Return when every gateway says that it is ready. Raises StackError."""
        ends = time.monotonic() + limit_s
        while not all(gateway.ready() for gateway in self.gateways):
            if time.monotonic() > ends:
                raise StackError(f"Not every gateway was ready again within {limit_s:.0f} s.")
            time.sleep(0.1)

    def triton_pid(self) -> int:
        """Of the running server. Raises StackError if there is none."""
        if self.supervisor.pid is None:
            raise StackError("There is no Triton to break.")
        return self.supervisor.pid

    def stub_pids(self) -> list[int]:
        """Processes of Python models."""
        return [process.pid for process in family(self.triton_pid()) if process.role.startswith(STUB_ROLE)]

    def signal_triton(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it is there."""
        with suppress(ProcessLookupError):
            os.kill(self.triton_pid(), number)


@contextmanager
def world(folder: Path, store: FaultyStore, repository: Path, workers: Sequence[int]) -> Iterator[World]:
    """Start Triton, the store and a gateway for each number of ``workers``; in the end stop the gateways in order, so
    that they drain."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="chaos", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(START_LIMIT_S)

    base = free_ports(3)
    options = ServerOptions(
        repository=repository, http_port=base, grpc_port=base + 1, metrics_port=base + 2,
        log_file=folder / "triton.log", shm_prefix=f"chaos-{os.getpid()}-",
    )  # fmt: skip
    asyncio.set_event_loop(loop)
    supervisor = Supervisor(lay_out(folder / "backends"), options, folder / "triton.json")
    made = World(loop, supervisor, store)
    try:
        run(store.start())
        run(supervisor.start())
        environment = {
            "BESTIARY_TRITON_ADDRESS": f"127.0.0.1:{base + 1}",
            "BESTIARY_TRITON_STATUS_FILE": str(folder / "triton.json"),
            "BESTIARY_RELEASE_DIR": str(repository / "animals" / "1"),
            **store.environment(),
        }
        for number, count in enumerate(workers):
            made.gateways.append(GatewayProcess(number, folder, environment, count))
        made.wait_ready()
        yield made
    finally:
        try:
            for gateway in made.gateways:
                gateway.stop()
        finally:
            run(supervisor.close())
            run(store.stop())
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
