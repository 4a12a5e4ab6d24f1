"""The whole training: split, cache, tune the candidates, choose one on validation, measure it on test."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from contract.taxonomy import Taxonomy
from training.base_weights import load_base
from training.cache import Cached, cache_served, cache_views
from training.calibrate import best_offset, raised, unseen_rows
from training.classes import accepted_leaves
from training.dataset import BASE_WEIGHTS, NO_ANIMAL_SET, Photo, read_manifest, trainable
from training.evaluate import (
    EMPTY_FROM,
    Answers,
    Figures,
    Progress,
    ask,
    held_out,
    log_loss,
    measure,
    unknown_below,
)
from training.losses import accepted_rows
from training.mobilenet import MobileNetV2
from training.network import AnimalClassifier, Fold, extend_head, load_taxonomy
from training.predict import base_predictor, torch_predictor
from training.split import Split, split_photos
from training.tune import Recipe, Targets, cached_probabilities, tune

CHECKPOINT: Final = "checkpoint.pt"
EVALUATION: Final = "evaluation.json"

VIEWS: Final = 10
"""Random views of every training photo; an epoch sees one of each, so some are seen twice."""

HEAD_ONLY: Final = Recipe("head_only", epochs=16, head_rate=1e-3, block_rate=0.0, forgetting=1.0)
FINE_TUNED: Final = Recipe("fine_tuned", epochs=16, head_rate=1e-3, block_rate=1e-4, forgetting=1.0)
CANDIDATES: Final = (HEAD_ONLY, FINE_TUNED)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``fit`` found out. ``validation`` and ``test`` hold the figures of every candidate by its name.

    ``photos`` counts the parts; ``offset`` is what unseen animals were raised by, in logits.
    """

    seed: int
    chosen: str
    photos: dict[str, int]
    offset: float
    thresholds: dict[str, float]
    validation: dict[str, Figures]
    test: dict[str, Figures]

    def to_json(self) -> str:
        """Readable JSON with a trailing newline."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> Evaluation:
        """The inverse of :meth:`to_json`."""
        fields: dict[str, Any] = json.loads(text)
        return Evaluation(**fields)


def fit(data: Path, out: Path, seed: int, progress: Progress) -> Evaluation:
    """Train and write ``checkpoint.pt`` and ``evaluation.json`` into ``out``.

    Candidates are tuned on the training part and compared on validation; then each is tuned again on
    both parts, and the better one is saved. Deterministic for a seed on one machine. Raises DataError
    or CheckpointError if the data directory is not complete.
    """
    torch.manual_seed(seed)
    photos = read_manifest(data)
    split = split_photos(data, trainable(photos), seed)
    base = load_base(data / BASE_WEIGHTS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    views = cache_views(base, data, (*split.train, *split.validation), VIEWS, seed, progress)
    served = cache_served(base, data, split.validation, progress)
    trials = {recipe.name: _trial(base, views, served, split, recipe, seed, progress) for recipe in CANDIDATES}
    chosen = min(trials, key=lambda name: trials[name].log_loss)
    wanted = targets((*split.train, *split.validation), load_taxonomy())
    tuned = {
        recipe.name: _tuned(base, views, wanted, recipe, trials[recipe.name].offset, seed, progress)
        for recipe in CANDIDATES
    }
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"seed": seed, "recipe": chosen, "state": tuned[chosen].state_dict()}, out / CHECKPOINT)
    evaluation = Evaluation(
        seed=seed,
        chosen=chosen,
        photos={part: len(getattr(split, part)) for part in ("train", "validation", "test")},
        offset=trials[chosen].offset,
        thresholds={"unknown_below": trials[chosen].unknown_below, "empty_from": EMPTY_FROM},
        validation={name: trial.figures for name, trial in trials.items()},
        test=_on_test(data, held_out(photos, split.test), base, tuned, progress),
    )
    (out / EVALUATION).write_text(evaluation.to_json(), encoding="utf-8")
    return evaluation


@dataclass(frozen=True, slots=True)
class _Trial:
    """What validation says of one candidate: its offset for unseen animals, its threshold and its figures.

    Candidates are compared by their log loss, which is finer than shares of a few hundred photos.
    """

    offset: float
    log_loss: float
    unknown_below: float
    figures: Figures


def _trial(
    base: MobileNetV2,
    views: list[Cached],
    served: Cached,
    split: Split,
    recipe: Recipe,
    seed: int,
    progress: Progress,
) -> _Trial:
    taxonomy = load_taxonomy()
    wanted = targets(split.train, taxonomy)
    part = [Cached(view.trunk[: len(split.train)], view.base_logits[: len(split.train)]) for view in views]
    network = _tuned(base, part, wanted, recipe, 0.0, seed, progress)
    rows = unseen_rows(wanted.accepted, taxonomy)

    def answers(offset: float) -> Answers:
        return on_cached(raised(network, rows, offset), served, split.validation, taxonomy)

    offset = best_offset(lambda offset: score(measure(answers(offset), taxonomy)))
    best = answers(offset)
    return _Trial(offset, log_loss(best, taxonomy), unknown_below(best, taxonomy), measure(best, taxonomy))


def _tuned(
    base: MobileNetV2,
    views: list[Cached],
    wanted: Targets,
    recipe: Recipe,
    offset: float,
    seed: int,
    progress: Progress,
) -> MobileNetV2:
    """The base network, extended, tuned and with unseen animals raised by ``offset``."""
    taxonomy = load_taxonomy()
    network = tune(extend_head(base, taxonomy), views, wanted, recipe, seed, progress)
    return raised(network, unseen_rows(wanted.accepted, taxonomy), offset)


def targets(photos: tuple[Photo, ...], taxonomy: Taxonomy) -> Targets:
    """Accepted rows and weights; a class weighs the square root of its photos, so that small ones count."""
    folders = ["" if photo.set == NO_ANIMAL_SET else photo.cls for photo in photos]
    count = Counter(folders)
    weight = torch.tensor([count[folder] ** -0.5 for folder in folders])
    accepted = torch.stack([accepted_rows(accepted_leaves(photo, taxonomy), taxonomy) for photo in photos])
    return Targets(accepted, weight / weight.mean())


def score(figures: Figures) -> float:
    """What an offset must not lower on validation: animals named rightly and objects surely refused, their mean."""
    return (figures["top1"] + figures["no_animal.sure"]) / 2


def on_cached(network: MobileNetV2, cached: Cached, photos: tuple[Photo, ...], taxonomy: Taxonomy) -> Answers:
    """The answers of a tuned network and of the base network to cached photos."""
    release = cached_probabilities(network, cached, Fold(taxonomy))
    base = cached.base_logits.float().softmax(dim=1).numpy()
    return Answers(photos, release, np.asarray(base, np.float32))


def _on_test(
    data: Path, photos: list[Photo], base: MobileNetV2, tuned: dict[str, MobileNetV2], progress: Progress
) -> dict[str, Figures]:
    """Figures of every candidate on the held-back photos, each photo decoded as serving does."""
    taxonomy = load_taxonomy()
    predictors = [torch_predictor(AnimalClassifier(network, taxonomy).eval()) for network in tuned.values()]
    before, *after = ask(data, photos, [base_predictor(base), *predictors], progress)
    return {
        name: measure(Answers(tuple(photos), release, before), taxonomy)
        for name, release in zip(tuned, after, strict=True)
    }
