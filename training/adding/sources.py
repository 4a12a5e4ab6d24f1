"""Photos to learn from and to be measured on: the new data set, and the old one where it is given."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.taxonomy import NO_ANIMAL, Taxonomy
from training.dataset import ADDED, BLANK, NO_ANIMAL_SET, Photo, read_manifest, trainable
from training.datasets import Dataset, DatasetPhoto, Part
from training.errors import DataError
from training.regions import parts
from training.split import split_photos

OBJECTS_SHARE: Final = 4
"""Objects, whatever their folder, and backgrounds are mixed in as so many folders of animals each."""


@dataclass(frozen=True, slots=True)
class Source:
    """Photos of one place by part; ``root / photo.path`` is a file. Crops and backgrounds stand among them."""

    name: str
    root: Path
    train: tuple[Photo, ...]
    validation: tuple[Photo, ...]
    test: tuple[Photo, ...]


def added_source(dataset: Dataset, taxonomy: Taxonomy) -> Source:
    """A version of a data set. Raises DataError if a part is empty or the taxonomy lacks a label."""
    strange = sorted({photo.label for photo in dataset.photos} - {leaf.key for leaf in taxonomy})
    if strange:
        raise DataError(
            f"{dataset.identity} has species that the base release lacks: {', '.join(strange)}. "
            "Give --add-species to teach it them."
        )

    def shown(part: Part) -> tuple[Photo, ...]:
        chosen = dataset.of_part(part)
        if not chosen:
            raise DataError(f"{dataset.identity} has no {part} photos. Add the data set again with more photos.")
        return tuple(parts(map(_photo, chosen)))

    return Source(ADDED, dataset.root, shown("train"), shown("validation"), shown("test"))


def _photo(photo: DatasetPhoto) -> Photo:
    return Photo(
        path=photo.path,
        set=ADDED,
        cls=photo.label,
        source=photo.source,
        licence=photo.licence,
        width=photo.width,
        height=photo.height,
        boxes=photo.boxes if photo.label != NO_ANIMAL else (),
    )


def old_source(data: Path, seed: int, per_class: int) -> Source:
    """The photos that the base release was trained on, in its own parts (``seed`` is the release's), so that what
    was held back then is held back now. Of training photos at most ``per_class`` of each folder are taken.

    Raises DataError if the directory is not a data set of ``python -m training``.
    """
    split = split_photos(data, trainable(read_manifest(data)), seed)
    return Source(
        "old",
        data,
        _sampled(parts(split.train), per_class, seed),
        _sampled(parts(split.validation), per_class or 20, seed),
        tuple(parts(split.test)),
    )


def _sampled(photos: Sequence[Photo], per_class: int, seed: int) -> tuple[Photo, ...]:
    """At most so many of each kind, seeded, in their order."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for row, photo in enumerate(photos):
        kinds[_kind(photo)].append(row)
    chosen: list[int] = []
    for kind in sorted(kinds):
        wanted = per_class * (OBJECTS_SHARE if kind in {NO_ANIMAL, BLANK} else 1)
        rows = kinds[kind]
        chosen += random.Random(f"{seed} {kind}").sample(rows, min(wanted, len(rows)))
    return tuple(photos[row] for row in sorted(chosen))


def _kind(photo: Photo) -> str:
    if photo.cls == BLANK:
        return BLANK
    if photo.set == NO_ANIMAL_SET:
        return NO_ANIMAL
    return f"{photo.cls} crop" if photo.crop else photo.cls
