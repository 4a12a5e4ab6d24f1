"""``python -m benchmarks.fuzz``: thousands of spoiled photos among good ones, and nobody else may notice.

Half of the uploads go through the gateway, which looks at them first, half straight to Triton, where only the
decoder stands between them and their batch. Every good photo has to be answered, every other one answered or
refused with a typed reason, no process may die and no call may hang.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import numpy as np
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from benchmarks import cpu
from benchmarks import photos as photo_sets
from benchmarks.mutations import Mutant, Mutator
from benchmarks.photos import NoPhotos, bytes_element
from benchmarks.stack import PLAIN, ROOT, StackError, running_stack, workshop
from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from contract.options import TASKS, Task
from contract.photo_status import PhotoStatus
from contract.tensors import ANIMALS, PHOTO, STATUS

CALL_TIMEOUT_S: Final = 60.0
"""A call that takes longer hangs. The worst mutant of a small photo takes below a second."""

TYPED: Final = frozenset(status.code for status in PhotoStatus if not status.answered)
ANSWERED: Final = frozenset(status.code for status in PhotoStatus if status.answered)


@dataclass(slots=True)
class Tally:
    """What became of the uploads: outcomes by kind, what must not happen, and the slowest call in seconds."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[tuple[Mutant, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, mutant: Mutant, outcome: str, seconds: float) -> None:
        """Count one outcome; a fault is what is neither an answer nor, for a spoiled photo, a typed refusal."""
        right = outcome in ANSWERED or (not mutant.good and outcome in TYPED)
        with self.lock:
            self.outcomes[mutant.kind, outcome] += 1
            self.slowest_s = max(self.slowest_s, seconds)
            if not right:
                self.faults.append((mutant, outcome))


Ask = Callable[[Mutant, Task], str]
"""Send one upload; the word for what became of it."""


def ask_gateway(stub: BestiaryStub) -> Ask:
    """Through the gateway: ``ok``, ``partial``, or the reason that it gives."""
    tasks = {Task.SPECIES: pb.TASKS_SPECIES, Task.COUNT: pb.TASKS_COUNT, Task.FULL: pb.TASKS_FULL}

    def ask(mutant: Mutant, task: Task) -> str:
        request = pb.ClassifyRequest(
            photo=mutant.data, filename=mutant.filename, ack=pb.ACK_LEVEL_ACCEPTED, tasks=tasks[task]
        )
        # The stream, because it gives the reason as a word.
        call = stub.ClassifyStream(iter([pb.ClassifyStreamRequest(key="x", request=request)]), timeout=CALL_TIMEOUT_S)
        reply = next(call)
        if reply.HasField("failure"):
            return str(reply.failure.reason)
        partial = reply.classification.status == pb.RECORD_STATUS_PARTIAL
        return (PhotoStatus.PARTIAL if partial else PhotoStatus.OK).code

    return ask


def ask_triton(stub: GRPCInferenceServiceStub, model: str) -> Ask:
    """Straight to ``model``, an ``animals``: the word of its STATUS."""

    def ask(mutant: Mutant, task: Task) -> str:
        tensor = service_pb2.ModelInferRequest.InferInputTensor(name=PHOTO.name, datatype=PHOTO.datatype, shape=(1, 1))
        output = service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=STATUS.name)
        request = service_pb2.ModelInferRequest(
            model_name=model, inputs=[tensor], outputs=[output], raw_input_contents=[bytes_element(mutant.data)]
        )
        request.parameters[TASKS].string_param = task.value
        reply = stub.ModelInfer(request, timeout=CALL_TIMEOUT_S)
        return PhotoStatus(int(np.frombuffer(reply.raw_output_contents[0], np.int32)[0])).code

    return ask


