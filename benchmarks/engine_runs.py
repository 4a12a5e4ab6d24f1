"""One network in one engine, in some number of processes, callers and threads: photos per second and what they cost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.figures import median
from contract.engines import import_openvino, read_for_one
from imaging.decode import Pixels

Run = Callable[[Pixels], Any]
"""UINT8 [N, rows, columns, 3] -> the network's first output, FP32 [N, ...]."""

ONNXRUNTIME: Final = "onnxruntime"
OPENVINO: Final = "openvino"
BFLOAT16: Final = "bfloat16"
"""Precision of a candidate that computes the float32 file so."""
START_LIMIT_S: Final = 120.0
EVENT: Final = "instructions:u"


class EngineError(RuntimeError):
    """A process of a run died or hung."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file and the engine that runs it."""

    network: str
    engine: str
    precision: str
    file: Path

    @property
    def name(self) -> str:
        """As the tables say it."""
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, slots=True)
class Layout:
    """``processes`` of ``callers`` threads each, every one of whom runs one picture after the other on ``threads``
    cores. ``hint``: OpenVINO's own choice of streams and threads instead (LATENCY or THROUGHPUT)."""

    name: str
    processes: int
    callers: int
    threads: int
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of a candidate in a layout; the latency is that of one call with one picture."""

    photos_per_s: float
    cpu_ms: float
    p50_ms: float
    instructions: float | None
    """Millions a photo, in user space; None where the machine has no counters."""


def layouts(engine: str, cores: int) -> list[Layout]:
    """What is tried on ``cores`` cores."""
    found = [
        Layout("alone", 1, 1, 1),
        Layout(f"{cores} processes x 1 thread", cores, 1, 1),
        Layout(f"1 process, {cores} callers x 1 thread", 1, cores, 1),
        Layout(f"1 process x {cores} threads", 1, 1, cores),
    ]
    if engine == OPENVINO:
        found.append(Layout("latency hint", 1, 1, 0, "LATENCY"))
        found.append(Layout("throughput hint", 1, cores, 0, "THROUGHPUT"))
    return found


def loaded(candidate: Candidate, layout: Layout) -> list[Run]:
    """One function for each caller. OpenVINO is given the shape of one picture, as which it is faster."""
    if candidate.engine == ONNXRUNTIME:
        return [_onnxruntime(candidate.file, layout.threads)] * layout.callers
    return _openvino(candidate, layout)


def _onnxruntime(file: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pictures: session.run(None, {name: pictures})[0]


def _openvino(candidate: Candidate, layout: Layout) -> list[Run]:
    core, model = read_for_one(candidate.file)
    tensor = import_openvino().Tensor
    # Always said: with AMX the choice of its own would be bfloat16.
    hint = "bf16" if candidate.precision == BFLOAT16 else "f32"
    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint}
    if layout.hint:
        properties["PERFORMANCE_HINT"] = layout.hint
    else:
        properties |= {"NUM_STREAMS": layout.callers, "INFERENCE_NUM_THREADS": layout.callers * layout.threads}
        properties["ENABLE_CPU_PINNING"] = False
    compiled = core.compile_model(model, "CPU", properties)

    def run_by(request: Any) -> Run:
        def run(pictures: Pixels) -> Any:
            rows = []
            for at in range(len(pictures)):
                request.infer({0: tensor(pictures[at : at + 1], shared_memory=True)})
                rows.append(request.get_output_tensor(0).data.copy())
            return np.concatenate(rows)

        return run

    return [run_by(compiled.create_infer_request()) for _ in range(layout.callers)]


def measure(candidate: Candidate, layout: Layout, pictures: Pixels, seconds: float) -> Figures:
    """Run ``pictures`` one by one for so long. Raises EngineError."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(layout.processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, candidate, layout, pictures, seconds), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            _answer(pipe, START_LIMIT_S)  # warmed up
        with _Counter([process.pid for process in processes if process.pid]) as counter:
            for pipe in pipes:
                pipe.send("go")
            results = [_answer(pipe, seconds + START_LIMIT_S) for pipe in pipes]
    finally:
        for process in processes:
            process.terminate()
            process.join()
    latencies = [sample for samples, *_ in results for sample in samples]
    photos = len(latencies)
    return Figures(
        photos_per_s=photos / max(wall for _, wall, _ in results),
        cpu_ms=1e3 * sum(cpu for _, _, cpu in results) / photos,
        p50_ms=1e3 * median(latencies),
        instructions=None if counter.count is None else counter.count / photos / 1e6,
    )


def _answer(pipe: Connection, limit_s: float) -> Any:
    try:
        if pipe.poll(limit_s):
            return pipe.recv()
    except EOFError:
        pass
    raise EngineError("A process of the comparison died or hung; what it said is above.")


def _work(pipe: Connection, candidate: Candidate, layout: Layout, pictures: Pixels, seconds: float) -> None:
    """One process: sends "warm", waits for the word, then sends (seconds of every call, wall and CPU seconds)."""
    runs = loaded(candidate, layout)
    for run in runs:
        for at in range(3):
            run(pictures[at % len(pictures)][None])
    samples: list[list[float]] = [[] for _ in runs]
    pipe.send("warm")
    pipe.recv()
    began, cpu_began = time.perf_counter(), time.process_time()

    def call(number: int) -> None:
        run, took = runs[number], samples[number]
        at = number
        while (start := time.perf_counter()) - began < seconds:
            run(pictures[at % len(pictures)][None])
            took.append(time.perf_counter() - start)
            at += 1

    callers = [threading.Thread(target=call, args=(number,)) for number in range(1, len(runs))]
    for caller in callers:
        caller.start()
    call(0)
    for caller in callers:
        caller.join()
    pipe.send(([one for took in samples for one in took], time.perf_counter() - began, time.process_time() - cpu_began))


class _Counter:
    """``perf stat`` on processes from ``__enter__`` to ``__exit__``, where there is perf and it can count."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.count: float | None = None
        self._command = ["perf", "stat", "-x", ",", "-e", EVENT, "-p", ",".join(map(str, pids))]
        self._perf: subprocess.Popen[str] | None = None

    def __enter__(self) -> _Counter:
        try:
            self._perf = subprocess.Popen(
                self._command, stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C")
            )
        except OSError:
            self._perf = None
        return self

    def __exit__(self, *what: object) -> None:
        if self._perf is None:
            return
        if self._perf.poll() is None:
            self._perf.send_signal(signal.SIGINT)
        _, said = self._perf.communicate(timeout=10)
        self.count = counted(said)


def counted(said: str) -> float | None:
    """The count in the output of ``perf stat -x ,``; None if nothing was counted."""
    for line in said.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].startswith("instructions") and fields[0].strip().isdigit():
            return float(fields[0])
    return None
