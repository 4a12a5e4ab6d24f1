"""What an engine or fewer bits change in the answers: held-back photos of the data set, float32 onnxruntime beside."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.engine_runs import OPENVINO, Candidate, EngineError, Layout, Run, loaded
from contract.engines import import_openvino
from contract.tensors import CLASSIFIER
from export.networks import CALIBRATION_PHOTOS, calibration_pixels
from imaging.decode import Pixels
from postprocess.nms import keep
from postprocess.species import SpeciesSums
from training.dataset import BOXES, Photo, of_set, read_bytes, read_manifest, trainable
from training.detector.predict import served_scene
from training.evaluate import right
from training.network import load_taxonomy
from training.regions import parts, served_pixels
from training.split import Split, split_photos

SEED: Final = 7
"""The seed that the releases of this repository are trained with; another one holds back other photos."""

ALONE: Final = Layout("alone", 1, 1, 1)
BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares 0..1. ``agreement``: photos with the same best species (classifier) or as many animals (detector) as the
    reference has. ``right``: photos with the right species, or the right number of animals. ``difference``: the largest
    of any probability or score."""

    photos: int
    agreement: float
    right: float
    difference: float


class HeldBack:
    """Photos that the release has not learned from, at most ``limit`` of them for each network."""

    def __init__(self, data: Path, limit: int) -> None:
        self._data = data
        self._split: Split = split_photos(data, trainable(read_manifest(data)), SEED)
        self._whole = _spread(list(parts(self._split.test)), limit)
        self._scenes = _spread([photo for photo in of_set(self._split.test, BOXES) if photo.boxes], limit)

    def pictures(self, network: str) -> Pixels:
        """UINT8 [N, side, side, 3] as serving shows them to the network."""
        if network == CLASSIFIER:
            return np.stack([served_pixels(self._data, photo) for photo in self._whole])
        return np.stack([served_scene(read_bytes(self._data, photo)) for photo in self._scenes])

    def calibration(self, network: str) -> Pixels:
        """The same of the training part, for quantisation after training."""
        if network == CLASSIFIER:
            return calibration_pixels(self._data, self._split)
        photos = _spread(of_set(self._split.train, BOXES), CALIBRATION_PHOTOS)
        return np.stack([served_scene(read_bytes(self._data, photo)) for photo in photos])

    def compared(self, network: str, exact: Any, answers: Any, detect_from: float, overlap: float) -> Accuracy:
        """``answers`` held against ``exact``, both the network's output for :meth:`pictures`."""
        if network == CLASSIFIER:
            return _species(self._whole, exact, answers)
        return _counts(self._scenes, exact, answers, detect_from, overlap)


def answers(candidate: Candidate, pictures: Pixels) -> Any:
    """A candidate's output for all pictures."""
    run: Run = loaded(candidate, ALONE)[0]
    return np.concatenate([run(pictures[at : at + BATCH]) for at in range(0, len(pictures), BATCH)])


def quantised(candidate: Candidate, pictures: Pixels, folder: Path) -> Candidate:
    """A float32 candidate in 8 bits by NNCF's quantisation after training, for OpenVINO. Raises EngineError where NNCF
    is not installed."""
    try:
        nncf = importlib.import_module("nncf")
        openvino = import_openvino()
    except ImportError:
        raise EngineError("nncf is not installed: pip install nncf openvino, or leave --nncf out.") from None
    model = openvino.Core().read_model(candidate.file)
    dataset = nncf.Dataset([picture[None] for picture in pictures])
    small = nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(pictures))
    file = Path(tempfile.mkdtemp(dir=folder)) / f"{candidate.network}.xml"
    openvino.save_model(small, file)
    return Candidate(candidate.network, OPENVINO, "int8 (NNCF)", file)


def _species(photos: Sequence[Photo], exact: Any, found: Any) -> Accuracy:
    taxonomy = load_taxonomy()
    best = [SpeciesSums(taxonomy).of(rows).argmax(axis=1) for rows in (exact, found)]
    return Accuracy(
        photos=len(photos),
        agreement=float((best[0] == best[1]).mean()),
        right=float(right(found, photos, taxonomy).mean()),
        difference=float(np.abs(exact - found).max()),
    )


def _counts(photos: Sequence[Photo], exact: Any, found: Any, detect_from: float, overlap: float) -> Accuracy:
    counts = [np.array([len(keep(rows, detect_from, overlap)) for rows in answer]) for answer in (exact, found)]
    there = np.array([len(photo.boxes) for photo in photos])
    return Accuracy(
        photos=len(photos),
        agreement=float((counts[0] == counts[1]).mean()),
        right=float((counts[1] == there).mean()),
        difference=float(np.abs(exact[..., 4] - found[..., 4]).max()),
    )


def _spread(photos: Sequence[Photo], limit: int) -> list[Photo]:
    """At most ``limit`` of the photos, evenly spread."""
    step = max(1.0, len(photos) / limit)
    return [photos[int(number * step)] for number in range(min(limit, len(photos)))]
