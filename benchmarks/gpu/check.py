"""The gate before any figure: an engine has to answer as the CPU release does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.gpu.engines import CPU, ONNXRUNTIME, Floats, NoEngine, Run, load
from contract.release import Thresholds
from contract.tensors import CLASSIFIER, DETECTOR, MAX_BATCH
from imaging.decode import Pixels
from postprocess.nms import keep

MIN_AGREEMENT: Final = 0.98
"""Share of photos with the same best leaf (classifier), or as many animals (detector): the release's own gate."""

BATCHES: Final = (1, 5, MAX_BATCH)
"""Batch sizes that are compared: alone, one that a CUDA graph pads, and the largest."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """An engine beside onnxruntime on the CPU, float32 file, same pictures."""

    network: str
    photos: int
    agreement: float
    difference: float
    """The largest of any probability (classifier) or score (detector)."""

    @property
    def holds(self) -> bool:
        """Whether figures of this engine are worth taking."""
        return self.agreement >= MIN_AGREEMENT


def reference(network: str, file: Path, pictures: Pixels) -> Floats:
    """What the CPU release's float32 file answers. Raises NoEngine where onnxruntime is missing."""
    return _ask(load(ONNXRUNTIME, network, file, CPU, file.parent), pictures, 1)


def compare(network: str, run: Run, pictures: Pixels, exact: Floats, thresholds: Thresholds) -> Agreement:
    """The worst agreement over ``BATCHES``. Raises NoEngine if the engine answers another shape."""
    agreements, differences = [], []
    for size in BATCHES:
        found = _ask(run, pictures, size)
        if found.shape != exact.shape:
            raise NoEngine(f"it answers {found.shape} for the {network}, and the CPU release {exact.shape}")
        agreements.append(_agreement(network, found, exact, thresholds))
        ours, theirs = (found[..., 4], exact[..., 4]) if network == DETECTOR else (found, exact)
        differences.append(float(np.abs(ours - theirs).max()))
    return Agreement(network, len(pictures), min(agreements), max(differences))


def _agreement(network: str, found: Floats, exact: Floats, thresholds: Thresholds) -> float:
    if network == CLASSIFIER:
        return float((found.argmax(axis=1) == exact.argmax(axis=1)).mean())
    counts = [_counts(rows, thresholds) for rows in (found, exact)]
    return float(np.mean([ours == theirs for ours, theirs in zip(*counts, strict=True)]))


def _counts(answers: Floats, thresholds: Thresholds) -> Sequence[int]:
    return [len(keep(rows, thresholds.detect_from, thresholds.overlap)) for rows in answers]


def _ask(run: Run, pictures: Pixels, size: int) -> Floats:
    return np.concatenate([run(pictures[at : at + size]) for at in range(0, len(pictures), size)])
