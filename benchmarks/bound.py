"""What the photos cost without any server: bare decode and bare onnxruntime, one process a core.

No protocol, no copy between processes, no storage: no server on this machine can be faster with the
same decoder and the same network, so a server's distance from it is what serving costs.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from contract.tensors import CLASSIFIER, IMAGE
from imaging.decode import decode_photo

START_LIMIT_S = 60.0


class BoundError(RuntimeError):
    """A process of the bound died."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Photos done by all processes together, per second, and what each cost."""

    photos: int
    seconds: float
    cpu_seconds: float

    @property
    def photos_per_s(self) -> float:
        """Of all processes together."""
        return self.photos / self.seconds

    @property
    def cpu_ms_per_photo(self) -> float:
        """CPU milliseconds, mean."""
        return 1e3 * self.cpu_seconds / self.photos


def model_file(repository: Path) -> Path:
    """The classifier's network in a model repository."""
    return repository / CLASSIFIER / "1" / "model.onnx"


def measure(photos: Sequence[bytes], model: Path, seconds: float) -> Bound:
    """Work through ``photos`` again and again for ``seconds`` in one process per core. Raises BoundError."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for core in range(len(os.sched_getaffinity(0))):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, list(photos), model, core, seconds), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            _answer(pipe, START_LIMIT_S)  # warmed up
        for pipe in pipes:
            pipe.send("go")
        results = [_answer(pipe, seconds + START_LIMIT_S) for pipe in pipes]
    finally:
        for process in processes:
            process.terminate()
            process.join()
    return Bound(
        photos=sum(done for done, _, _ in results),
        seconds=max(wall for _, wall, _ in results),
        cpu_seconds=sum(cpu for _, _, cpu in results),
    )


def _answer(pipe: Connection, limit_s: float) -> Any:
    try:
        if pipe.poll(limit_s):
            return pipe.recv()
    except EOFError:
        pass
    raise BoundError("A process of the bound died or hung; what it said is above.")


def _work(pipe: Connection, photos: list[bytes], model: Path, core: int, seconds: float) -> None:
    """One process: sends "warm", waits for the word, then sends (photos, wall seconds, CPU seconds)."""
    import cv2
    import onnxruntime

    cv2.setNumThreads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def identify(photo: bytes) -> None:
        session.run(None, {IMAGE.name: decode_photo(photo).pixels[None]})

    identify(photos[0])
    pipe.send("warm")
    pipe.recv()
    began, cpu_began = time.perf_counter(), time.process_time()
    at = core  # so that the processes are not all at the same photo
    while time.perf_counter() - began < seconds:
        identify(photos[at % len(photos)])
        at += 1
    pipe.send((at - core, time.perf_counter() - began, time.process_time() - cpu_began))
