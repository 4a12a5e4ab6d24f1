"""``python -m benchmarks.plan_curves``: what one photo takes on this machine, for ``bestiary plan``.

For each task and kind of photos, on a running stack: how long an instance of `animals` is busy with batches of 1 to 8
while 1, 2 and 3 of them are (asked straight, with Triton's own clock), and what one photo at a time costs in CPU by
thread on the way through the gateway. Then how long an fsync takes on the disk of the journal. Writes the JSON that
``planning/curves.py`` describes. Only a machine that does nothing else gives figures worth keeping.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

import grpc
from PIL import Image
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from benchmarks import cpu
from benchmarks import photos as photo_sets
from benchmarks.figures import machine_facts, median
from benchmarks.load import Generator, GeneratorError, Target
from benchmarks.photos import JPEG_QUALITY, NoPhotos, PhotoSet, bytes_element
from benchmarks.stack import PLAIN, Stack, StackError, running_stack, workshop
from contract.options import TASKS, Task
from contract.tensors import ANIMALS, ANIMALS_OUTPUTS, PHOTO, SPECIES_OUTPUTS
from planning.curves import Cell, Curves, Profile, quantiles
from planning.node import Setup
from planning.simulation import closed_loop

BATCHES: Final = (1, 2, 4, 8)
BUSY: Final = (1, 2, 3)
QUANTILES: Final = 41
TRAP_SIZE: Final = (2048, 1536)
CALL_TIMEOUT_S: Final = 60.0
SMALL, TRAP = "small", "trap"
EVERYTHING: Final = tuple((task, kind) for kind in (SMALL, TRAP) for task in Task)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each measurement."""

    cell: float
    way: float


def photos_of(kind: str) -> PhotoSet:
    """``small``: the bundled ones; ``trap``: the same at the size of a camera trap's photo (3.1 megapixels)."""
    small = photo_sets.load(None)
    if kind == SMALL:
        return small
    return PhotoSet(f"trap: {len(small.photos)} of 2048x1536", tuple(_enlarged(photo) for photo in small.photos))


