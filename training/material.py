"""What tuning starts from: the photos' parts and what the base network makes of them, read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from contract.taxonomy import NO_ANIMAL, Taxonomy
from training.base_weights import load_base
from training.cache import Cached, cache_served, cache_views
from training.classes import accepted_leaves
from training.dataset import BASE_WEIGHTS, BOXES, Photo, read_manifest, trainable
from training.evaluate import Progress, held_out
from training.losses import accepted_rows
from training.mobilenet import MobileNetV2
from training.regions import parts
from training.split import Split, split_photos
from training.tune import Targets

VIEWS: Final = 10
"""Random views of every training photo; an epoch sees one of each, so some are seen twice."""

LION_WEIGHT: Final = 0.25
"""Of a lion or its crop. They are a third of the training photos and one of 38 folders."""


@dataclass(frozen=True, slots=True)
class Material:
    """Photos and crops by part, ``views`` of train and validation together in this order, and ``served``:
    validation as serving shows it. ``held_out`` is what the figures of the card are measured on."""

    base: MobileNetV2
    split: Split
    train: tuple[Photo, ...]
    validation: tuple[Photo, ...]
    held_out: tuple[Photo, ...]
    views: list[Cached]
    served: Cached

    def learned(self, wanted: Callable[[Photo], bool], *, both: bool) -> tuple[tuple[Photo, ...], list[Cached]]:
        """The wanted photos of train, or of train and validation, with their views."""
        photos = (*self.train, *self.validation) if both else self.train
        rows = [row for row, photo in enumerate(photos) if wanted(photo)]
        return tuple(photos[row] for row in rows), [view.of(torch.tensor(rows)) for view in self.views]


def gather(data: Path, cache: Path, seed: int, progress: Progress) -> Material:
    """Read, split and show everything to the base network; views are kept in the folder ``cache``.

    Raises DataError or CheckpointError if the data directory is not complete.
    """
    photos = read_manifest(data)
    split = split_photos(data, trainable(photos), seed)
    train, validation = tuple(parts(split.train)), tuple(parts(split.validation))
    base = load_base(data / BASE_WEIGHTS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Material(
        base=base,
        split=split,
        train=train,
        validation=validation,
        held_out=tuple(held_out(photos, split.test)),
        views=cache_views(base, data, (*train, *validation), VIEWS, seed, cache, progress),
        served=cache_served(base, data, validation, progress),
    )


def targets(photos: Sequence[Photo], taxonomy: Taxonomy) -> Targets:
    """Accepted rows and weights; a class weighs the square root of its photos, so that small ones count.

    Lions weigh less by ``LION_WEIGHT``. Objects and backgrounds are one class.
    """
    none = taxonomy.by_key(NO_ANIMAL).index
    leaves = [accepted_leaves(photo, taxonomy) for photo in photos]
    folders = ["" if none in right else photo.cls for photo, right in zip(photos, leaves, strict=True)]
    count = Counter(folders)
    weight = torch.tensor(
        [
            count[folder] ** -0.5 * (LION_WEIGHT if photo.set == BOXES and folder else 1.0)
            for photo, folder in zip(photos, folders, strict=True)
        ]
    )
    return Targets(torch.stack([accepted_rows(right, taxonomy) for right in leaves]), weight / weight.mean())
