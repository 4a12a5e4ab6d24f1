"""The whole of an addition: a data set and a release in, a checkpoint with what is known of it out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from contract.taxonomy import Taxonomy, parse_taxonomy
from training.adding.base_release import BaseRelease
from training.adding.figures import Judged
from training.adding.judging import Said, judge
from training.adding.machine import Machine
from training.adding.material import CachedCourse, Material, Shown, Tail, gather, tail_logits, targets
from training.adding.recipe import AddRecipe
from training.adding.sources import Source, added_source, old_source
from training.adding.taxonomy import extended, keys, with_new_rows
from training.adding.trainer import STATE, EpochDone, History, train
from training.datasets import Dataset
from training.errors import DataError
from training.evaluate import Figures, Probabilities, Progress
from training.fit import CHECKPOINT, EVALUATION, Evaluation
from training.mobilenet import MobileNetV2
from training.network import halved
from training.predict import folded

CACHE: Final = "cache"
"""Folder of the kept views, in the output folder."""

MOBILENET: Final = "the base release's MobileNetV2"


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked: a data set for a release, perhaps with the photos that the release was trained on."""

    base: BaseRelease
    dataset: Dataset
    sources: tuple[Source, ...]
    taxonomy: Taxonomy
    taxonomy_text: str
    seed: int

    def key(self, recipe: AddRecipe, network: str = MOBILENET) -> str:
        """SHA-256 of everything that the weights follow from, in hex."""
        told = (self.base.identity, self.dataset.identity, self.sources, self.taxonomy_text, self.seed, recipe, network)
        return hashlib.sha256(repr(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Added:
    """What came of it. ``network`` says in words which one was trained; ``roots`` where each judged photo lies;
    ``checkpoint`` is what is kept of the network."""

    task: Task
    recipe: AddRecipe
    network: str
    history: History
    evaluation: Evaluation
    judged: Judged
    roots: tuple[Path, ...]
    checkpoint: dict[str, Any]

    @property
    def figures(self) -> Figures:
        """On the held-back photos."""
        return self.evaluation.test[self.evaluation.chosen]


def make_task(
    base: BaseRelease, dataset: Dataset, old: Path | None, recipe: AddRecipe, seed: int, *, add_species: bool
) -> Task:
    """Read what is to be learned. Raises DataError if the two do not fit together."""
    known = keys(base.taxonomy)
    new = [one for one in dataset.species if one.key not in known]
    if new and not add_species:
        names = ", ".join(one.key for one in new)
        raise DataError(f"{dataset.identity} has species that the base release lacks ({names}). Give --add-species.")
    text = extended(base.taxonomy_text, [one.row() for one in new])
    taxonomy = parse_taxonomy(text)
    sources = [added_source(dataset, taxonomy)]
    if old is not None:
        sources.append(old_source(old, base.manifest.training.seed, recipe.old_per_class))
    return Task(base, dataset, tuple(sources), taxonomy, text, seed)


def add(task: Task, recipe: AddRecipe, out: Path, machine: Machine, progress: Progress, done: EpochDone) -> Added:
    """Train and measure; :func:`write` keeps it. Started again after a kill, it goes on after the last whole epoch.

    Deterministic for a seed on one machine. Raises DataError, CheckpointError or Diverged.
    """
    with machine.in_turn():
        material = gather(task.base, task.sources, recipe, task.seed, out / CACHE, progress)
    network, history = tuned(task, material, recipe, out / STATE, machine, telling(progress, recipe, done))
    network = halved(network)

    def said(shown: Shown) -> Said:
        logits = np.asarray(tail_logits(Tail(network), shown.cached, machine).numpy(), np.float32)
        accepted = targets(shown.photos, task.taxonomy).accepted
        return Said(shown.photos, shown.roots, shown.cached.base_logits, logits, accepted)

    def fold(logits: Probabilities, temperature: float) -> Probabilities:
        return folded(logits, task.taxonomy, temperature)

    counts = {
        "train": len(material.train),
        "validation": len(material.validation.photos),
        "test": len(material.test.photos),
    }
    test = said(material.test)
    evaluation, judged = judge(
        task.base, task.taxonomy, recipe, history, task.seed, counts, said(material.validation), test, fold
    )
    state = {name: values.half() for name, values in network.cpu().state_dict().items()}
    return Added(task, recipe, MOBILENET, history, evaluation, judged, test.roots, {"state": state})


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


def write(added: Added, out: Path) -> None:
    """``checkpoint.pt`` and ``evaluation.json``, as ``python -m export`` takes them."""
    checkpoint = {
        "seed": added.task.seed,
        "recipe": added.recipe.name,
        "settings": added.recipe.to_dict(),
        "temperature": added.evaluation.calibration.temperature,
        "taxonomy": added.task.taxonomy_text,
        "base_release": added.task.base.identity,
        "dataset": added.task.dataset.identity,
        **added.checkpoint,
    }
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f".{CHECKPOINT}"
    torch.save(checkpoint, unfinished)
    (out / EVALUATION).write_text(added.evaluation.to_json(), encoding="utf-8")
    unfinished.replace(out / CHECKPOINT)


def telling(progress: Progress, recipe: AddRecipe, done: EpochDone) -> EpochDone:
    """``done`` with a word to whoever watches."""

    def told(epoch: int, figures: Figures) -> None:
        progress("epochs", epoch, recipe.epochs)
        done(epoch, figures)

    return told
