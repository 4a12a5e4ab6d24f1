"""Photos that exported graphs are fitted to and held against: a version of a data set, a data directory or a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

from contract.photo_status import PhotoError
from contract.taxonomy import Taxonomy
from export.errors import RepositoryError
from imaging.decode import Pixels, decode_photo
from training.classes import accepted_leaves
from training.dataset import BLANK, BOXES, MANIFEST, NEW_SPECIES, Photo, read_manifest
from training.datasets import read_dataset
from training.datasets.store import DATASET

FITTED_FROM: Final = 4
"""Where nobody says which photos were learned from, grids are fitted to every fourth, and the rest is compared."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo's file, the leaves that are right for it, () where nobody says, and whether grids may be fitted to it:
    then no figure is measured on it."""

    path: Path
    group: str
    accepted: tuple[int, ...]
    fitted: bool


def read_samples(folders: Iterable[Path], taxonomy: Taxonomy) -> list[Sample]:
    """All photos below the folders: of a version of a data set with its labels and parts, of a data directory with a
    manifest likewise, of any other folder with the names of its folders as labels where they are leaves.

    Raises RepositoryError if a folder is missing or there is no photo at all, and DataError.
    """
    samples: list[Sample] = []
    for folder in folders:
        if not folder.is_dir():
            raise RepositoryError(f"There is no folder {folder}. Point --photos to a data set or a folder of photos.")
        if (folder / DATASET).is_file():
            samples += _of_dataset(folder, taxonomy)
        elif (folder / MANIFEST).is_file():
            samples += _of_manifest(folder, taxonomy)
        else:
            samples += _of_folder(folder, taxonomy)
    if not samples:
        raise RepositoryError("There are no photos in --photos. A graph is held against its network on real ones.")
    return samples


def chosen(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most ``count``, as many of each group as of any other as far as they go."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    turns = chain.from_iterable(zip_longest(*(groups[name] for name in sorted(groups))))
    return [sample for sample in turns if sample is not None][:count]


def decoded(samples: Iterable[Sample]) -> Iterator[tuple[Sample, Pixels]]:
    """Each with UINT8 [224, 224, 3] as serving decodes it; what it refuses is left out."""
    for sample in samples:
        try:
            yield sample, decode_photo(sample.path.read_bytes()).pixels
        except PhotoError:
            continue


def _of_dataset(folder: Path, taxonomy: Taxonomy) -> Iterator[Sample]:
    dataset = read_dataset(folder)
    for photo in dataset.photos:
        yield Sample(dataset.root / photo.path, photo.label, _leaf(photo.label, taxonomy), photo.part == "train")


def _of_manifest(folder: Path, taxonomy: Taxonomy) -> Iterator[Sample]:
    """Boxes are left out: their photos are all of one species."""
    photos = [photo for photo in read_manifest(folder) if photo.set != BOXES and photo.cls != BLANK]
    for number, photo in enumerate(photos):
        accepted = _accepted(photo, taxonomy)
        yield Sample(folder / photo.path, f"{photo.set}/{photo.cls}", accepted, number % FITTED_FROM == 0)


def _of_folder(folder: Path, taxonomy: Taxonomy) -> Iterator[Sample]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for number, file in enumerate(files):
        label = file.parent.name
        yield Sample(file, label, _leaf(label, taxonomy), number % FITTED_FROM == 0)


def _accepted(photo: Photo, taxonomy: Taxonomy) -> tuple[int, ...]:
    """A new species has been a leaf of its own since it was added; before, its relative's leaf was right."""
    own = _leaf(photo.cls, taxonomy) if photo.set == NEW_SPECIES else ()
    return own or accepted_leaves(photo, taxonomy)


def _leaf(label: str, taxonomy: Taxonomy) -> tuple[int, ...]:
    return tuple(leaf.index for leaf in taxonomy if leaf.key == label)
