"""One measured run against one port of a running stack, and what several of them come to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tritonclient.grpc as over_grpc

from benchmarks import cpu
from benchmarks.figures import median
from benchmarks.perf_analyzer import PerfAnalyzer, Report
from benchmarks.photos import InputFile
from benchmarks.stack import Stack
from contract.options import TASKS, Task
from contract.photo_status import PhotoStatus
from contract.priority import PRIORITY, Priority
from contract.tensors import ANIMALS, MAX_BATCH, PHOTO, STATUS

CLIENT: Final = "perf_analyzer"
SETTLE_S: Final = 1.0
"""After a run: Triton counts a moment after it answers, and the gateway still stores what it journalled."""


class WrongAnswers(RuntimeError):
    """The servers did not do the work that was to be measured."""


@dataclass(frozen=True, slots=True)
class Batches:
    """What Triton counted for one model."""

    inferences: int
    executions: int

    @property
    def mean_size(self) -> float:
        """Photos per execution; 0 if nothing was executed."""
        return self.inferences / self.executions if self.executions else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of perf_analyzer against one port. CPU seconds by role are of the servers and the client."""

    report: Report
    photos: int
    cpu_s: dict[str, float]
    batches: dict[str, Batches]


@dataclass(frozen=True, slots=True)
class Summary:
    """Several runs: rates are means, latencies medians, costs are over all photos together."""

    photos: int
    photos_per_s: float
    rounds_photos_per_s: tuple[float, ...]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms_per_photo: dict[str, float]
    mean_batch: dict[str, float]

    @property
    def servers_cpu_ms(self) -> float:
        """CPU milliseconds per photo of everything but the client."""
        return sum(cost for role, cost in self.cpu_ms_per_photo.items() if role != CLIENT)


class Runner:
    """Runs perf_analyzer against the ports of one stack and accounts for every process."""

    def __init__(
        self, tool: PerfAnalyzer, stack: Stack, *, seconds: float, concurrency: int, task: Task = Task.FULL
    ) -> None:
        self._tool = tool
        self._stack = stack
        self._seconds = seconds
        self._concurrency = concurrency
        self._task = task

    def run(self, address: str, photos: InputFile) -> Run:
        """One run. Raises PerfAnalyzerError, WrongAnswers, ProcessesChanged."""
        started: list[tuple[float, dict[cpu.Process, float], dict[str, Batches]]] = []

        def on_load(client: int) -> None:
            counts = self._statistics()
            started.append((cpu.read_cpu(client), cpu.snapshot(self._stack.process.pid), counts))

        report, client_s = self._tool.run(
            address,
            ANIMALS,
            photos.path,
            seconds=self._seconds,
            concurrency=self._concurrency,
            # A closed loop waits for its answers: in a hurry it would be refused while admission learns its pace.
            parameters={TASKS: self._task.value, PRIORITY: Priority.BATCH.level},
            on_load=on_load,
        )
        time.sleep(SETTLE_S)
        client_before, before, counted = started[0]
        spent = cpu.used(before, cpu.snapshot(self._stack.process.pid)) | {CLIENT: client_s - client_before}
        batches = difference(counted, self._statistics())
        if not batches[ANIMALS].inferences:
            raise WrongAnswers(f"perf_analyzer reports answers, and Triton's {ANIMALS} counted none.")
        return Run(report, batches[ANIMALS].inferences, spent, batches)

    def _statistics(self) -> dict[str, Batches]:
        with over_grpc.InferenceServerClient(self._stack.triton_grpc) as client:
            found: Any = client.get_inference_statistics()
        return {model.name: Batches(model.inference_count, model.execution_count) for model in found.model_stats}


def difference(before: dict[str, Batches], after: dict[str, Batches]) -> dict[str, Batches]:
    """What was counted in between, by model."""
    none = Batches(0, 0)
    return {
        model: Batches(
            counts.inferences - before.get(model, none).inferences,
            counts.executions - before.get(model, none).executions,
        )
        for model, counts in after.items()
    }


def check_answered(address: str, photos: Sequence[bytes], task: Task) -> None:
    """Raise WrongAnswers unless Triton answers each of ``photos``: an undecodable one is answered too, and fast."""
    with over_grpc.InferenceServerClient(address) as client:
        for at in range(0, len(photos), MAX_BATCH):
            part = photos[at : at + MAX_BATCH]
            tensor = over_grpc.InferInput(PHOTO.name, [len(part), 1], PHOTO.datatype)
            tensor.set_data_from_numpy(np.array(part, np.object_)[:, None])
            answer: Any = client.infer(ANIMALS, [tensor], parameters={TASKS: task.value})
            bad = int((answer.as_numpy(STATUS.name) != PhotoStatus.OK).sum())
            if bad:
                raise WrongAnswers(f"Triton could not use {bad} of {len(part)} photos: give photos that are whole.")


def check_kept(blobs: Path, sent: frozenset[str]) -> int:
    """How many different photos the gateway keeps. Raises WrongAnswers if one was not sent: blobs are named by
    the SHA-256 of what arrived, so this shows that perf_analyzer delivers the photos unharmed."""
    kept = {path.stem for path in blobs.rglob("uploads/*/*") if path.is_file()}
    strange = len(kept - sent)
    if not kept or strange:
        raise WrongAnswers(f"The gateway keeps {len(kept)} photos, {strange} of which were not sent to it.")
    return len(kept)


def summarise(runs: Sequence[Run]) -> Summary:
    """Put the rounds of one target together. Raises ValueError if there is none."""
    photos = sum(run.photos for run in runs)
    spent = cpu.added(*(run.cpu_s for run in runs))
    models = runs[0].batches
    rates = tuple(run.report.photos_per_s for run in runs)
    return Summary(
        photos=photos,
        photos_per_s=sum(rates) / len(rates),
        rounds_photos_per_s=rates,
        p50_ms=median([run.report.p50_ms for run in runs]),
        p95_ms=median([run.report.p95_ms for run in runs]),
        p99_ms=median([run.report.p99_ms for run in runs]),
        cpu_ms_per_photo=cpu.ms_per_photo(spent, photos),
        mean_batch={model: _mean_batch([run.batches[model] for run in runs]) for model in models},
    )


def _mean_batch(counts: Sequence[Batches]) -> float:
    return Batches(sum(one.inferences for one in counts), sum(one.executions for one in counts)).mean_size