def _enlarged(photo: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as image:
        image.resize(TRAP_SIZE, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def profile(stack: Stack, task: Task, kind: str, times: Times) -> Profile:
    """Everything about one task on one kind of photos. Raises StackError, GeneratorError, grpc.RpcError."""
    photos = photos_of(kind)
    _cell(stack, photos, task, 1, 2, times.cell)  # warm
    cells, triton_ms = [], 0.0
    for batch in BATCHES:
        for busy in BUSY:
            before = thread_seconds(stack.process.pid)
            cell, answered = _cell(stack, photos, task, batch, busy, times.cell)
            spent = _spent(before, thread_seconds(stack.process.pid))
            cells.append(cell)
            if (batch, busy) == (1, 1):
                triton_ms = 1e3 * spent.get("tritonserver", 0.0) / answered
    return _way(stack, photos, Profile(
        task=task, photos=kind, photo_bytes=round(photos.mean_bytes), service=tuple(cells), edge_loop_ms=0,
        edge_threads_ms=0, triton_ms=triton_ms, client_ms=0, rest_ms=0,
    ), times.way)  # fmt: skip


def _cell(stack: Stack, photos: PhotoSet, task: Task, batch: int, busy: int, seconds: float) -> tuple[Cell, int]:
    """``busy`` callers with requests of ``batch`` photos each, straight to Triton; the cell and photos answered."""
    requests = [_request(photos, task, batch, turn) for turn in range(len(photos.photos))]
    ends = time.monotonic() + seconds
    took: list[float] = []
    failures: list[str] = []

    def call(first: int) -> None:
        connection, turn = HTTPConnection("127.0.0.1", stack.triton_port, timeout=CALL_TIMEOUT_S), first
        try:
            while time.monotonic() < ends and not failures:
                began = time.monotonic()
                head, body = requests[turn % len(requests)]
                connection.request("POST", f"/v2/models/{ANIMALS}/infer", body, head)
                reply = connection.getresponse()
                said = reply.read()
                if reply.status != HTTPStatus.OK:
                    failures.append(said.decode(errors="replace"))
                took.append(time.monotonic() - began)
                turn += 1
        except (OSError, HTTPException) as error:
            failures.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    before = _executions(stack)
    threads = [threading.Thread(target=call, args=(number,)) for number in range(busy)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise StackError(f"Triton did not answer: {failures[0]}")
    after = _executions(stack)
    executions, busy_s, done = (now - then for now, then in zip(after, before, strict=True))
    mean_s = busy_s / executions
    mean_took = sum(took) / len(took)
    return Cell(
        batch=batch, busy=busy, ms=1e3 * mean_s,
        ratios=tuple(round(one / mean_took, 3) for one in quantiles(took, QUANTILES)),
    ), round(done)  # fmt: skip


def _request(photos: PhotoSet, task: Task, batch: int, first: int) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request as the gateway sends it (``gateway/triton/http.py``): what another way costs the
    same cores would count as time of the instances."""
    wanted = SPECIES_OUTPUTS if task is Task.SPECIES else ANIMALS_OUTPUTS
    chosen = [photos.photos[(first + at) % len(photos.photos)] for at in range(batch)]
    tensor = b"".join(map(bytes_element, chosen))
    asked = {
        "parameters": {TASKS: task.value},
        "inputs": [{
            "name": PHOTO.name, "datatype": PHOTO.datatype, "shape": [batch, 1],
            "parameters": {"binary_data_size": len(tensor)},
        }],
        "outputs": [{"name": spec.name, "parameters": {"binary_data": True}} for spec in wanted],
    }  # fmt: skip
    head = json.dumps(asked).encode()
    return {"Inference-Header-Content-Length": str(len(head))}, head + tensor


def _executions(stack: Stack) -> tuple[float, float, float]:
    """Executions of `animals` so far, seconds that instances were busy with them, photos in them."""
    with grpc.insecure_channel(stack.triton_grpc) as channel:
        asked = service_pb2.ModelStatisticsRequest(name=ANIMALS)
        stats = GRPCInferenceServiceStub(channel).ModelStatistics(asked, timeout=CALL_TIMEOUT_S).model_stats[0]
    busy_ns = sum(
        row.compute_input.ns + row.compute_infer.ns + row.compute_output.ns for row in stats.batch_stats
    )  # by execution, where inference_stats count by request
    return float(stats.execution_count), busy_ns / 1e9, float(stats.inference_count)


def _way(stack: Stack, photos: PhotoSet, known: Profile, seconds: float) -> Profile:
    """One photo at a time through the gateway: CPU by thread, and in ``rest_ms`` the median of the whole way."""
    with Generator(Target(stack.gateway_grpc, photos.photos, known.task.value)) as generator:
        generator.closed(1, 0.5)
        before, client = thread_seconds(stack.process.pid), _own_children()
        samples = generator.closed(1, seconds)
        after, client_after = thread_seconds(stack.process.pid), _own_children()
    answered = [sample.seconds for sample in samples if sample.code == "OK"]
    if not answered:
        raise StackError(f"Nothing was answered ({samples[0].reason}): see the stack's logs.")
    spent = _spent(before, after)
    per_photo = 1e3 / len(answered)
    return known.model_copy(
        update={
            "edge_loop_ms": spent.get("gateway loop", 0.0) * per_photo,
            "edge_threads_ms": spent.get("gateway threads", 0.0) * per_photo,
            "client_ms": (client_after - client) * per_photo,
            "rest_ms": 1e3 * median(answered),  # explained below
        }
    )


def explained(curves: Curves) -> Curves:
    """Curves whose ``rest_ms`` is the median of one photo at a time -> what of it the simulation does not explain."""
    bare = curves.model_copy(
        update={"profiles": tuple(one.model_copy(update={"rest_ms": 0.0}) for one in curves.profiles)}
    )
    setup = Setup(cores=curves.cores, instances=BUSY[-1], client_here=True)
    rests = (
        max(0.0, whole.rest_ms - 1e3 * closed_loop(bare, one, setup, 1, photos=300).percentile_s(50))
        for whole, one in zip(curves.profiles, bare.profiles, strict=True)
    )
    return bare.model_copy(
        update={
            "profiles": tuple(
                one.model_copy(update={"rest_ms": rest}) for one, rest in zip(bare.profiles, rests, strict=True)
            )
        }
    )


def thread_seconds(pid: int) -> dict[tuple[int, str], float]:
    """CPU seconds so far of every thread below a process: (thread id, role) -> seconds, to the nanosecond."""
    found: dict[tuple[int, str], float] = {}
    for process in cpu.family(pid):
        for task in Path(f"/proc/{process.pid}/task").glob("*"):
            role = process.role
            if role == cpu.GATEWAY:
                role = "gateway loop" if int(task.name) == process.pid else "gateway threads"
            try:
                found[int(task.name), role] = int((task / "schedstat").read_text().split()[0]) / 1e9
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that ended while we looked
    return found


def _spent(before: Mapping[tuple[int, str], float], after: Mapping[tuple[int, str], float]) -> dict[str, float]:
    roles: dict[str, float] = {}
    for (thread, role), seconds in after.items():
        roles[role] = roles.get(role, 0.0) + seconds - before.get((thread, role), 0.0)
    return roles


def _own_children() -> float:
    """CPU seconds so far of the load generator, which is the child that multiprocessing has spawned."""
    return sum(
        seconds
        for process in cpu.family(os.getpid())
        if b"spawn_main" in _command(process.pid)
        for seconds in thread_seconds(process.pid).values()
    )


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def fsync_ms(folder: Path, number: int = 200, size: int = 1000) -> tuple[float, ...]:
    """Quantiles of appending ``size`` bytes and fsync, milliseconds."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(number):
            began = time.monotonic()
            file.write(bytes(size))
            os.fsync(file.fileno())
            took.append(1e3 * (time.monotonic() - began))
    return tuple(round(one, 4) for one in quantiles(took, QUANTILES))


def measure(what: Sequence[tuple[Task, str]], times: Times, name: str) -> Curves:
    """Curves of this machine. Raises StackError, GeneratorError, grpc.RpcError."""
    facts = machine_facts()
    with workshop("curves") as folder, running_stack(folder, PLAIN) as stack:
        profiles = []
        for task, kind in what:
            print(f"{task} on {kind} photos ...", file=sys.stderr, flush=True)
            profiles.append(profile(stack, task, kind, times))
        quiet = "" if float(facts["load_average_1min"]) < 1 else "Other work ran on the machine. "
        measured = Curves(
            name=name, measured=datetime.now(UTC).date().isoformat(), processor=str(facts["processor"]),
            note=f"{quiet}Load average {facts['load_average_1min']} before; generator on the same cores.",
            cores=int(facts["cores"]), physical_cores=physical_cores(), fsync_ms=fsync_ms(folder),
            profiles=tuple(profiles),
        )  # fmt: skip
    return explained(measured)


def physical_cores() -> int:
    """As the kernel sees them; a hypervisor may show two halves of one as two."""
    siblings = {
        (folder / "topology" / "thread_siblings_list").read_text()
        for folder in Path("/sys/devices/system/cpu").glob("cpu[0-9]*")
        if (folder / "topology").is_dir()
    }
    return max(1, len(siblings))


def rendered(curves: Curves) -> str:
    """A file of curves: JSON with a list of numbers to a line."""
    text = curves.model_dump_json(indent=1)
    return re.sub(r"\[[\d.,\s]+\]", lambda found: " ".join(found[0].split()), text) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 something failed (one sentence on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_curves", description=__doc__)
    parser.add_argument("--name", default="this-machine", help="of the machine, for plans to quote")
    parser.add_argument(
        "--only", nargs="+", default=[f"{task}/{kind}" for task, kind in EVERYTHING], metavar="TASK/KIND"
    )
    parser.add_argument("--cell-seconds", type=float, default=2.0, help="of each batch and number of instances")
    parser.add_argument("--seconds", type=float, default=6.0, help="of one photo at a time through the gateway")
    parser.add_argument("--physical-cores", type=int, help="if the hypervisor hides that cores are halves of one")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    what = [(Task(one.partition("/")[0]), one.partition("/")[2]) for one in options.only]
    try:
        curves = measure(what, Times(options.cell_seconds, options.seconds), options.name)
    except (GeneratorError, NoPhotos, StackError, grpc.RpcError) as error:
        print(f"plan_curves: {error}", file=sys.stderr)
        return 1
    if options.physical_cores:
        curves = curves.model_copy(update={"physical_cores": options.physical_cores})
    options.out.write_text(rendered(curves))
    for one in curves.profiles:
        cells = ", ".join(f"{cell.batch}x{cell.busy}: {cell.ms:.1f}" for cell in one.service)
        print(f"{one.task}/{one.photos}: {cells} ms; edge {one.edge_loop_ms:.2f}+{one.edge_threads_ms:.2f}, triton "
              f"{one.triton_ms:.2f}, client {one.client_ms:.2f}, rest {one.rest_ms:.2f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
