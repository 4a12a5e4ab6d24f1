"""A ``bestiary up`` of its own for each trial of ``bestiary tune``, and the load in front of it."""

from __future__ import annotations

import json
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

from contract.options import Task
from loadtest.photos import PhotoSet
from loadtest.plan import Plan, Protocol, read_targets
from loadtest.run import Run, execute
from loadtest.schedule import Arrivals, Schedule
from tuning.search import GivenUp, Worth
from tuning.settings import Settings

START_LIMIT_S: Final = 180.0
STOP_LIMIT_S: Final = 60.0
WARM_UP_S: Final = 2.0
PORTS: Final = 5
ANY_RATE: Final = 1.0
"""A closed loop ignores it."""


class BenchError(RuntimeError):
    """A stack did not start; the message says where to look."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all trials of one command have in common."""

    repository: Path
    data: Path
    """On the disk that the journal is going to be on."""
    photos: PhotoSet
    task: Task
    callers: int
    seconds: float
    """Of each measurement."""
    slo_s: float
    share: float
    """Of the photos that have to be answered within ``slo_s``."""

    def closed(self, settings: Settings, worth: Worth) -> float:
        """Answered photos a second. Raises BenchError, loadtest.run.GeneratorFailed, tuning.search.GivenUp."""

        def progress(run: Run) -> None:
            judged = run.samples.judged
            if len(judged):
                seconds = float(judged.ended.max())
                if seconds > 0 and not worth(seconds, float(judged.ok.sum()) / seconds):
                    raise GivenUp

        with self._stack(settings) as target:
            run = execute(self._plan(target, ANY_RATE, self.callers), self.photos.of, progress)
        return float(run.samples.judged.ok.sum()) / self.seconds

    def open(self, settings: Settings, per_s: float) -> bool:
        """Whether enough of the photos that came at ``per_s`` were answered in time. Raises as ``closed``."""
        with self._stack(settings) as target:
            run = execute(self._plan(target, per_s, 0), self.photos.of)
        judged = run.samples.judged
        in_time = judged.ok & (judged.seconds <= self.slo_s)
        return bool(len(judged)) and float(in_time.mean()) >= self.share

    def _plan(self, target: str, per_s: float, callers: int) -> Plan:
        return Plan(
            targets=read_targets([target]),
            schedule=Schedule(Arrivals.POISSON, per_s, self.seconds, warm_up_s=WARM_UP_S),
            mix={kind: 1 / len(self.photos.of) for kind in self.photos.of},
            users={Protocol.GRPC: 1.0},
            tasks=self.task,
            callers=callers,
        )

    @contextmanager
    def _stack(self, settings: Settings) -> Iterator[str]:
        """The gRPC target of a running stack with these settings."""
        self.data.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="tune-", dir=self.data))
        chosen = folder / "settings.json"
        chosen.write_text(json.dumps({"settings": settings.model_dump()}))
        base = _free_ports()
        command = [
            sys.executable, "-m", "cli", "up", "--data", str(folder), "--settings", str(chosen), "--no-rollout",
            "--repository", str(self.repository), "--workers", str(settings.workers),
            "--http-port", str(base), "--grpc-port", str(base + 1), "--triton-port", str(base + 2),
        ]  # fmt: skip
        with (folder / "up.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait_ready(process, base, folder / "up.log")
            yield f"grpc://127.0.0.1:{base + 1}"
        finally:
            _stop(process)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(errors="replace").strip().splitlines()[-2:]
            raise BenchError("A stack did not start: " + " | ".join(words))
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports() -> int:
    """First of PORTS ports in a row that are free on loopback. Raises BenchError."""
    for _ in range(200):
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            base = int(first.getsockname()[1])
            try:
                for port in range(base + 1, base + PORTS):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return base
    raise BenchError(f"There are no {PORTS} free ports in a row.")