def fuzz(mutator: Mutator, numbers: range, gateway: str, triton: str, in_flight: int, model: str = ANIMALS) -> Tally:
    """Send the uploads ``numbers`` to both addresses in turn, ``in_flight`` at once."""
    tally = Tally()
    with ExitStack() as channels:
        options = (("grpc.max_send_message_length", -1),)
        to_gateway = channels.enter_context(grpc.insecure_channel(gateway, options=options))
        to_triton = channels.enter_context(grpc.insecure_channel(triton, options=options))
        asks = (ask_gateway(BestiaryStub(to_gateway)), ask_triton(GRPCInferenceServiceStub(to_triton), model))

        def send(number: int) -> None:
            mutant = mutator.make(number)
            ask, task = asks[(number + number // 8) % 2], tuple(Task)[number % len(Task)]
            began = time.monotonic()
            try:
                outcome = ask(mutant, task)
            except grpc.RpcError as error:
                outcome = f"{error.code().name}: {error.details()}"
            tally.note(mutant, outcome, time.monotonic() - began)

        with ThreadPoolExecutor(in_flight) as pool:
            for batch in _batched(numbers, 500):
                list(pool.map(send, batch))
    return tally


def _batched(numbers: range, size: int) -> Iterator[tuple[int, ...]]:
    """``itertools.batched``, which Python 3.11 lacks."""
    every = iter(numbers)
    while batch := tuple(itertools.islice(every, size)):
        yield batch


def print_tally(console: Console, tally: Tally, seconds: float) -> None:
    """Outcomes by kind of damage."""
    outcomes = sorted({outcome for _, outcome in tally.outcomes})
    table = Table(title=f"{sum(tally.outcomes.values())} uploads in {seconds:.0f} s", title_justify="left")
    table.add_column("what was sent")
    for outcome in outcomes:
        table.add_column(outcome[:24], justify="right")
    for kind in sorted({kind for kind, _ in tally.outcomes}):
        table.add_row(kind, *(str(tally.outcomes[kind, outcome] or "") for outcome in outcomes))
    console.print(table)
    console.print(f"slowest call {tally.slowest_s:.2f} s, faults {len(tally.faults)}", highlight=False)


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 all is well, 1 a fault (the uploads are kept), 2 it could not be run."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 180)
    try:
        mutator = Mutator(photo_sets.load(options.photos).photos[: options.base_photos], options.seed)
        extra = ("--repository", str(options.repository), "--preprocess", options.preprocess, PLAIN)
        with workshop("fuzz") as folder, running_stack(folder, *extra) as stack:
            before = {process.pid: process.role for process in cpu.family(stack.process.pid)}
            began = time.monotonic()
            tally = fuzz(mutator, range(options.number), stack.gateway_grpc, stack.triton_grpc, options.in_flight)
            seconds = time.monotonic() - began
            after = {process.pid: process.role for process in cpu.family(stack.process.pid)}
    except (NoPhotos, StackError) as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 2
    print_tally(console, tally, seconds)
    gone = sorted(role for pid, role in before.items() if pid not in after)
    console.print(f"processes that died: {', '.join(gone) or 'none'}", highlight=False)
    for mutant, outcome in tally.faults[:50]:
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / mutant.filename).write_bytes(mutant.data)
        console.print(f"{options.keep / mutant.filename}: {mutant.kind} -> {outcome}", highlight=False)
    return 1 if tally.faults or gone else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--number", type=int, default=20_000, help="uploads, one in eight of them good (default 20000)")
    parser.add_argument("--seed", type=int, default=1, help="upload N of a seed is always the same (default 1)")
    parser.add_argument("--photos", type=Path, help="folder of images to spoil; without it, views of a bundled photo")
    parser.add_argument("--base-photos", type=int, default=8, help="how many of them to use (default 8)")
    parser.add_argument("--in-flight", type=int, default=16, help="calls at once (default 16)")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository", help="release to serve")
    parser.add_argument("--preprocess", default="default", help="decoder, as for `bestiary up`")
    parser.add_argument("--keep", type=Path, default=ROOT / "var" / "fuzz", help="where faulty uploads are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
