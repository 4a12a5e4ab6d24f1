"""The whole training of the detector: split, teach, tune, choose thresholds on validation, measure on test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.dataset import Photo, read_manifest, trainable
from training.detector.blend import SHARES, blended
from training.detector.evaluate import START, Answers, Thresholds, held_out, measure, mistakes
from training.detector.network import AnimalDetector
from training.detector.predict import (
    Detect,
    ask,
    in_many_ways,
    load_checkpoint,
    onnx_detector,
    start_detector,
    torch_detector,
)
from training.detector.scenes import marked_scenes, reader, repeated
from training.detector.start import START_WEIGHTS, animals_only, load_start
from training.detector.teacher import taught_scenes
from training.detector.thresholds import Choice, choose
from training.detector.tune import Recipe, tune
from training.errors import CheckpointError
from training.evaluate import Figures, Progress
from training.fit import CHECKPOINT, EVALUATION
from training.split import Split, split_photos


@dataclass(frozen=True, slots=True)
class DetectorEvaluation:
    """What ``fit_detector`` found out: figures of the starting network (``before``) and of the tuned one (``after``).

    ``photos`` counts the parts; ``share`` (of the tuned network in the blend) and ``thresholds`` were chosen on
    validation; ``mistakes`` are the tuned one's on test.
    """

    seed: int
    photos: dict[str, int]
    share: float
    thresholds: dict[str, float]
    validation: dict[str, Figures]
    test: dict[str, Figures]
    mistakes: list[dict[str, Any]]

    def to_json(self) -> str:
        """Readable JSON with a trailing newline."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> DetectorEvaluation:
        """The inverse of :meth:`to_json`."""
        fields: dict[str, Any] = json.loads(text)
        return DetectorEvaluation(**fields)


def fit_detector(data: Path, out: Path, seed: int, progress: Progress) -> DetectorEvaluation:
    """Train and write ``checkpoint.pt`` and ``evaluation.json`` into ``out``.

    A run that was cut off goes on after its last whole epoch. Deterministic for a seed on one machine.
    Raises DataError or CheckpointError if the data directory is not complete.
    """
    torch.manual_seed(seed)
    photos = read_manifest(data)
    split = split_photos(data, trainable(photos), seed)
    start = load_start(data / START_WEIGHTS)
    read = reader(data)
    scenes = repeated([*marked_scenes(split.train), *taught_scenes(start, split.train, read, progress)])
    animals = animals_only(start)
    tuned = tune(animals, scenes, read, Recipe(), seed, out, progress)
    blends = {share: blended(animals, tuned, share) for share in SHARES}
    detectors = [torch_detector(AnimalDetector(network).eval()) for network in (animals, *blends.values())]
    before, *after = ask(data, split.validation, detectors, progress, in_many_ways)
    choice = choose(dict(zip(blends, after, strict=True)), before, split.validation)
    torch.save({"seed": seed, "state": blends[choice.share].state_dict()}, out / CHECKPOINT)
    evaluation = _evaluated(data, photos, split, out / CHECKPOINT, choice, seed, progress)
    (out / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
    return evaluation


def _evaluated(
    data: Path, photos: list[Photo], split: Split, checkpoint: Path, choice: Choice, seed: int, progress: Progress
) -> DetectorEvaluation:
    """The starting network and the saved one on photos as served."""
    detectors = [torch_detector(start_detector(data)), torch_detector(load_checkpoint(checkpoint))]
    before, after = _answers(data, split.validation, detectors, progress)
    validation = {"before": measure(before, START), "after": measure(after, choice.thresholds)}
    before, after = _answers(data, held_out(photos, split.test), detectors, progress)
    return DetectorEvaluation(
        seed=seed,
        photos={part: len(getattr(split, part)) for part in ("train", "validation", "test")},
        share=choice.share,
        thresholds=asdict(choice.thresholds),
        validation=validation,
        test={"before": measure(before, START), "after": measure(after, choice.thresholds)},
        mistakes=[asdict(mistake) for mistake in mistakes(after, choice.thresholds)],
    )


def measure_detector(data: Path, file: Path | None, thresholds: Thresholds, seed: int, progress: Progress) -> Figures:
    """Figures of a ``.onnx`` file, a checkpoint or, without a file, the starting network, on what ``seed`` holds back.

    Raises DataError or CheckpointError if a file is missing or does not fit.
    """
    if file is None:
        detect = torch_detector(start_detector(data))
    else:
        detect = onnx_detector(file) if file.suffix == ".onnx" else torch_detector(load_checkpoint(file))
    photos = read_manifest(data)
    test = held_out(photos, split_photos(data, trainable(photos), seed).test)
    (answers,) = _answers(data, test, [detect], progress)
    return measure(answers, thresholds)


def saved_thresholds(checkpoint: Path) -> Thresholds:
    """The thresholds beside a checkpoint of ``fit_detector``. Raises CheckpointError if there are none."""
    file = checkpoint.with_name(EVALUATION)
    if not file.is_file():
        raise CheckpointError(f"No {EVALUATION} beside {checkpoint}. Keep what `fit-detector` wrote together.")
    return Thresholds(**DetectorEvaluation.from_json(file.read_text(encoding="utf-8")).thresholds)


def _answers(data: Path, photos: Sequence[Photo], detectors: Sequence[Detect], progress: Progress) -> list[Answers]:
    return [Answers(tuple(photos), views[0]) for views in ask(data, photos, detectors, progress)]
