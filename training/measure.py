"""Measure one classifier file on the held-back photos."""

from __future__ import annotations

from pathlib import Path

from training.base_weights import load_base
from training.dataset import BASE_WEIGHTS, read_manifest, trainable
from training.evaluate import Answers, Figures, Progress, ask, held_out, measure
from training.network import load_taxonomy
from training.predict import base_predictor, load_checkpoint, onnx_predictor, torch_predictor
from training.split import split_photos


def measure_file(data: Path, file: Path, seed: int, progress: Progress) -> Figures:
    """Figures of a ``.onnx`` file or a checkpoint on the test part that ``seed`` holds back.

    Raises DataError or CheckpointError if a file is missing or does not fit.
    """
    taxonomy = load_taxonomy()
    network = onnx_predictor(file) if file.suffix == ".onnx" else torch_predictor(load_checkpoint(file, taxonomy))
    photos = read_manifest(data)
    test = held_out(photos, split_photos(data, trainable(photos), seed).test)
    release, base = ask(data, test, [network, base_predictor(load_base(data / BASE_WEIGHTS))], progress)
    return measure(Answers(tuple(test), release, base), taxonomy)
