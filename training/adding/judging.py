"""What is made of a trained network's logits: calibration on validation photos, figures on held-back ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from contract.taxonomy import Taxonomy
from training.adding.base_release import BaseRelease
from training.adding.figures import Judged, addition_figures
from training.adding.recipe import AddRecipe
from training.adding.trainer import History
from training.calibrate import best_temperature
from training.certainty import measure_certainty, on_diagram
from training.dataset import ADDED, BOXES, Photo
from training.evaluate import Answers, Figures, Probabilities, measure
from training.fit import Evaluation
from training.predict import folded
from training.thresholds import Calibration, more_careful

ENOUGH: Final = 50
"""New validation photos from which on they say how sure the network may be."""

Fold = Callable[[Probabilities, float], Probabilities]
"""Logits FP32 [N, rows] at a temperature -> probabilities FP32 [N, leaves]."""


@dataclass(frozen=True, slots=True)
class Said:
    """Photos of one part and what both networks say of them.

    ``base_logits`` [N, the base release's rows], ``logits`` FP32 [N, rows], ``accepted`` BOOL [N, rows].
    """

    photos: tuple[Photo, ...]
    roots: tuple[Path, ...]
    base_logits: torch.Tensor
    logits: Probabilities
    accepted: torch.Tensor

    def without_lions(self) -> list[int]:
        """Numbers of the photos of the reliability diagram: lions are many, easy and all of one folder."""
        return [row for row, photo in enumerate(self.photos) if photo.set != BOXES]


def calibrate(base: BaseRelease, taxonomy: Taxonomy, said: Said, fold: Fold) -> Calibration:
    """The more careful of the release's own temperature and thresholds and what the new validation photos ask for.

    Old validation photos say nothing here: ``fit`` learns from them in the end, so the release is surer of them than
    of any others. Fewer than ``ENOUGH`` new ones do not say enough either: then the release's own stay.
    """
    thresholds = base.manifest.thresholds
    own = Calibration(
        temperature=base.temperature,
        sure_from=thresholds.sure_from,
        empty_from=thresholds.empty_from,
        alternatives_from=thresholds.alternatives_from,
        coverage=thresholds.coverage,
    )
    rows = [row for row, photo in enumerate(said.photos) if photo.set == ADDED]
    if len(rows) < ENOUGH:
        return own
    temperature = max(own.temperature, best_temperature(torch.from_numpy(said.logits[rows]), said.accepted[rows]))
    photos = [said.photos[row] for row in rows]
    own = replace(own, temperature=temperature)
    return more_careful(own, fold(said.logits[rows], temperature), photos, taxonomy)


def judge(
    base: BaseRelease,
    taxonomy: Taxonomy,
    recipe: AddRecipe,
    history: History,
    seed: int,
    counts: dict[str, int],
    validation: Said,
    test: Said,
    fold: Fold,
) -> tuple[Evaluation, Judged]:
    """Calibrate and measure; ``counts`` are photos by part. The evaluation is what ``fit`` writes, and more figures."""
    calibration = calibrate(base, taxonomy, validation, fold)
    before = folded(np.asarray(test.base_logits.float().numpy()), base.taxonomy, base.temperature)
    after = fold(test.logits, calibration.temperature)
    judged = Judged(test.photos, base.taxonomy, before, taxonomy, after)
    evaluation = Evaluation(
        seed=seed,
        chosen=recipe.name,
        photos=counts,
        offset=0.0,
        calibration=calibration,
        validation={recipe.name: history.epochs[history.best]},
        test={recipe.name: _figures(judged, calibration)},
        reliability=_reliability(test, taxonomy, {"before": fold(test.logits, 1.0), "after": after}),
    )
    return evaluation, judged


def _figures(judged: Judged, calibration: Calibration) -> Figures:
    answers = Answers(judged.photos, judged.after)
    figures = addition_figures(judged) | measure(answers, judged.taxonomy, calibration.empty_from)
    return figures | measure_certainty(answers, judged.taxonomy, calibration)


def _reliability(test: Said, taxonomy: Taxonomy, said: dict[str, Probabilities]) -> dict[str, dict[str, list[float]]]:
    rows = test.without_lions()
    photos = [test.photos[row] for row in rows]
    return {name: asdict(on_diagram(leaves[rows], photos, taxonomy)) for name, leaves in said.items()}
