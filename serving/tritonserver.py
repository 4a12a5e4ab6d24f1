"""One ``tritonserver`` process: how it is started, asked whether it is ready, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from serving.errors import PreflightError, TritonStartError
from serving.repository import models_to_load, needs_completion
from serving.wheel import Layout

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a child gets when its parent dies, so that nothing is orphaned."""

PROBE_TIMEOUT_S: Final = 2.0

SEND_TRACES_EVERY_MS: Final = 1000

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # where Linux keeps POSIX shared memory


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything that makes one Triton differ from another."""

    repository: Path
    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    config_name: str = ""
    """``--model-config-name``: which ``configs/NAME.pbtxt`` of each model is used; '' is ``config.pbtxt``."""
    log_file: Path | None = None
    tag: str = ""
    """Of the release to load at the start, where several stand side by side in ``repository``; '' loads plain names."""
    traces_url: str = ""
    """OTLP/HTTP collector that gets Triton's spans, e.g. ``http://127.0.0.1:4318``; '' is none."""
    shm_prefix: str = "bestiary"
    """Prefix of the shared-memory regions of its Python models, which outlive a kill -9."""


def check_ports(host: str, ports: dict[str, int]) -> None:
    """Raise PreflightError naming the first of ``ports`` (what for -> number) that is taken."""
    for purpose, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise PreflightError(
                    f"Port {port} ({purpose}) on {host} cannot be used ({os.strerror(error.errno or 0)}): "
                    f"stop what listens there, or choose another one (see `bestiary up --help`)."
                ) from None


def command(layout: Layout, options: ServerOptions) -> list[str]:
    """The command line. The profile's models are loaded; model control is open on loopback for ``rollout`` only."""
    arguments = [
        str(layout.binary),
        f"--model-repository={options.repository}",
        f"--backend-directory={layout.backends}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in models_to_load(options.repository, options.config_name, options.tag)),
        f"--http-address={options.host}",
        f"--http-port={options.http_port}",
        f"--grpc-address={options.host}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-address={options.host}",
        f"--metrics-port={options.metrics_port}",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        "--exit-timeout-secs=10",
        f"--backend-config=python,shm-region-prefix-name={options.shm_prefix}",
    ]
    if not needs_completion(options.repository, options.config_name, options.tag):
        arguments.append("--disable-auto-complete-config")
    if options.config_name:
        arguments.append(f"--model-config-name={options.config_name}")
    if options.traces_url:
        arguments += _tracing(options.traces_url)
    return arguments


def _tracing(url: str) -> list[str]:
    """Rate 0: of its own accord Triton traces nothing, but every request that comes with a ``traceparent``."""
    settings = (
        "mode=opentelemetry",
        "rate=0",
        "level=TIMESTAMPS",
        f"opentelemetry,url={url.rstrip('/')}/v1/traces",
        "opentelemetry,resource=service.name=bestiary-triton",
        f"opentelemetry,bsp_schedule_delay={SEND_TRACES_EVERY_MS}",
    )
    return [f"--trace-config={setting}" for setting in settings]


