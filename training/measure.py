"""Measure one classifier file on the held-back photos."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from contract.manifest import MANIFEST_NAME
from contract.release import Release
from contract.tensors import ANIMALS
from training.base_weights import load_base
from training.dataset import BASE_WEIGHTS, read_manifest, trainable
from training.errors import CheckpointError
from training.evaluate import Answers, Figures, Progress, ask, held_out, measure
from training.fit import EVALUATION, Evaluation, measure_all
from training.network import load_taxonomy
from training.predict import ONNX_IN_RELEASE, base_predictor, load_checkpoint, onnx_predictor, torch_predictor
from training.split import split_photos
from training.thresholds import Calibration


def measure_file(data: Path, file: Path, calibration: Calibration | None, seed: int, progress: Progress) -> Figures:
    """Figures of a ``.onnx`` file or a checkpoint on the test part that ``seed`` holds back.

    Without thresholds those that need some are left out. Raises DataError or CheckpointError if a file is
    missing or does not fit.
    """
    taxonomy = load_taxonomy()
    network = onnx_predictor(file) if file.suffix == ".onnx" else torch_predictor(load_checkpoint(file, taxonomy))
    photos = read_manifest(data)
    test = held_out(photos, split_photos(data, trainable(photos), seed).test)
    release, base = ask(data, test, [network, base_predictor(load_base(data / BASE_WEIGHTS))], progress)
    answers = Answers(tuple(test), release, base)
    return measure(answers, taxonomy) if calibration is None else measure_all(answers, taxonomy, calibration)


def measure_checkpoint(data: Path, file: Path, seed: int, progress: Progress) -> Figures:
    """Figures of a checkpoint with the thresholds of the ``evaluation.json`` beside it."""
    evaluation = file.with_name(EVALUATION)
    if not evaluation.is_file():
        raise CheckpointError(f"No {EVALUATION} beside {file}. Make both with `python -m training fit`.")
    calibration = Evaluation.from_json(evaluation.read_text(encoding="utf-8")).calibration
    return measure_file(data, file, calibration, seed, progress)


def measure_release(data: Path, repository: Path, seed: int, progress: Progress) -> Figures:
    """Figures of the classifier in a model repository with its release's thresholds."""
    manifest = repository / ANIMALS / "1" / MANIFEST_NAME
    if not manifest.is_file():
        raise CheckpointError(f"No release in {repository}. Build one with `python -m export build`.")
    try:
        thresholds = Release.model_validate_json(manifest.read_text(encoding="utf-8")).thresholds
    except ValidationError as error:
        raise CheckpointError(f"{manifest} is not of this version. Build the release again.") from error
    calibration = Calibration(
        temperature=1.0,  # the graph holds its own
        sure_from=thresholds.sure_from,
        empty_from=thresholds.empty_from,
        alternatives_from=thresholds.alternatives_from,
        coverage=thresholds.coverage,
    )
    return measure_file(data, repository / ONNX_IN_RELEASE, calibration, seed, progress)
