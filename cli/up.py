"""``bestiary up``: Triton and the gateway on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from cli.machine import choose, local_rollout, one_release
from serving.errors import PreflightError, ServingError
from serving.supervisor import Supervisor
from serving.tritonserver import ServerOptions, check_ports, die_with_parent
from serving.wheel import Layout, lay_out
from tuning.settings import TUNED_NAME, Settings

GATEWAY_START_S = 30.0
GATEWAY_STOP_S = 30.0
"""A little more than the gateway's own drain limit."""

_CONFIG_NAMES = {("default", "inline"): "", ("dali", "inline"): "cpu-dali", ("default", "models"): "cpu-models"}
"""Decoder and where the networks run -> Triton's ``--model-config-name``."""


def up(
    repository: Annotated[Path, typer.Option(help="Release to begin with: a model repository.")] = Path(
        "model_repository"
    ),
    data: Annotated[Path, typer.Option(help="Where photos, journal, results and logs are kept.")] = Path("var"),
    http_port: Annotated[int, typer.Option(envvar="BESTIARY_HTTP_PORT", min=1, max=65535, help="HTTP.")] = 8080,
    grpc_port: Annotated[int, typer.Option(envvar="BESTIARY_GRPC_PORT", min=1, max=65535, help="gRPC.")] = 8081,
    triton_port: Annotated[
        int, typer.Option(min=1, max=65533, help="Triton takes this port (HTTP) and the next two.")
    ] = 8000,
    preprocess: Annotated[str, typer.Option(help="Decoder: default (shrink-on-load) or dali.")] = "default",
    networks: Annotated[
        str, typer.Option(help="Networks: inline (in the process of `animals`) or models (each on its own).")
    ] = "inline",
    workers: Annotated[
        int | None,
        typer.Option(
            envvar="BESTIARY_WORKERS",
            min=1,
            max=64,
            show_default="of the settings",
            help="Gateway processes on the same ports.",
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=f"DATA/{TUNED_NAME}, else those shipped",
            help="Instances, workers and places for this machine, as `bestiary tune` writes them.",
        ),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            envvar="BESTIARY_MODEL_STORE",
            metavar="ADDRESS",
            show_default="DATA/models",
            help="Model store that says which release answers: a directory, or the https address of a storage account.",
        ),
    ] = "",
    traces: Annotated[
        str,
        typer.Option(
            envvar=["BESTIARY_TRACES_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"],
            metavar="URL",
            help="Send traces of gateway and Triton to this OTLP/HTTP collector, e.g. http://127.0.0.1:4318.",
        ),
    ] = "",
    rollout: Annotated[
        bool, typer.Option(help="Follow the model store; else serve --repository as it is, its models by their names.")
    ] = True,
) -> None:
    """Start everything on loopback and stay until Ctrl-C.

    A model store that is empty begins with the release in --repository. From
    then on `bestiary releases` decides, and a restart changes nothing.

    Example: bestiary up --http-port 9080

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 a part died, 2 something on this machine is missing.
    """
    if (preprocess, networks) not in _CONFIG_NAMES:
        known = ", ".join("/".join(pair) for pair in _CONFIG_NAMES)
        raise typer.BadParameter(f"together they must be one of {known}", param_hint="--preprocess/--networks")
    config_name = _CONFIG_NAMES[preprocess, networks]
    try:
        chosen, source = choose(data, settings, workers, config_name)
    except PreflightError as error:
        _fail(error, 2)
    triton = ServerOptions(
        repository=repository.resolve(),
        http_port=triton_port,
        grpc_port=triton_port + 1,
        metrics_port=triton_port + 2,
        config_name=config_name,
        log_file=data / "log" / "triton.log",
        traces_url=traces,
        shm_prefix=f"bestiary-{os.getpid()}-",
    )
    where = (store or str(data / "models")) if rollout else ""
    try:
        code = asyncio.run(Stack(triton, data, http_port, grpc_port, chosen, where, source).run())
    except PreflightError as error:
        _fail(error, 2)
    except ServingError as error:
        _fail(error, 1)
    raise typer.Exit(code)


def _fail(error: ServingError, code: int) -> None:
    typer.echo(f"bestiary up: {error}", err=True)
    raise typer.Exit(code)


