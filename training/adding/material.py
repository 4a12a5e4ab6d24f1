"""The photos of an addition as the base release's frozen trunk shows them, computed once and kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from contract.taxonomy import NO_ANIMAL, Taxonomy
from training.adding.base_release import BaseRelease
from training.adding.machine import Machine
from training.adding.recipe import AddRecipe
from training.adding.sources import Source
from training.adding.trainer import LOSS, Batch
from training.cache import CUT, Cached, cache_served, cache_views
from training.classes import accepted_leaves
from training.dataset import ADDED, BOXES, Photo
from training.evaluate import Figures, Probabilities, Progress, right
from training.losses import accepted_rows, forgetting_loss, set_loss
from training.material import LION_WEIGHT
from training.mobilenet import MobileNetV2, pooled
from training.predict import folded
from training.tune import Targets

SHARES: Final = {"new": 0.4, "old": 0.4, "none": 0.2}
"""Of the loss. Animals push objects aside where these are left with what their few photos weigh: of 88 held-back
objects 4 more were taken for animals."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Photos of one part, of all sources, and what the trunk makes of them as serving shows them."""

    photos: tuple[Photo, ...]
    roots: tuple[Path, ...]
    cached: Cached


@dataclass(frozen=True, slots=True)
class Material:
    """Training photos with their random ``views``; validation and test as served."""

    train: tuple[Photo, ...]
    views: list[Cached]
    validation: Shown
    test: Shown


def gather(
    base: BaseRelease, sources: Sequence[Source], recipe: AddRecipe, seed: int, cache: Path, progress: Progress
) -> Material:
    """Show all photos to the base release; views are kept below ``cache``. Raises DataError for a lost photo."""
    by_source = [
        cache_views(
            base.network,
            source.root,
            source.train,
            recipe.views,
            seed,
            cache / source.name,
            _named(progress, f"{source.name} photos"),
            base.classifier,
        )
        for source in sources
        if source.train
    ]
    return Material(
        train=tuple(photo for source in sources for photo in source.train),
        views=[_joined(views) for views in zip(*by_source, strict=True)],
        validation=_shown(base, sources, "validation", progress),
        test=_shown(base, sources, "test", progress),
    )


def _shown(base: BaseRelease, sources: Sequence[Source], part: str, progress: Progress) -> Shown:
    photos: list[Photo] = []
    roots: list[Path] = []
    cached: list[Cached] = []
    for source in sources:
        chosen: tuple[Photo, ...] = getattr(source, part)
        photos += chosen
        roots += [source.root] * len(chosen)
        cached.append(cache_served(base.network, source.root, chosen, _named(progress, f"{source.name} {part}")))
    return Shown(tuple(photos), tuple(roots), _joined(cached))


def _joined(pieces: Sequence[Cached]) -> Cached:
    return Cached(torch.cat([one.trunk for one in pieces]), torch.cat([one.base_logits for one in pieces]))


def _named(progress: Progress, what: str) -> Progress:
    return lambda _, done, total: progress(what, done, total)


def targets(photos: Sequence[Photo], taxonomy: Taxonomy) -> Targets:
    """Accepted rows and weights of photos."""
    accepted = [accepted_rows(accepted_leaves(photo, taxonomy), taxonomy) for photo in photos]
    return Targets(torch.stack(accepted), weights(photos, taxonomy))


def weights(photos: Sequence[Photo], taxonomy: Taxonomy) -> torch.Tensor:
    """FP32 [M] with mean 1: new animals, old animals and no animal have their ``SHARES`` in all, where there are any.

    Within each a class weighs the square root of its photos, as in ``fit``; lions less, as they are many and easy.
    """
    none = taxonomy.by_key(NO_ANIMAL).index
    leaves = [accepted_leaves(photo, taxonomy) for photo in photos]
    kinds = ["" if none in right else photo.cls for photo, right in zip(photos, leaves, strict=True)]
    count = Counter(kinds)
    weight = torch.tensor(
        [
            count[kind] ** -0.5 * (LION_WEIGHT if photo.set == BOXES and kind else 1.0)
            for photo, kind in zip(photos, kinds, strict=True)
        ]
    )
    sides = [
        "none" if not kind else "new" if photo.set == ADDED else "old"
        for photo, kind in zip(photos, kinds, strict=True)
    ]
    for side, share in SHARES.items():
        rows = torch.tensor([of == side for of in sides])
        if rows.any():
            weight[rows] *= share / weight[rows].sum()
    return weight / weight.mean()


