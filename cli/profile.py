"""``bestiary profile``: where the time and the processors' time of a photo go, by stage and by process."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cli.options import DEFAULT_URL, FAILED, UNREACHABLE, USAGE, Key, Token, Url, complain, credentials
from cli.processes import Spent, group_of, listener_of, spent_by
from contract.options import Task
from contract.tensors import ANIMALS

INSIDE: Final = {
    "total": ("edge", "wait", "fetch", "triton", "blob", "journal", "store"),
    "triton": ("queue", "model"),
    "model": ("decode", "detect", "classify"),
}
"""Stages and what lies in them, as ``contract.record.Timings`` says."""

PERCENTILES: Final = {"p50": 0.5, "p99": 0.99}
REQUEST_TIMEOUT_S: Final = 30.0
WARM_UP: Final = 3
"""Photos a caller that are not counted."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Milliseconds of one stage over all photos."""

    name: str
    depth: int
    mean_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What came of a run. ``cpu_ms`` are milliseconds of processor time a photo, by process and thread."""

    photos: int
    failed: int
    seconds: float
    stages: tuple[Stage, ...]
    processes: tuple[Spent, ...]
    batches: Mapping[str, int]
    """Executions of `animals` by batch size; empty where Triton's statistics could not be asked for."""

    @property
    def per_second(self) -> float:
        """Photos answered a second."""
        return self.photos / self.seconds


def profile(
    photos: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="Photos to send, in turn.")
    ],
    url: Url = DEFAULT_URL,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long.")] = 10.0,
    callers: Annotated[int, typer.Option(min=1, max=256, help="Photos under way at once.")] = 4,
    tasks: Annotated[Task, typer.Option(help="What is asked.")] = Task.FULL,
    triton: Annotated[str, typer.Option(metavar="URL", help="Triton's HTTP address, for its batches.")] = "",
    flame: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Flame graph of the gateway; needs py-spy on the PATH.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object instead of tables.")] = False,
    token: Token = "",
    api_key: Key = "",
) -> None:
    """Send photos to a running `bestiary up` in a closed loop and say where the time went.

    Stages are those of the service's own Server-Timing header. Processor time is read from /proc, so it is
    there only for a service on this machine. The generator's own part is the process `profile`.

    Example: bestiary profile --seconds 20 --tasks species photos/*.jpg

    Exit codes:
    0 done
    1 no photo was answered
    2 wrong usage
    3 the service cannot be reached
    """
    headers = credentials(url, token, api_key)
    if flame is not None and shutil.which("py-spy") is None:
        complain("py-spy is not on the PATH: pip install py-spy, or leave --flame out.")
        raise typer.Exit(USAGE)
    bodies = [path.read_bytes() for path in photos]
    try:
        result = asyncio.run(_run(url, bodies, headers, seconds, callers, tasks, triton, flame))
    except httpx.TransportError as error:
        complain(f"{url} cannot be reached ({type(error).__name__}): start it with `bestiary up`, or give --url.")
        raise typer.Exit(UNREACHABLE) from error
    if not result.photos:
        complain(f"None of {result.failed} photos was answered: try one with `bestiary classify`.")
        raise typer.Exit(FAILED)
    if as_json:
        typer.echo(json.dumps(asdict(result) | {"photos_per_s": result.per_second}))
    else:
        _print(result)


async def _run(
    url: str, bodies: Sequence[bytes], headers: Mapping[str, str], seconds: float, callers: int, tasks: Task,
    triton: str, flame: Path | None,
) -> Profile:  # fmt: skip
    """Raises httpx.TransportError if the service is not there."""
    limits = httpx.Limits(max_connections=callers + 1)
    async with httpx.AsyncClient(headers=headers, timeout=REQUEST_TIMEOUT_S, limits=limits, trust_env=False) as client:
        await client.get(f"{url}/livez")
        load = _Load(client, f"{url}/v1/classifications?tasks={tasks.value}", bodies)
        await asyncio.gather(*(load.send(number) for number in range(WARM_UP * callers)), return_exceptions=True)
        load.timings.clear()
        load.failed = 0
        gateway = listener_of(url)
        group = group_of(gateway) if gateway else {}
        batches = await _batches(client, triton)
        with ExitStack() as stack:
            if flame is not None and gateway:
                stack.callback(_flame(gateway, flame, seconds).wait)
            before, started = spent_by(group), time.monotonic()
            await _closed_loop(load, seconds, callers)
            took_s, after = time.monotonic() - started, spent_by(group)
        answered = len(load.timings)
        spent = tuple(one.since(before, max(1, answered)) for one in after.values())
        return Profile(
            photos=answered,
            failed=load.failed,
            seconds=took_s,
            stages=tuple(_stages(load.timings)),
            processes=tuple(sorted((one for one in spent if one.cpu_ms >= 0.01), key=lambda one: -one.cpu_ms)),
            batches=_difference(batches, await _batches(client, triton)),
        )


