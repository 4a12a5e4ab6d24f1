"""What the photos cost without any server: bare decode and a bare engine, one process a core, for each task.

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

import numpy as np

from contract.options import Task
from contract.preprocessing import IMAGE_SIZE, SCENE_SIZE, VIEW_SIZE
from contract.release import Release
from contract.tensors import (
    ANIMALS,
    CLASSIFIER,
    DETECTIONS,
    DETECTOR,
    IMAGE,
    SCENE,
    probabilities,
)
from imaging.crops import crop_window
from imaging.decode import Pixels, decode_photo, decode_picture, stretched
from imaging.letterbox import letterbox, to_photo
from postprocess.nms import keep
from serving.models.networks import choose, has_amx, load
from serving.repository import read_config

START_LIMIT_S = 60.0
_PROBABILITIES = probabilities(0).name


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


def model_file(repository: Path, model: str) -> tuple[Path, str]:
    """The file of a network that the ``cpu`` profile serves here, and its engine."""
    config = read_config(repository / ANIMALS, "")
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    chosen = choose(model, parameters, bf16=has_amx())
    if chosen is None:
        raise BoundError(f"The cpu profile of {repository} does not run {model} inside {ANIMALS}: no bound.")
    return repository / model / "1" / chosen[0], chosen[1]


def measure(photos: Sequence[bytes], repository: Path, task: Task, seconds: float) -> Bound:
    """Work through ``photos`` again and again for ``seconds`` in one process per core. Raises BoundError."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for core in range(len(os.sched_getaffinity(0))):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, list(photos), repository, task, core, seconds), daemon=True
        )
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


def _work(pipe: Connection, photos: list[bytes], repository: Path, task: Task, core: int, seconds: float) -> None:
    """One process: sends "warm", waits for the word, then sends (photos, wall seconds, CPU seconds)."""
    import cv2

    cv2.setNumThreads(1)
    bare = Bare(repository, task)
    bare(photos[0])
    pipe.send("warm")
    pipe.recv()
    began, cpu_began = time.perf_counter(), time.process_time()
    at = core  # so that the processes are not all at the same photo
    while time.perf_counter() - began < seconds:
        bare(photos[at % len(photos)])
        at += 1
    pipe.send((at - core, time.perf_counter() - began, time.process_time() - cpu_began))


class Bare:
    """One task as a script would do it: called with a photo, it decodes it and asks the networks, no more."""

    def __init__(self, repository: Path, task: Task) -> None:
        manifest = (repository / "animals" / "1" / "release.json").read_text()
        self._thresholds = Release.model_validate_json(manifest).thresholds
        self._detector = load(*model_file(repository, DETECTOR)) if task is not Task.SPECIES else None
        self._classifier = load(*model_file(repository, CLASSIFIER)) if task is not Task.COUNT else None
        self._task = task

    def __call__(self, photo: bytes) -> None:
        """Answer one photo and throw the answer away."""
        if self._task is Task.SPECIES:
            self._classify(decode_photo(photo).pixels[None])
            return
        assert self._detector is not None
        picture = decode_picture(photo, long=VIEW_SIZE if self._task is Task.FULL else SCENE_SIZE)
        scene = letterbox(picture.pixels, SCENE_SIZE)[None]
        detections = self._detector.run([DETECTIONS.name], {SCENE.name: scene})[0][0]
        rows = keep(detections, self._thresholds.detect_from, self._thresholds.overlap)
        boxes = to_photo(detections[rows, :4], picture.width, picture.height)
        if self._task is Task.FULL:
            height, width = picture.pixels.shape[:2]
            windows = [crop_window((x1, y1, x2, y2), width, height) for x1, y1, x2, y2 in boxes.tolist()]
            crops = [picture.pixels[y1:y2, x1:x2] for x1, y1, x2, y2 in windows] or [picture.pixels]
            self._classify(np.stack([stretched(crop, IMAGE_SIZE) for crop in crops]))

    def _classify(self, pictures: Pixels) -> None:
        assert self._classifier is not None
        self._classifier.run([_PROBABILITIES], {IMAGE.name: pictures})