class Tail(nn.Module):
    """What is tuned: the blocks from ``training.cache.CUT`` on and the head."""

    def __init__(self, network: MobileNetV2) -> None:
        super().__init__()
        self.blocks = network.blocks[CUT:]
        self.head = network.head

    def forward(self, trunk: torch.Tensor) -> torch.Tensor:
        """[N, 160, 7, 7] FP16 or FP32 -> logits [N, rows] FP32."""
        activations = trunk.float().contiguous(memory_format=torch.channels_last)
        logits: torch.Tensor = self.head(pooled(self.blocks(activations)))
        return logits


class CachedCourse:
    """:class:`training.adding.trainer.Course` over cached views."""

    def __init__(self, material: Material, taxonomy: Taxonomy, recipe: AddRecipe, seed: int) -> None:
        self._views = material.views
        self._targets = targets(material.train, taxonomy)
        self._validation = material.validation
        self._accepted = targets(material.validation.photos, taxonomy).accepted
        self._taxonomy = taxonomy
        self._batch = recipe.batch
        self._seed = seed

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._targets.weight) // self._batch)

    def batches(self, epoch: int, machine: Machine) -> Iterator[Batch]:
        """One view of every photo, shuffled; each of several processes has its share of every batch."""
        view = self._views[epoch % len(self._views)]
        shuffle = torch.Generator().manual_seed(1_000_003 * self._seed + epoch)
        order = torch.randperm(len(self._targets.weight), generator=shuffle)
        for start in range(0, len(order), self._batch):
            chosen = machine.share(order[start : start + self._batch])
            yield Batch(
                view.trunk[chosen],
                view.base_logits[chosen],
                self._targets.accepted[chosen],
                self._targets.weight[chosen],
            )

    def examine(self, model: nn.Module, machine: Machine) -> Figures:
        """Loss and top-1 on validation, new and old apart; the loss that decides is the sum of both.

        Without old photos the divergence from the base release stands in for theirs.
        """
        logits = tail_logits(model, self._validation.cached, machine)
        said = folded(np.asarray(logits.numpy(), np.float32), self._taxonomy, 1.0)
        shown = self._validation
        return examined(logits, shown.photos, said, shown.cached.base_logits.float(), self._accepted, self._taxonomy)


def examined(
    logits: torch.Tensor,
    photos: Sequence[Photo],
    leaves: Probabilities,
    taught: torch.Tensor,
    accepted: torch.Tensor,
    taxonomy: Taxonomy,
) -> Figures:
    """What :meth:`CachedCourse.examine` reports: from logits FP32 [N, rows], the probabilities of leaves that they
    are, and what the base release would have ``taught``, FP32 [N, its rows]."""
    lost = set_loss(logits, accepted)
    correct = right(leaves, photos, taxonomy)
    figures: Figures = {}
    for name, added in (("new", True), ("old", False)):
        rows = [row for row, photo in enumerate(photos) if (photo.set == ADDED) is added]
        if rows:
            figures[f"validation.{name}.loss"] = float(lost[rows].mean())
            figures[f"validation.{name}.top1"] = float(correct[rows].mean())
    figures["validation.divergence"] = float(forgetting_loss(logits, taught, accepted).mean())
    beside = figures.get("validation.old.loss", figures["validation.divergence"])
    return figures | {LOSS: figures["validation.new.loss"] + beside}


def tail_logits(model: nn.Module, cached: Cached, machine: Machine) -> torch.Tensor:
    """A tail's logits for cached photos: FP32 [M, rows], on the processor."""
    with torch.inference_mode():
        pieces = [model(piece.to(machine.device)).float().cpu() for piece in torch.split(cached.trunk, 256)]
    return torch.cat(pieces)