class _Load:
    """Photos to one address, and the stages of those that were answered."""

    def __init__(self, client: httpx.AsyncClient, address: str, bodies: Sequence[bytes]) -> None:
        self._client = client
        self._address = address
        self._bodies = bodies
        self.timings: list[dict[str, float]] = []
        self.failed = 0

    async def send(self, number: int) -> None:
        """One photo. Raises httpx.TransportError."""
        started = time.monotonic()
        answer = await self._client.post(self._address, content=self._bodies[number % len(self._bodies)])
        if not answer.is_success:
            self.failed += 1
            return
        seen_ms = 1e3 * (time.monotonic() - started)
        self.timings.append(_read(answer.headers.get("server-timing", "")) | {"seen": seen_ms})


async def _closed_loop(load: _Load, seconds: float, callers: int) -> None:
    """Each caller sends its next photo when the last was answered."""
    ends = time.monotonic() + seconds

    async def call(number: int) -> None:
        while time.monotonic() < ends:
            await load.send(number)
            number += callers

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("profiling", total=seconds)
        work = asyncio.gather(*(call(number) for number in range(callers)))
        while not work.done():
            await asyncio.wait({work}, timeout=0.5)
            progress.update(task, completed=seconds - max(0.0, ends - time.monotonic()))
        await work


def _read(text: str) -> dict[str, float]:
    """Milliseconds by stage in a ``Server-Timing`` header."""
    parts = (part.strip().partition(";dur=") for part in text.split(",") if ";dur=" in part)
    return {name: float(ms) for name, _, ms in parts}


def _stages(timings: Sequence[Mapping[str, float]]) -> list[Stage]:
    """All stages, each under the one it lies in; what is left of one beside its parts is its ``other``."""

    def stage(name: str, depth: int, values: list[float]) -> Stage:
        ordered = sorted(values)
        at = {word: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for word, share in PERCENTILES.items()}
        return Stage(name, depth, sum(values) / len(values), at["p50"], at["p99"])

    def walk(name: str, depth: int) -> list[Stage]:
        values = [one.get(name, 0.0) for one in timings]
        if not any(values):
            return []
        rows = [stage(name, depth, values)]
        parts = INSIDE.get(name, ())
        for part in parts:
            rows += walk(part, depth + 1)
        if len(rows) > 1:
            other = [max(0.0, one.get(name, 0.0) - sum(one.get(part, 0.0) for part in parts)) for one in timings]
            rows.append(stage(f"{name}, other", depth + 1, other))
        return rows

    if not timings:
        return []
    wire = [max(0.0, one["seen"] - one.get("total", 0.0)) for one in timings]
    return [stage("as the caller sees it", 0, [one["seen"] for one in timings]), stage("wire and client", 1, wire),
            *walk("total", 1)]  # fmt: skip


async def _batches(client: httpx.AsyncClient, triton: str) -> dict[str, int]:
    """Executions of `animals`, whatever its release is called, by batch size."""
    if not triton:
        return {}
    try:
        answer: Any = (await client.get(f"{triton.rstrip('/')}/v2/models/stats")).json()
        sizes: dict[str, int] = {}
        for model in answer["model_stats"]:
            if model["name"].partition(".")[0] == ANIMALS:
                for one in model.get("batch_stats", ()):
                    size = str(one["batch_size"])
                    sizes[size] = sizes.get(size, 0) + int(one["compute_infer"]["count"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        complain(f"Triton's statistics at {triton} cannot be read ({type(error).__name__}); there will be no batches.")
        return {}
    return sizes


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    sizes = {size: count - before.get(size, 0) for size, count in after.items()}
    return {size: sizes[size] for size in sorted(sizes, key=int) if sizes[size] > 0}


def _flame(pid: int, path: Path, seconds: float) -> subprocess.Popen[bytes]:
    command = ["py-spy", "record", "--pid", str(pid), "--output", str(path), "--duration", str(int(seconds))]
    return subprocess.Popen([*command, "--native"], stdout=subprocess.DEVNULL)


def _print(result: Profile) -> None:
    console = Console()
    console.print(
        f"{result.photos} photos in {result.seconds:.1f} s: {result.per_second:.1f} a second"
        + (f"; {result.failed} were refused" if result.failed else "")
    )
    stages = Table("stage", *(f"{word} ms" for word in ("mean", *PERCENTILES)), title="Time")
    for stage in result.stages:
        stages.add_row("  " * stage.depth + stage.name, *(f"{ms:.2f}" for ms in (stage.mean_ms, stage.p50_ms,
                                                                                  stage.p99_ms)))  # fmt: skip
    console.print(stages)
    if result.processes:
        spent = Table("process", "thread", "ms a photo", title="Processor time")
        for one in result.processes:
            spent.add_row(one.process, one.thread, f"{one.cpu_ms:.2f}")
        spent.add_row("all", "", f"{sum(one.cpu_ms for one in result.processes):.2f}", style="bold")
        console.print(spent)
    else:
        console.print("The service is not on this machine, or not this user's: no processor time.")
    if result.batches:
        console.print("Batches: " + ", ".join(f"{count} of {size}" for size, count in result.batches.items()))
