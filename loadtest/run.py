"""One run as its caller sees it: processes that send, what they tell, and what the server says before and after."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Final

from loadtest.handover import Photos, write_job
from loadtest.plan import Plan
from loadtest.samples import Samples
from loadtest.schedule import planned_times

STOP_LIMIT_S: Final = 10.0
SILENCE_LIMIT_S: Final = 90.0
"""Longer than a process that sends takes to start; after that it reports every second."""

LAST_WORDS: Final = 3


class GeneratorFailed(RuntimeError):
    """A process that sends died, hung or was lost: nothing can be said of the server. The message says what it said."""


@dataclass(slots=True)
class Worker:
    """How one process that sends fared."""

    lags: list[float] = field(default_factory=list)
    """Seconds by which its event loop was late, every 20 ms."""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    done: bool = False

    @property
    def cpu_share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.wall_s if self.wall_s else 0.0


@dataclass(slots=True)
class Run:
    """A plan and what is known of it so far."""

    plan: Plan
    chunks: list[Mapping[str, Any]] = field(default_factory=list)
    workers: dict[int, Worker] = field(default_factory=dict)

    @property
    def samples(self) -> Samples:
        """Everything measured so far."""
        return Samples.join(self.chunks)

    @property
    def photos_sent(self) -> int:
        """Rows so far."""
        return sum(len(chunk["planned"]) for chunk in self.chunks)

    @property
    def planned(self) -> int:
        """Photos of the whole schedule; of a closed loop, whatever was sent."""
        return self.photos_sent if self.plan.callers else len(planned_times(self.plan.schedule, self.plan.seed))

    @property
    def complete(self) -> bool:
        """Whether every process that sends is through."""
        return sum(worker.done for worker in self.workers.values()) == max(self.plan.workers, 1)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take one line of a process that sends. Raises GeneratorFailed."""
        match message["type"]:
            case "samples":
                self.chunks.append(message)
            case "watch":
                worker = self.workers.setdefault(message["worker"], Worker())
                worker.lags += message["lags"]
                worker.wall_s, worker.cpu_s = message["wall_s"], message["cpu_s"]
            case "done":
                self.workers.setdefault(message["worker"], Worker()).done = True
            case "failed":
                raise GeneratorFailed(message["reason"])
            case other:
                raise GeneratorFailed(f"The load generator said {other!r}: is it of another version?")


OnProgress = Callable[[Run], None]


def execute(
    plan: Plan,
    photos: Photos,
    on_progress: OnProgress = lambda run: None,
    *,
    headers: Mapping[str, str] | None = None,
    listen: str = "",
) -> Run:
    """Do one run. ``on_progress`` is called with the run so far whenever there is news. ``headers``: credentials.

    ``listen``: ``HOST:PORT`` where a master waits for workers that are started by others; without it the plan's workers
    are started here. Raises GeneratorFailed.
    """
    run = Run(plan)
    with tempfile.TemporaryFile("w+") as errors, _processes(plan, listen, errors, headers or {}) as processes:
        first = processes[0]
        assert first.stdin is not None and first.stdout is not None
        try:
            write_job(first.stdin, plan, photos)
            first.stdin.close()
        except OSError:
            pass  # it ended already; why is in what it said
        for message in _messages(first, processes):
            run.hear(message)
            on_progress(run)
        if not run.complete:
            raise GeneratorFailed(f"The load generator stopped before its end: {_last_words(errors)}")
    return run


def _messages(first: subprocess.Popen[bytes], processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[Any]:
    """Lines of the first process until it ends. Raises GeneratorFailed where it hangs or another process dies."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    stream = first.stdout
    assert stream is not None

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    heard = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=1.0)
        except queue.Empty:
            if time.monotonic() - heard > SILENCE_LIMIT_S:
                raise GeneratorFailed("The load generator hangs: the machine is too busy, or no worker came.") from None
            if any(process.poll() not in (None, 0) for process in processes[1:]):
                raise GeneratorFailed("A worker of the load generator died: nothing can be said.") from None
            continue
        if line is None:
            return
        heard = time.monotonic()
        yield json.loads(line)


@contextmanager
def _processes(
    plan: Plan, listen: str, errors: IO[str], headers: Mapping[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The process that reports, then its workers if they are ours; ended in the end."""
    command = [sys.executable, "-m", "loadtest.generator"]
    address = listen or f"127.0.0.1:{_free_port()}"
    calls = [[*command, "--master", address] if plan.workers else command]
    calls += [[*command, "--worker", address]] * (0 if listen else plan.workers)
    environment = {name: value for name, value in os.environ.items() if name not in _CREDENTIALS} | {
        _CREDENTIALS[0]: headers.get("Authorization", "").removeprefix("Bearer "),
        _CREDENTIALS[1]: headers.get("X-API-Key", ""),
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for place, call in enumerate(calls):
            stdin = subprocess.PIPE if place == 0 else subprocess.DEVNULL
            processes.append(
                subprocess.Popen(call, stdin=stdin, stdout=subprocess.PIPE if place == 0 else subprocess.DEVNULL,
                                 stderr=errors, env=environment)
            )  # fmt: skip
        yield processes
    finally:
        for process in processes:
            _stop(process)


_CREDENTIALS: Final = ("BESTIARY_TOKEN", "BESTIARY_API_KEY")


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(2.0 if process.stdout is None else 0.5)
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None and not stream.closed:
            try:
                stream.close()
            except BrokenPipeError:
                continue


def _last_words(errors: IO[str]) -> str:
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    return " | ".join(lines[-LAST_WORDS:]) or "it said nothing."


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
