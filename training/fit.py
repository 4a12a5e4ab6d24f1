"""The whole training: tune the candidates, choose and calibrate on validation, measure on the test part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from contract.taxonomy import Taxonomy
from training.calibrate import best_offset, best_temperature, raised, unseen_rows
from training.certainty import FOLDERS, diagram, measure_certainty
from training.dataset import BOXES
from training.evaluate import Answers, Figures, Probabilities, Progress, ask, log_loss, measure
from training.material import Material, gather, targets
from training.mobilenet import MobileNetV2
from training.network import extend_head, halved, load_taxonomy
from training.predict import base_predictor, folded, logits_predictor
from training.reliability import Reliability
from training.thresholds import Calibration, calibrated
from training.tune import Recipe, cached_logits, tune

CHECKPOINT: Final = "checkpoint.pt"
EVALUATION: Final = "evaluation.json"

HEAD_ONLY: Final = Recipe("head_only", epochs=16, head_rate=1e-3, block_rate=0.0, forgetting=1.0)
FINE_TUNED: Final = Recipe("fine_tuned", epochs=16, head_rate=1e-3, block_rate=1e-4, forgetting=1.0)
CANDIDATES: Final = (HEAD_ONLY, FINE_TUNED)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``fit`` found out. ``validation`` and ``test`` hold the figures of every candidate by its name.

    ``photos`` counts the parts; ``offset`` is what unseen animals were raised by, in logits; ``calibration`` and
    ``reliability`` (before and after temperature scaling, on the test part) are the chosen candidate's.
    """

    seed: int
    chosen: str
    photos: dict[str, int]
    offset: float
    calibration: Calibration
    validation: dict[str, Figures]
    test: dict[str, Figures]
    reliability: dict[str, dict[str, list[float]]]

    def to_json(self) -> str:
        """Readable JSON with a trailing newline."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> Evaluation:
        """The inverse of :meth:`to_json`."""
        fields: dict[str, Any] = json.loads(text)
        return Evaluation(**fields | {"calibration": Calibration(**fields["calibration"])})


def fit(data: Path, out: Path, cache: Path, seed: int, progress: Progress) -> Evaluation:
    """Train and write ``checkpoint.pt`` and ``evaluation.json`` into ``out``.

    Candidates are tuned on the training part, compared and calibrated on validation; then each is tuned
    again on both parts, and the better one is saved. Deterministic for a seed on one machine. Raises
    DataError or CheckpointError if the data directory is not complete.
    """
    torch.manual_seed(seed)
    material = gather(data, cache, seed, progress)
    trials = {recipe.name: try_out(material, recipe, frozenset(), seed, progress) for recipe in CANDIDATES}
    chosen = min(trials, key=lambda name: trials[name].log_loss)
    tuned = {
        recipe.name: halved(
            _tuned(material, recipe, frozenset(), trials[recipe.name].offset, seed, progress, both=True)
        )
        for recipe in CANDIDATES
    }
    test, reliability = _on_test(data, material, tuned, trials, chosen, progress)
    evaluation = Evaluation(
        seed=seed,
        chosen=chosen,
        photos={part: len(getattr(material.split, part)) for part in ("train", "validation", "test")},
        offset=trials[chosen].offset,
        calibration=trials[chosen].calibration,
        validation={name: trial.figures for name, trial in trials.items()},
        test=test,
        reliability=reliability,
    )
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = {
        "seed": seed,
        "recipe": chosen,
        "temperature": evaluation.calibration.temperature,
        "state": {name: values.half() for name, values in tuned[chosen].state_dict().items()},
    }
    torch.save(checkpoint, out / CHECKPOINT)
    (out / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
    return evaluation


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate tuned on the training part alone, and what validation says of it.

    Candidates are compared by their log loss, which is finer than shares of a few hundred photos.
    """

    network: MobileNetV2
    offset: float
    calibration: Calibration
    log_loss: float
    figures: Figures


