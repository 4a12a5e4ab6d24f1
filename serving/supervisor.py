"""Keeps one Triton alive: starts it, notices when it is dead or deaf, starts it again, says what it does."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from serving.errors import ServingError
from serving.tritonserver import ServerOptions, TritonProcess, probe
from serving.wheel import Layout

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 120.0
PROBE_INTERVAL_S: Final = 1.0
DEAF_AFTER: Final = 5
"""Liveness probes in a row that may fail (each waits 2 s) before the server counts as hung and is killed."""

MAIMED_AFTER: Final = 2
"""Probes in a row that find a process of a needed model dead. Triton 24.10 neither replaces it nor says that it is not
ready, and answers every request that it hands to it with an error."""

BACKOFF_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Wait before the first, second, ... restart in a row; the last repeats."""

STEADY_AFTER_S: Final = 60.0
"""A server that was ready for so long starts the backoff afresh when it dies."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the supervisor says in its status file, which the gateway's readiness repeats."""

    state: str
    pid: int | None
    restarts: int
    last_exit: str
    since: float
    """Unix time of this state, seconds."""


class Supervisor:
    """Runs one Triton until it is closed. ``start`` once, then ``close``."""

    def __init__(
        self, layout: Layout, options: ServerOptions, status_file: Path, tag: Callable[[], str] | None = None
    ) -> None:
        """``tag``: of the release that answers, as of now; Triton is started with it, and is started again only if one
        of its processes dies, not for those of a release beside it."""
        self._tag = tag
        self._dead: frozenset[str] = frozenset()
        self._layout = layout
        self._options = options
        self._status_file = status_file
        self._triton: TritonProcess | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._restarts = 0
        self._last_exit = "none"

    async def start(self) -> None:
        """Return once Triton is ready. Raises PreflightError, TritonStartError; nothing is left running then."""
        try:
            await self._launch()
        except ServingError:
            await self._end()
            raise
        self._watcher = asyncio.create_task(self._watch(), name="triton-supervisor")

    async def close(self, timeout_s: float = 15.0) -> None:
        """Stop watching and end Triton: SIGTERM, then SIGKILL after ``timeout_s``."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})
        self._say("stopped")
        await self._end(timeout_s)

    async def gave_up(self) -> None:
        """Return if the watch ends by itself, which is a defect; cancel it to stop waiting."""
        if self._watcher is not None:
            await asyncio.wait({self._watcher})

    @property
    def pid(self) -> int | None:
        """Process id of the running Triton."""
        return self._triton.pid if self._triton is not None else None

    def dead_models(self) -> frozenset[str]:
        """Models of releases beside the one that answers that had lost a process when Triton was last looked at."""
        return self._dead

    def end_model(self, model: str) -> None:
        """End the processes of a model that hangs while it is loaded."""
        if self._triton is not None:
            self._triton.end_model(model)

    async def _launch(self) -> None:
        self._say("starting" if self._restarts == 0 else "restarting")
        self._dead = frozenset()
        if self._tag is not None:
            self._options = replace(self._options, tag=self._tag())
        self._triton = await TritonProcess.start(self._layout, self._options)
        await self._triton.wait_ready(START_TIMEOUT_S)
        self._say("ready")

    async def _watch(self) -> None:
        in_a_row = 0
        while True:
            assert self._triton is not None  # set by start before this task exists
            ready_since = time.monotonic()
            code = await self._wait_dead_or_deaf(self._triton)
            if time.monotonic() - ready_since > STEADY_AFTER_S:
                in_a_row = 0
            self._last_exit = describe_exit(code)
            log.error("Triton ended (%s); starting it again", self._last_exit)
            while True:
                self._restarts += 1
                self._say("restarting")
                await asyncio.sleep(BACKOFF_S[min(in_a_row, len(BACKOFF_S) - 1)])
                in_a_row += 1
                try:
                    await self._launch()
                    break
                except (ServingError, OSError) as error:
                    self._last_exit = "did not start"
                    log.error("%s", error)
                    await self._end()

    async def _wait_dead_or_deaf(self, triton: TritonProcess) -> int:
        exited = asyncio.create_task(triton.wait())
        failed = maimed = 0
        try:
            while True:
                done, _ = await asyncio.wait({exited}, timeout=PROBE_INTERVAL_S)
                if done:
                    return exited.result()
                failed = 0 if await probe(self._options, "live") else failed + 1
                maimed = maimed + 1 if self._is_maimed(triton) else 0
                if failed >= DEAF_AFTER or maimed >= MAIMED_AFTER:
                    log.error("Triton has not answered %d probes or lost a model's process; ending it", failed)
                    triton.kill()
                    return await exited
        finally:
            exited.cancel()

    def _is_maimed(self, triton: TritonProcess) -> bool:
        """Whether a model that is needed has lost a process; of the others it is only noted."""
        dead = triton.dead_models()
        if self._tag is None:
            return bool(dead)
        needed = {model for model in dead if model.endswith(f".{self._tag()}")}
        self._dead = frozenset(dead - needed)
        return bool(needed)

    async def _end(self, timeout_s: float = 15.0) -> None:
        if self._triton is not None:
            await self._triton.stop(timeout_s)
            self._triton = None

    def _say(self, state: str) -> None:
        status = Status(state, self.pid, self._restarts, self._last_exit, time.time())
        scratch = self._status_file.with_suffix(".tmp")
        try:
            self._status_file.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(json.dumps(asdict(status)) + "\n")
            scratch.replace(self._status_file)
        except OSError as error:  # a full disk must not end the watch over Triton
            log.error("the status file cannot be written: %s", error)


def describe_exit(code: int) -> str:
    """``signal SIGKILL`` or ``code 1``, from a return code as subprocess gives it."""
    if code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"code {code}"
