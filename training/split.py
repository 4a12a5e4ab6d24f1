"""Training, validation and held-back test part: by class and source, near-duplicates kept together."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from training.dataset import Photo, read_bytes
from training.errors import DataError

TEST_SHARE: Final = 0.2
VALIDATION_SHARE: Final = 0.12
"""Of what the test part leaves."""

HASH_SIDE: Final = 8
NEAR_BITS: Final = 12
"""Photos of one class that differ in at most so many of the 63 bits are one group.

Measured on species/ and no_animal/: 111 pairs within a class are this near, among them Caltech-101's
mirrored leopards and cut-outs of one picture; from 13 bits on unlike pictures meet by chance
(46 pairs of *different* classes at 12, 300 at 14, of 2.7 million).
"""


@dataclass(frozen=True, slots=True)
class Split:
    """Three disjoint parts. No group of near-duplicates has photos in two of them."""

    train: tuple[Photo, ...]
    validation: tuple[Photo, ...]
    test: tuple[Photo, ...]


def split_photos(data: Path, photos: Sequence[Photo], seed: int) -> Split:
    """Split by class and source with a seeded shuffle of the groups of near-duplicates.

    A class's part depends on its own photos alone. A photo that is given twice counts once.
    """
    train: list[Photo] = []
    validation: list[Photo] = []
    test: list[Photo] = []
    strata: dict[tuple[str, str], list[list[Photo]]] = defaultdict(list)
    for group in near_duplicates(data, tuple(dict.fromkeys(photos))):
        strata[(f"{group[0].set}/{group[0].cls}", group[0].source)].append(group)
    for key in sorted(strata):
        groups = strata[key]
        random.Random(f"{seed} {key}").shuffle(groups)
        rest = _take(groups, TEST_SHARE, test)
        for group in _take(rest, VALIDATION_SHARE, validation):
            train.extend(group)
    return Split(tuple(train), tuple(validation), tuple(test))


def near_duplicates(data: Path, photos: Sequence[Photo]) -> list[list[Photo]]:
    """Groups of photos of one folder and source that look alike, mirrored or not (single linkage)."""
    folders: dict[tuple[str, str, str], list[Photo]] = defaultdict(list)
    for photo in photos:
        folders[(photo.set, photo.cls, photo.source)].append(photo)
    return [group for key in sorted(folders) for group in _group(data, folders[key])]


def perceptual_hash(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """63 bits of a grey picture: which low DCT coefficients of its 32x32 reduction exceed their median.

    The DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions",
    2010, section 3.2.1; the constant coefficient is left out.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:HASH_SIDE, :HASH_SIDE].ravel()[1:]
    bits: npt.NDArray[np.bool_] = low > np.median(low)
    return bits


def _take(groups: list[list[Photo]], share: float, into: list[Photo]) -> list[list[Photo]]:
    """Move whole groups into a part until it has its share; the groups that are left."""
    wanted = share * sum(map(len, groups))
    taken = 0
    rest = []
    for group in groups:
        if taken + len(group) / 2 <= wanted:
            into.extend(group)
            taken += len(group)
        else:
            rest.append(group)
    return rest


def _group(data: Path, photos: list[Photo]) -> list[list[Photo]]:
    hashes, mirrored = [], []
    for photo in photos:
        grey = cv2.imdecode(np.frombuffer(read_bytes(data, photo), np.uint8), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise DataError(f"{photo.path} cannot be decoded. Restore it or take it out of the manifest.")
        pixels = grey.astype(np.uint8, copy=False)
        hashes.append(perceptual_hash(pixels))
        mirrored.append(perceptual_hash(np.ascontiguousarray(pixels[:, ::-1])))
    group_of = list(range(len(photos)))
    for i in range(len(photos)):
        for j in range(i):
            distance = min(np.count_nonzero(hashes[i] != other[j]) for other in (hashes, mirrored))
            if distance <= NEAR_BITS and group_of[i] != group_of[j]:
                old, new = group_of[i], group_of[j]
                group_of = [new if group == old else group for group in group_of]
    groups: dict[int, list[Photo]] = defaultdict(list)
    for photo, number in zip(photos, group_of, strict=True):
        groups[number].append(photo)
    return list(groups.values())