def try_out(material: Material, recipe: Recipe, left_out: frozenset[str], seed: int, progress: Progress) -> Trial:
    """Tune on the training part without the folders ``left_out`` and calibrate on validation without them.

    Log loss and calibration leave the lions of boxes/ out: they are many, easy and all of one folder, and
    would make thresholds too lenient for the others.
    """
    taxonomy = load_taxonomy()
    network = _tuned(material, recipe, left_out, 0.0, seed, progress, both=False)
    learned, _ = material.learned(lambda photo: photo.cls not in left_out, both=False)
    unseen = unseen_rows(targets(learned, taxonomy).accepted, taxonomy)
    kept = [row for row, photo in enumerate(material.validation) if photo.cls not in left_out]
    photos = tuple(material.validation[row] for row in kept)
    served = material.served.of(torch.tensor(kept))
    base = _base_probabilities(served.base_logits)

    def answers(offset: float, temperature: float = 1.0) -> Answers:
        logits = cached_logits(raised(network, unseen, offset), served)
        return Answers(photos, folded(logits, taxonomy, temperature), base)

    offset = best_offset(lambda offset: score(measure(answers(offset), taxonomy)))
    network = raised(network, unseen, offset)
    clean = [row for row, photo in enumerate(photos) if photo.set != BOXES]
    chosen = tuple(photos[row] for row in clean)
    logits = cached_logits(network, served.of(torch.tensor(clean)))
    temperature = best_temperature(torch.from_numpy(logits), targets(chosen, taxonomy).accepted)
    sure = folded(logits, taxonomy, temperature)
    calibration = calibrated(sure, chosen, taxonomy, temperature)
    loss = log_loss(Answers(chosen, sure, base[clean]), taxonomy)
    figures = measure(answers(offset, temperature), taxonomy, calibration.empty_from)
    return Trial(network, offset, calibration, loss, figures)


def _tuned(
    material: Material,
    recipe: Recipe,
    left_out: frozenset[str],
    offset: float,
    seed: int,
    progress: Progress,
    *,
    both: bool,
) -> MobileNetV2:
    """The base network, extended, tuned and with unseen animals raised by ``offset``."""
    taxonomy = load_taxonomy()
    photos, views = material.learned(lambda photo: photo.cls not in left_out, both=both)
    wanted = targets(photos, taxonomy)
    network = tune(extend_head(material.base, taxonomy), views, wanted, recipe, seed, progress)
    return raised(network, unseen_rows(wanted.accepted, taxonomy), offset)


def score(figures: Figures) -> float:
    """What an offset must not lower on validation: animals named rightly and objects surely refused, their mean."""
    return (figures["top1"] + figures["no_animal.sure"]) / 2


def _base_probabilities(logits: torch.Tensor) -> Probabilities:
    return np.asarray(logits.float().softmax(dim=1).numpy(), np.float32)


def _on_test(
    data: Path,
    material: Material,
    tuned: dict[str, MobileNetV2],
    trials: dict[str, Trial],
    chosen: str,
    progress: Progress,
) -> tuple[dict[str, Figures], dict[str, dict[str, list[float]]]]:
    """Figures of every candidate on the held-back photos as serving shows them, and the chosen one's reliability."""
    taxonomy = load_taxonomy()
    photos = material.held_out
    networks = [base_predictor(material.base), *map(logits_predictor, tuned.values())]
    base, *logits = ask(data, photos, networks, progress)
    figures = {}
    for name, said in zip(tuned, logits, strict=True):
        calibration = trials[name].calibration
        answers = Answers(photos, folded(said, taxonomy, calibration.temperature), base)
        figures[name] = measure_all(answers, taxonomy, calibration)
        if name == chosen:
            curves = diagram(folded(said, taxonomy, 1.0), answers.release, photos, taxonomy)
            figures[name][f"ece.{FOLDERS}.before"] = round(Reliability(**curves["before"]).error, 4)
    return figures, curves


def measure_all(answers: Answers, taxonomy: Taxonomy, calibration: Calibration) -> Figures:
    """What the card reports of a calibrated network."""
    figures = measure(answers, taxonomy, calibration.empty_from)
    return figures | measure_certainty(answers, taxonomy, calibration)