class Stack:
    """Triton under its supervisor, and the gateway in front of it: one process, or several under their supervisor."""

    def __init__(
        self, triton: ServerOptions, data: Path, http_port: int, grpc_port: int, settings: Settings, store: str = "",
        source: str = "",
    ) -> None:  # fmt: skip
        """``store``: address of the model store; '' serves the one release in ``triton.repository``. ``source``: of the
        settings, in words."""
        self._triton = triton
        self._store = store
        self._settings, self._source = settings, source
        self._rollout = local_rollout(store, triton, data / "run", settings.instances) if store else None
        self._data = data
        self._http_port = http_port
        self._grpc_port = grpc_port
        self._status_file = data / "run" / "triton.json"
        self._url = f"http://127.0.0.1:{http_port}"

    async def run(self) -> int:
        """Start, say where everything is, wait for a signal, stop in order. Returns the exit code."""
        if self._rollout is None and not self._triton.repository.is_dir():
            raise PreflightError(f"There is no model repository at {self._triton.repository}: give --repository.")
        _check_distinct(self._http_port, self._grpc_port, self._triton)
        check_ports("127.0.0.1", {"HTTP": self._http_port, "gRPC": self._grpc_port})
        lock = _lock(self._data / "run")
        layout = lay_out(self._data / "run" / "backends")
        stopping = _stop_event()
        print("Starting Triton ...", file=sys.stderr, flush=True)
        try:
            supervisor = await self._supervisor(layout)
            try:
                if not await _unless(stopping, supervisor.start()):
                    return 0
                async with self._following():
                    gateway = await self._start_gateway()
                    try:
                        return await self._serve(gateway, supervisor, stopping)
                    finally:
                        await _stop(gateway)
            finally:
                await supervisor.close()
        finally:
            if self._rollout is not None:
                await self._rollout.close()
            os.close(lock)

    async def _supervisor(self, layout: Layout) -> Supervisor:
        """Of a Triton with the one release, or with the champion of the rollout. Raises PreflightError."""
        rollout = self._rollout
        if rollout is None:
            return Supervisor(
                layout, one_release(self._triton, self._data / "run", self._settings.instances), self._status_file
            )
        supervisor = Supervisor(layout, rollout.options, self._status_file, rollout.champion_tag)
        await rollout.open(supervisor.dead_models, supervisor.end_model)
        return supervisor

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[None]:
        """The sync agent at work."""
        if self._rollout is None:
            yield
            return
        agent = asyncio.create_task(self._rollout.follow(), name="sync-agent")
        try:
            yield
        finally:
            agent.cancel()
            await asyncio.wait({agent})

    async def _serve(self, gateway: asyncio.subprocess.Process, supervisor: Supervisor, stopping: asyncio.Event) -> int:
        died = asyncio.create_task(_first(gateway.wait(), supervisor.gave_up()))
        ready = asyncio.create_task(self._wait_ready())
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({died, ready, stop}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not died.done():
                ready.result()
                self._announce()
            await asyncio.wait({died, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (died, ready, stop):
                task.cancel()
        if stopping.is_set():
            print("Stopping: finishing what was admitted ...", file=sys.stderr, flush=True)
            return 0
        print("bestiary up: a part died; its last words are above.", file=sys.stderr)
        return 1

    async def _start_gateway(self) -> asyncio.subprocess.Process:
        environment: Mapping[str, str] = {
            "BESTIARY_MIN_INFLIGHT": str(self._settings.min_inflight),
            **os.environ,
            "BESTIARY_HTTP_PORT": str(self._http_port),
            "BESTIARY_GRPC_PORT": str(self._grpc_port),
            "BESTIARY_TRITON_ADDRESS": f"{self._triton.host}:{self._triton.grpc_port}",
            "BESTIARY_TRITON_HTTP_ADDRESS": f"{self._triton.host}:{self._triton.http_port}",
            "BESTIARY_TRITON_STATUS_FILE": str(self._status_file),
            "BESTIARY_RELEASE_DIR": str(self._triton.repository / "animals" / "1"),
            "BESTIARY_DATA_DIR": str(self._data / "data"),
            "BESTIARY_MODEL_STORE": self._store,
            "BESTIARY_TRACES_URL": self._triton.traces_url,
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "--workers", str(self._settings.workers),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order
            preexec_fn=die_with_parent,
        )  # fmt: skip

    async def _wait_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + GATEWAY_START_S
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    if (await client.get(f"{self._url}/readyz", timeout=2)).is_success:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                if asyncio.get_running_loop().time() > deadline:
                    raise ServingError(
                        f"The gateway was not ready after {GATEWAY_START_S:.0f} s: see {self._url}/readyz."
                    )
                await asyncio.sleep(0.1)

    def _announce(self) -> None:
        host, triton = self._triton.host, self._triton
        print(
            f"Bestiary is up. Ctrl-C stops it.\n"
            f"  HTTP     {self._url}          (API page: {self._url}/docs)\n"
            f"  gRPC     {host}:{self._grpc_port}\n"
            f"  Triton   http {host}:{triton.http_port}, grpc {host}:{triton.grpc_port}, "
            f"metrics {host}:{triton.metrics_port}\n"
            f"  data     {self._data.resolve()}\n"
            f"  settings {self._source}\n"
            f"{self._releases()}"
            f"Try:  curl --data-binary @photo.jpg {self._url}/v1/classifications",
            flush=True,
        )

    def _releases(self) -> str:
        if self._rollout is None:
            return ""
        notes = "".join(f"           {note}\n" for note in self._rollout.notes)
        return f"  releases {self._store}          (bestiary releases status --store {self._store})\n{notes}"


def _check_distinct(http_port: int, grpc_port: int, triton: ServerOptions) -> None:
    ports = (http_port, grpc_port, triton.http_port, triton.grpc_port, triton.metrics_port)
    if len(set(ports)) < len(ports):
        raise PreflightError(f"Five different ports are needed and these are not: {', '.join(map(str, ports))}.")


def _lock(folder: Path) -> int:
    """Hold the data directory: a second `up` on it would take the first one's backends away. Returns the fd."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise PreflightError(
            f"Another `bestiary up` uses {folder.parent.resolve()}: stop it, or give this one its own --data."
        ) from None
    return fd


async def _first(*works: Coroutine[None, None, object]) -> None:
    """Return when the first of ``works`` does; the others are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _unless(stopping: asyncio.Event, work):  # type: ignore[no-untyped-def]  # any coroutine
    """Run ``work``; give it up and return False if a stop is asked for first."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _stop_event() -> asyncio.Event:
    event = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GATEWAY_STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
