"""``python -m benchmarks.gateway_cost``: the gateway's processor time a photo, before a model that answers at once.

One gateway process, ack level ``durable``, its photos and journal on the disk of the project; callers in a closed loop
from a process of their own. Triton is an HTTP responder with one canned answer, so that nothing but the gateway is
measured; no figure here says anything about photos.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import httptools
from rich.console import Console
from rich.table import Table

from benchmarks import photos as photo_sets
from benchmarks.cpu import cpu_seconds, read_cpu
from benchmarks.figures import machine_facts, median
from benchmarks.peers.generator import Generator, GeneratorError, Target
from benchmarks.peers.wire import Wire, bestiary_grpc, bestiary_http
from benchmarks.stack import ROOT, workshop
from contract.priority import Priority
from contract.tensors import SPECIES_OUTPUTS
from tests.support.gateway_process import running_gateway
from tests.support.triton import FakeModel, FakeTriton

EDGES: Final = ("http", "grpc")
WARM_UP_S: Final = 2.0


class CostError(RuntimeError):
    """The gateway did not answer a photo."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. CPU milliseconds a photo: of the whole gateway process, and of the thread of its event loop."""

    photos_per_s: float
    p50_ms: float
    cpu_ms: float
    loop_ms: float


def _answer() -> bytes:
    """A reply of Triton's, binary tensors of one photo of a beagle."""
    model = FakeModel()
    blobs = [model.output(spec.name) for spec in SPECIES_OUTPUTS]
    outputs = [
        {"name": spec.name, "datatype": spec.datatype, "shape": [1, *spec.shape],
         "parameters": {"binary_data_size": len(blob)}}
        for spec, blob in zip(SPECIES_OUTPUTS, blobs, strict=True)
    ]  # fmt: skip
    head = json.dumps({"model_name": "animals", "model_version": "1", "outputs": outputs}).encode()
    size = len(head) + sum(map(len, blobs))
    lines = f"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: {len(head)}\r\nContent-Length: {size}\r\n\r\n"
    return b"".join((lines.encode(), head, *blobs))


class _Responder(asyncio.Protocol):
    """Every request on this connection gets the same answer."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(self._answer)


@contextlib.asynccontextmanager
async def _instant_triton() -> AsyncIterator[tuple[str, str]]:
    """Addresses of its gRPC, for readiness, and of its HTTP, for photos."""
    answer = _answer()
    server = await asyncio.get_running_loop().create_server(lambda: _Responder(answer), "127.0.0.1", 0)
    async with FakeTriton() as triton, server:
        yield triton.address, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _be_triton() -> None:
    """The process: says its addresses in a line, ends with its standard input."""
    async with _instant_triton() as addresses:
        print(*addresses, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.contextmanager
def _triton_process() -> Iterator[tuple[str, str]]:
    """:func:`_instant_triton` in a process of its own."""
    model = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway_cost", "--triton"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert model.stdin is not None and model.stdout is not None  # asked for above
    try:
        grpc_address, http_address = model.stdout.readline().split()
        yield grpc_address, http_address
    finally:
        model.stdin.close()
        model.wait(10)


async def _runs(edge: str, photos: Sequence[bytes], folder: Path, options: argparse.Namespace) -> list[Figures]:
    """All rounds at one edge. Raises as :func:`measure`."""
    release = ROOT / "model_repository" / "animals" / "1"
    with _triton_process() as (grpc_address, http_address):
        settings = {"triton_http_address": http_address, "release_dir": release}
        async with running_gateway(folder, grpc_address, **settings) as gateway:
            wire: Wire = bestiary_http(Priority.BATCH) if edge == "http" else bestiary_grpc(Priority.BATCH)
            target = Target(gateway.http_port + (edge == "grpc"), wire, tuple(photos))
            with Generator(target) as generator:
                generator.closed(options.callers, WARM_UP_S)
                pid = gateway.process.pid
                return [measure(generator, pid, options.callers, options.seconds) for _ in range(options.rounds)]


def _loop_seconds(pid: int) -> float:
    """CPU seconds of the main thread, which runs the event loop."""
    return cpu_seconds(Path(f"/proc/{pid}/task/{pid}/stat").read_text())


def measure(generator: Generator, pid: int, callers: int, seconds: float) -> Figures:
    """One closed loop. Raises GeneratorError, CostError if a photo was not answered."""
    before, loop = read_cpu(pid), _loop_seconds(pid)
    samples = generator.closed(callers, seconds)
    spent, looped = read_cpu(pid) - before, _loop_seconds(pid) - loop
    if samples.errors:
        raise CostError(f"Photos failed: {samples.errors}.")
    photos = len(samples.latencies)
    return Figures(
        photos_per_s=photos / samples.seconds,
        p50_ms=1e3 * median(samples.latencies),
        cpu_ms=1e3 * spent / photos,
        loop_ms=1e3 * looped / photos,
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 something failed (one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    if options.triton:
        asyncio.run(_be_triton())
        return 0
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    facts = machine_facts()
    photos = photo_sets.load(options.photos)
    table = Table(title=f"gateway alone, {options.callers} callers, {photos.name}", title_justify="left")
    for name in ("edge", "photos/s", "p50 ms", "CPU ms a photo", "rounds", "of it event loop"):
        table.add_column(name, justify="left" if name == "edge" else "right")
    written: dict[str, Any] = {"machine": facts, "callers": options.callers, "runs": {}}
    try:
        for edge in options.edges:
            with workshop("gateway") as folder:
                runs = asyncio.run(_runs(edge, photos.photos, folder, options))
            middle = sorted(runs, key=lambda one: one.cpu_ms)[len(runs) // 2]
            written["runs"][edge] = [(one.photos_per_s, one.p50_ms, one.cpu_ms) for one in runs]
            table.add_row(
                edge, f"{middle.photos_per_s:.0f}", f"{middle.p50_ms:.2f}", f"{middle.cpu_ms:.2f}",
                " ".join(f"{one.cpu_ms:.2f}" for one in runs),
                f"{middle.loop_ms:.2f}",
            )  # fmt: skip
    except (CostError, GeneratorError, photo_sets.NoPhotos) as error:
        print(f"gateway_cost: {error}", file=sys.stderr)
        return 1
    console.print(table)
    console.print(f"{facts['processor']}, {facts['cores']} cores, load before {facts['load_average_1min']}")
    if options.json is not None:
        options.json.write_text(json.dumps(written, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway_cost", description=__doc__)
    parser.add_argument("--edges", choices=EDGES, nargs="+", default=list(EDGES), help="default: both")
    parser.add_argument("--photos", type=Path, help="folder of images; without it, views of a bundled small photo")
    parser.add_argument("--callers", type=int, default=4, help="photos in flight (default 4)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="runs; the table has the median (default 3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--triton", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
