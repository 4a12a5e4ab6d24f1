"""The networks of a release as ONNX files, each through its gate."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from export.detector_graph import check_detector_parity, parity_scenes, write_detector_onnx
from export.onnx_graph import write_onnx
from export.parity import check_agreement, check_parity, parity_photos
from export.quantize import quantise
from export.quantized_graph import write_quantised
from imaging.decode import Pixels
from training.base_weights import load_base
from training.dataset import BASE_WEIGHTS, Photo, read_manifest, trainable
from training.detector.predict import load_checkpoint as load_detector
from training.detector.predict import onnx_detector, torch_detector
from training.evaluate import Answers, Figures, Progress, ask
from training.fit import Evaluation, measure_all
from training.network import load_taxonomy
from training.predict import (
    base_predictor,
    load_checkpoint,
    onnx_predictor,
    openvino_predictor,
    torch_predictor,
)
from training.regions import parts, served_pixels
from training.split import Split, split_photos

CALIBRATION_PHOTOS: Final = 112
"""Training photos and crops that the 8-bit grids are fitted to."""


def write_classifier(checkpoint: Path, data: Path, file: Path) -> float:
    """Export a checkpoint to ``file`` and hold it against the network; the largest difference found."""
    taxonomy = load_taxonomy()
    classifier = load_checkpoint(checkpoint, taxonomy)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_onnx(classifier, file, len(taxonomy))
    return check_parity(torch_predictor(classifier), onnx_predictor(file), parity_photos(data))


def write_detector(checkpoint: Path, data: Path, file: Path) -> tuple[float, float]:
    """The same for the detector; the largest differences of a score and of an edge."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_detector_onnx(checkpoint, file)
    return check_detector_parity(torch_detector(load_detector(checkpoint)), onnx_detector(file), parity_scenes(data))


def write_int8(checkpoint: Path, data: Path, file: Path, evaluation: Evaluation, progress: Progress) -> Figures:
    """Quantise a checkpoint with photos of its training part, and hold the graph, in the engine that serves it, against
    the network on the held-back part, crops included: its figures. Raises ParityError if they differ too much."""
    taxonomy = load_taxonomy()
    classifier = load_checkpoint(checkpoint, taxonomy)
    split = split_photos(data, trainable(read_manifest(data)), evaluation.seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    quantised = quantise(classifier.network, calibration_pixels(data, split))
    write_quantised(classifier, quantised, taxonomy, file)
    photos = tuple(parts(split.test))
    networks = [torch_predictor(classifier), openvino_predictor(file), base_predictor(load_base(data / BASE_WEIGHTS))]
    exact, rounded, base = ask(data, photos, networks, progress)
    found = Answers(photos, rounded, base)
    gate = check_agreement(Answers(photos, exact, base), found, taxonomy)
    return measure_all(found, taxonomy, evaluation.calibration) | gate


def calibration_pixels(data: Path, split: Split) -> Pixels:
    """UINT8 [``CALIBRATION_PHOTOS``, 224, 224, 3], evenly spread over the training part."""
    photos: list[Photo] = parts(split.train)
    step = len(photos) / CALIBRATION_PHOTOS
    return np.stack([served_pixels(data, photos[int(number * step)]) for number in range(CALIBRATION_PHOTOS)])
