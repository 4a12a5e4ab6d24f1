"""The whole of an addition: a data set and a release in, a checkpoint with what is known of it out."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from contract.taxonomy import Taxonomy, parse_taxonomy
from training.adding.base_release import BaseRelease
from training.adding.figures import Judged, addition_figures
from training.adding.machine import Machine
from training.adding.material import CachedCourse, Material, Shown, Tail, gather, tail_probabilities, targets
from training.adding.recipe import AddRecipe
from training.adding.sources import Source, added_source, old_source
from training.adding.taxonomy import extended, keys, with_new_rows
from training.adding.trainer import STATE, EpochDone, History, train
from training.calibrate import best_temperature
from training.certainty import measure_certainty, on_diagram
from training.dataset import BOXES, NO_ANIMAL_SET, SPECIES
from training.datasets import Dataset
from training.errors import DataError
from training.evaluate import Answers, Figures, Progress, measure
from training.fit import CHECKPOINT, EVALUATION, Evaluation
from training.mobilenet import MobileNetV2
from training.network import halved
from training.predict import folded
from training.thresholds import Calibration, calibrated

CACHE: Final = "cache"
"""Folder of the kept views, in the output folder."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked: a data set for a release, perhaps with the photos that the release was trained on."""

    base: BaseRelease
    dataset: Dataset
    sources: tuple[Source, ...]
    taxonomy: Taxonomy
    taxonomy_text: str
    seed: int

    def key(self, recipe: AddRecipe) -> str:
        """SHA-256 of everything that the weights follow from, in hex."""
        told = (self.base.identity, self.dataset.identity, self.sources, self.taxonomy_text, self.seed, recipe)
        return hashlib.sha256(repr(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Added:
    """What came of it."""

    task: Task
    recipe: AddRecipe
    network: MobileNetV2
    history: History
    evaluation: Evaluation
    judged: Judged
    shown: Shown

    @property
    def figures(self) -> Figures:
        """On the held-back photos."""
        return self.evaluation.test[self.evaluation.chosen]


def make_task(
    base: BaseRelease, dataset: Dataset, old: Path | None, recipe: AddRecipe, seed: int, *, add_species: bool
) -> Task:
    """Read what is to be learned. Raises DataError if the two do not fit together."""
    new = [one for one in dataset.species if one.key not in keys(base.taxonomy)]
    if new and not add_species:
        names = ", ".join(one.key for one in new)
        raise DataError(f"{dataset.identity} has species that the base release lacks ({names}). Give --add-species.")
    text = extended(base.taxonomy_text, [one.row() for one in new])
    taxonomy = parse_taxonomy(text)
    sources = [added_source(dataset, taxonomy)]
    if old is not None:
        sources.append(old_source(old, base.manifest.training.seed, recipe.old_per_class))
    return Task(base, dataset, tuple(sources), taxonomy, text, seed)


def add(
    task: Task, recipe: AddRecipe, out: Path, machine: Machine, progress: Progress, done: EpochDone | None = None
) -> Added:
    """Train and measure; :func:`write` keeps it. Started again after a kill, it goes on after the last whole epoch.

    Deterministic for a seed on one machine. Raises DataError, CheckpointError or Diverged.
    """
    torch.manual_seed(task.seed)
    material = gather(task.base, task.sources, recipe, task.seed, out / CACHE, progress)
    network, history = tuned(task, material, recipe, out / STATE, machine, _telling(progress, recipe, done))
    network = halved(network.cpu())
    calibration = calibrate(task, network, material.validation, machine)
    judged, figures, reliability = judge(task, network, material.test, calibration, machine)
    counts = {part: len(getattr(material, part).photos) for part in ("validation", "test")}
    evaluation = Evaluation(
        seed=task.seed,
        chosen=recipe.name,
        photos={"train": len(material.train), **counts},
        offset=0.0,
        calibration=calibration,
        validation={recipe.name: history.epochs[history.best]},
        test={recipe.name: figures},
        reliability=reliability,
    )
    return Added(task, recipe, network, history, evaluation, judged, material.test)


def tuned(
    task: Task, material: Material, recipe: AddRecipe, state: Path | None, machine: Machine, done: EpochDone
) -> tuple[MobileNetV2, History]:
    """The base release's network with new rows, tuned on the training photos."""
    network = with_new_rows(task.base.network, task.base.taxonomy, task.taxonomy)
    network.requires_grad_(False)
    tail = Tail(network)
    tail.head.requires_grad_(True)
    tail.blocks.requires_grad_(recipe.block_rate > 0)
    groups = [{"params": list(tail.head.parameters()), "lr": recipe.head_rate}]
    if recipe.block_rate > 0:
        groups.append({"params": list(tail.blocks.parameters()), "lr": recipe.block_rate})
    course = CachedCourse(material, task.taxonomy, recipe, task.seed)
    history = train(tail, groups, course, recipe, task.seed, machine, state, task.key(recipe), done)
    return network.requires_grad_(False).eval(), history


def calibrate(task: Task, network: MobileNetV2, shown: Shown, machine: Machine) -> Calibration:
    """Temperature and thresholds on validation without lions, as ``fit`` does it.

    New photos alone say nothing of the old species and of empty photos: without photos of both the release's
    own temperature and thresholds stay.
    """
    thresholds = task.base.manifest.thresholds
    if not {SPECIES, NO_ANIMAL_SET} <= {photo.set for photo in shown.photos}:
        return Calibration(
            temperature=task.base.temperature,
            sure_from=thresholds.sure_from,
            empty_from=thresholds.empty_from,
            alternatives_from=thresholds.alternatives_from,
            coverage=thresholds.coverage,
        )
    rows = [row for row, photo in enumerate(shown.photos) if photo.set != BOXES]
    photos = tuple(shown.photos[row] for row in rows)
    logits = tail_probabilities(network, shown, machine)[rows]
    temperature = best_temperature(torch.from_numpy(logits), targets(photos, task.taxonomy).accepted)
    return calibrated(folded(logits, task.taxonomy, temperature), photos, task.taxonomy, temperature)


def judge(
    task: Task, network: MobileNetV2, shown: Shown, calibration: Calibration, machine: Machine
) -> tuple[Judged, Figures, dict[str, dict[str, list[float]]]]:
    """The held-back photos: who said what, all figures, and the reliability before and after temperature scaling."""
    logits = tail_probabilities(network, shown, machine)
    before = folded(np.asarray(shown.cached.base_logits.float().numpy()), task.base.taxonomy, task.base.temperature)
    after = folded(logits, task.taxonomy, calibration.temperature)
    judged = Judged(shown.photos, task.base.taxonomy, before, task.taxonomy, after)
    answers = Answers(shown.photos, after)
    figures = addition_figures(judged) | measure(answers, task.taxonomy, calibration.empty_from)
    figures |= measure_certainty(answers, task.taxonomy, calibration)
    raw = folded(logits, task.taxonomy, 1.0)
    rows = [row for row, photo in enumerate(shown.photos) if photo.set != BOXES]
    chosen = [shown.photos[row] for row in rows]
    curves = {
        name: on_diagram(leaves[rows], chosen, task.taxonomy) for name, leaves in (("before", raw), ("after", after))
    }
    return judged, figures, {name: asdict(curve) for name, curve in curves.items()}


def write(added: Added, out: Path) -> None:
    """``checkpoint.pt`` and ``evaluation.json``, as ``python -m export`` takes them."""
    checkpoint = {
        "seed": added.task.seed,
        "recipe": added.recipe.name,
        "temperature": added.evaluation.calibration.temperature,
        "state": {name: values.half() for name, values in added.network.state_dict().items()},
        "taxonomy": added.task.taxonomy_text,
        "base_release": added.task.base.identity,
        "dataset": added.task.dataset.identity,
        "settings": added.recipe.to_dict(),
    }
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f".{CHECKPOINT}"
    torch.save(checkpoint, unfinished)
    (out / EVALUATION).write_text(added.evaluation.to_json(), encoding="utf-8")
    unfinished.replace(out / CHECKPOINT)


def _telling(progress: Progress, recipe: AddRecipe, done: EpochDone | None) -> EpochDone:
    def told(epoch: int, figures: Figures) -> None:
        progress("epochs", epoch, recipe.epochs)
        if done is not None:
            done(epoch, figures)

    return told