class TritonProcess:
    """A running server with its stub processes, which share its process group."""

    def __init__(self, process: asyncio.subprocess.Process, options: ServerOptions) -> None:
        self._process = process
        self.options = options
        self._models: dict[int, str] = {}
        """Process ids of models -> what they were when they were last seen alive."""

    @classmethod
    async def start(cls, layout: Layout, options: ServerOptions) -> TritonProcess:
        """Start the server; returns as soon as the process exists. Raises PreflightError on a taken port."""
        check_ports(
            options.host,
            {
                "Triton HTTP": options.http_port,
                "Triton gRPC": options.grpc_port,
                "Triton metrics": options.metrics_port,
            },
        )
        remove_shared_memory(options.shm_prefix)
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": layout.library_path,
            # The stubs embed Python, which finds its site-packages by the first python3 on PATH (PYTHONPATH is
            # ignored: the stub for 3.11 initialises an isolated configuration).
            "PATH": os.pathsep.join((layout.python_bin, os.environ.get("PATH", os.defpath))),
            "OPENBLAS_NUM_THREADS": "1",  # the stubs' matrices are tiny; the cores belong to the network
            "OMP_NUM_THREADS": "1",
        }
        with _log(options.log_file) as output:
            process = await asyncio.create_subprocess_exec(
                *command(layout, options),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C goes to us alone: the gateway drains first
                preexec_fn=die_with_parent,
            )
        return cls(process, options)

    @property
    def pid(self) -> int:
        """Process id of ``tritonserver``, also its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until it exits; then end what is left of its group and remove its shared memory."""
        code = await self._process.wait()
        self._sweep()
        return code

    async def wait_ready(self, timeout_s: float) -> None:
        """Return once all models are ready. Raises TritonStartError with the log's last errors."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not await probe(self.options, "ready"):
            if self.exit_code is not None:
                raise TritonStartError(f"Triton exited with code {self.exit_code} while starting. {self.complaint()}")
            if asyncio.get_running_loop().time() > deadline:
                raise TritonStartError(f"Triton was not ready after {timeout_s:.0f} s. {self.complaint()}")
            await asyncio.sleep(0.1)

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, wait, then SIGKILL for what is left. Safe to call twice."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), timeout_s)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._sweep()

    def kill(self) -> None:
        """SIGKILL for a server that no longer answers; ``wait`` then returns."""
        if self.exit_code is None:
            self._process.kill()

    def dead_models(self) -> set[str]:
        """Models of which a process has died and was not waited for, as one is that Triton ended itself; '' stands for
        one that was never seen alive.

        A dead process no longer says what it was, so call this now and then.
        """
        alive: dict[int, str] = {}
        dead: set[str] = set()
        for child in self._children():
            if _is_zombie(child):
                dead.add(self._models.get(child, ""))
                alive[child] = self._models.get(child, "")
            else:
                alive[child] = _model_of(child, self.options.repository)
        self._models = alive
        return dead

    def end_model(self, model: str) -> None:
        """SIGKILL the processes of one model, for one that hangs while it is loaded: Triton then gives it up."""
        for child in self._children():
            if _model_of(child, self.options.repository) == model:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    def _children(self) -> list[int]:
        found: list[int] = []
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
        return found

    def complaint(self) -> str:
        """The last error lines of the log, for the person at the terminal."""
        path = self.options.log_file
        if path is None or not path.exists():
            return ""
        lines = path.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("E") or "error:" in line.lower()]
        return "Its log says: " + " | ".join(errors[-2:] or lines[-2:]) + f" (all of it: {path})"

    def _sweep(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        remove_shared_memory(self.options.shm_prefix)


async def probe(options: ServerOptions, what: str) -> bool:
    """Ask ``/v2/health/live`` or ``/v2/health/ready``; False for no, nothing, or too slow."""
    return await asyncio.to_thread(_probe, options.host, options.http_port, what)


def _probe(host: str, port: int, what: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", f"/v2/health/{what}")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def die_with_parent() -> None:
    """Runs in the child between fork and exec: SIGTERM it if its parent dies, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def remove_shared_memory(prefix: str) -> None:
    """Remove regions that a killed server left in /dev/shm; only those with this exact prefix."""
    for region in _regions(prefix):
        region.unlink(missing_ok=True)


def _is_zombie(pid: int) -> bool:
    """Whether a process is dead and not waited for (state Z in proc(5), the field after the parenthesised name)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _model_of(pid: int, repository: Path) -> str:
    """Name of the model that a process serves: its command line has the path of the model's file. '' for none."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    below = f"{repository}{os.sep}"
    return next((word[len(below) :].partition(os.sep)[0] for word in arguments if word.startswith(below)), "")


def _regions(prefix: str) -> Iterator[Path]:
    return SHARED_MEMORY.glob(f"{prefix}*") if prefix else iter(())


def _log(path: Path | None) -> BinaryIO:
    if path is None:
        return Path(os.devnull).open("wb")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_name(path.name + ".1"))  # what the last one said before it died
    return path.open("wb")
