"""Several gateway processes on one pair of ports: starts them, starts dead ones again, stops all of them in order.

The kernel spreads connections over the listeners (SO_REUSEPORT). Each worker has a slot, and the slot a journal
of its own: who is started again in a slot opens that journal and drains it. Store and photos are shared.
The supervisor holds no data and serves nothing; it keeps the ports, so that they stay the gateway's
while a worker is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.server import STOP_GRACE_S
from gateway.settings import Settings
from gateway.worker_metrics import metrics_file, replace_text, workers_file

CANNOT_START: Final = 2
"""Exit code of a gateway whose settings or surroundings are wrong; trying again does not mend those."""

BACKOFF_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Wait before the first, second, ... restart of a slot in a row; the last repeats."""

STEADY_AFTER_S: Final = 60.0
"""A worker that ran for so long starts the backoff afresh when it dies."""

LOOK_EVERY_S: Final = 5.0
HUNG_AFTER: Final = 6
"""Looks in a row without a sign of life after which a worker counts as hung and is killed: half a minute."""

_KILL_GRACE_S: Final = 2.0
"""What a worker gets on top of its own limit before it is killed."""
_PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>

log = logging.getLogger(__name__)


class Workers:
    """``settings.workers`` processes of ``command``. ``run`` once."""

    def __init__(
        self,
        settings: Settings,
        command: Sequence[str] = (sys.executable, "-m", "gateway"),
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._settings = settings
        self._command = command
        self._look_every_s = look_every_s
        self._stopping = asyncio.Event()
        self._running: dict[int, int] = {}
        self._restarts = 0
        self._code = 0

    def stop(self) -> None:
        """Let every worker drain and end; ``run`` returns then."""
        self._stopping.set()

    async def run(self) -> int:
        """Keep the workers until :meth:`stop`. Returns 0 then, ``CANNOT_START`` if a worker could not start at all.

        Raises OSError: a port is taken.
        """
        http = reserve(self._settings.host, self._settings.http_port)
        grpc = reserve(self._settings.host, self._settings.grpc_port)
        try:
            environment = {
                **os.environ,
                "BESTIARY_HTTP_PORT": str(http.getsockname()[1]),
                "BESTIARY_GRPC_PORT": str(grpc.getsockname()[1]),
                "BESTIARY_WORKERS": str(self._settings.workers),
            }
            for slot in range(self._settings.workers):
                metrics_file(self._settings.data_dir, slot).unlink(missing_ok=True)  # of an earlier start
            # The first alone: what is wrong with the settings is said once, and it makes the store's file.
            keepers = [asyncio.create_task(self._keep(0, environment))]
            await self._until_listening(http.getsockname())
            keepers += [asyncio.create_task(self._keep(slot, environment)) for slot in range(1, self._settings.workers)]
            await asyncio.gather(*keepers)
        finally:
            http.close()
            grpc.close()
        return self._code

    async def _keep(self, slot: int, environment: dict[str, str]) -> None:
        in_a_row = launches = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                code = await self._run_one(slot, environment)
            except OSError as error:  # no memory or no process left for one more; the others go on
                log.error("worker %d cannot be started: %s", slot, error)
                code = 1
            launches += 1
            if self._stopping.is_set():
                return
            if code == CANNOT_START and launches == 1:
                self._code = code
                self.stop()
                return
            if time.monotonic() - began > STEADY_AFTER_S:
                in_a_row = 0
            delay_s = BACKOFF_S[min(in_a_row, len(BACKOFF_S) - 1)]
            in_a_row += 1
            self._restarts += 1
            log.error("worker %d ended with %d; starting it again in %.2f s", slot, code, delay_s)
            await self._stops_within(delay_s)

    async def _run_one(self, slot: int, environment: dict[str, str]) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env={**environment, "BESTIARY_WORKER": str(slot)},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops all in order
            preexec_fn=_end_with_parent,
        )
        self._running[slot] = process.pid
        self._say()
        exited = asyncio.create_task(process.wait())
        try:
            await self._watch(process, exited, metrics_file(self._settings.data_dir, slot))
            if not exited.done():
                process.terminate()
                limit_s = self._settings.drain_timeout_s + STOP_GRACE_S + _KILL_GRACE_S
                await asyncio.wait({exited}, timeout=limit_s)
            if not exited.done():
                log.error("worker %d did not end in time and is killed", slot)
                process.kill()
            return await exited
        finally:
            del self._running[slot]
            self._say()

    async def _watch(self, process: asyncio.subprocess.Process, exited: asyncio.Task[int], heartbeat: Path) -> None:
        """Return when the worker has ended or all shall stop; kill it when it hangs."""
        stopping = asyncio.create_task(self._stopping.wait())
        last, unchanged = _modified(heartbeat), 0
        seen = False
        try:
            while True:
                # Looks are counted, not seconds: a supervisor that was stopped itself must not blame its workers.
                done, _ = await asyncio.wait(
                    {exited, stopping}, timeout=self._look_every_s, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return
                now = _modified(heartbeat)
                seen = seen or now != last
                unchanged = unchanged + 1 if now == last else 0
                last = now
                if seen and unchanged >= HUNG_AFTER:
                    log.error("worker process %d gives no sign of life and is killed", process.pid)
                    process.kill()
                    await exited
                    return
        finally:
            stopping.cancel()

    async def _until_listening(self, address: tuple[str, int]) -> None:
        while not self._stopping.is_set():
            try:
                _, writer = await asyncio.open_connection(*address[:2])
            except OSError:
                await self._stops_within(0.05)
                continue
            writer.close()
            return

    async def _stops_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _say(self) -> None:
        said = {"workers": self._settings.workers, "running": len(self._running), "restarts": self._restarts}
        said["pids"] = dict(sorted(self._running.items()))  # type: ignore[assignment]  # JSON
        try:
            replace_text(workers_file(self._settings.data_dir), json.dumps(said).encode() + b"\n")
        except OSError as error:  # a full disk must not end the watch
            log.warning("the workers file cannot be written: %s", error)


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds a port for the workers and never listens. ``port`` 0 takes a free one.

    Raises OSError if anyone listens there, another group of workers included, with which the kernel would
    otherwise share the connections.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    try:
        with socket.socket(family, kind) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            address = alone.getsockname()
        held = socket.socket(family, kind)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as error:
        raise OSError(f"Nothing can listen on {host}:{port} ({error.strerror}): stop what listens there or choose "
                      "another port.") from error  # fmt: skip
    return held


async def supervise(settings: Settings) -> int:
    """Run the workers until SIGTERM or SIGINT, then drain them. Returns and raises as :meth:`Workers.run`."""
    workers = Workers(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, workers.stop)
    return await workers.run()


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _end_with_parent() -> None:
    """Runs in the worker between fork and exec: it drains and ends if the supervisor dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
