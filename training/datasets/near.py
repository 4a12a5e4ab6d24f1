"""Pairs of photos that show nearly the same picture, mirrored or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.datasets.inspect import SKETCH_SIDE, Looked
from training.split import NEAR_BITS

NEAR_CORRELATION: Final = 0.8
"""Two photos are near if their hashes differ in at most ``NEAR_BITS`` of 63 bits *and* their sketches correlate so.

Measured on the 3,264 photos of species/, no_animal/ and new_species/ (5.3 million pairs): of the pairs within
``NEAR_BITS`` 70 are of different classes, all by chance and all correlated below 0.75; at 0.8 none of them is left,
and 123 of 156 within a class, the others being chance as well.
"""

_BLOCK: Final = 2048
_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos by their places, ``first < second``."""

    first: int
    second: int
    bits: int
    """By how many the hashes differ."""
    correlation: float


def near_pairs(photos: Sequence[Looked], places: Sequence[str], tick: Callable[[], None] = lambda: None) -> list[Pair]:
    """All near pairs but those of one place, which are together anyway ('' is no place). Nearest first.

    Two matrix products a block: 20,000 photos take seconds. ``tick`` is called after each block.
    """
    if not photos:
        return []
    hashes = np.stack([photo.bits for photo in photos]).astype(np.float32) * 2 - 1
    mirrored = np.stack([photo.mirrored_bits for photo in photos]).astype(np.float32) * 2 - 1
    sketches = np.stack([photo.sketch for photo in photos])
    squares = sketches.reshape(-1, SKETCH_SIDE, SKETCH_SIDE)
    mirrored_sketches = np.ascontiguousarray(squares[:, :, ::-1]).reshape(len(photos), -1)
    names = {name: number for number, name in enumerate(sorted(set(places) - {""}))}
    place = np.array([names.get(name, -1 - at) for at, name in enumerate(places)])
    pairs: list[Pair] = []
    for rows, columns in _blocks(len(photos)):
        far = np.minimum(_distance(hashes[rows], hashes[columns]), _distance(hashes[rows], mirrored[columns]))
        near = (far <= NEAR_BITS + 0.5) & (place[rows, None] != place[None, columns])
        for i, j in np.argwhere(near):
            first, second = rows.start + int(i), columns.start + int(j)
            alike = max(float(sketches[first] @ sketches[second]), float(sketches[first] @ mirrored_sketches[second]))
            if first < second and alike >= NEAR_CORRELATION:
                pairs.append(Pair(first, second, round(float(far[i, j])), alike))
        tick()
    return sorted(pairs, key=lambda pair: (-pair.correlation, pair.first, pair.second))


def blocks(count: int) -> int:
    """How many blocks :func:`near_pairs` goes through."""
    side = -(-count // _BLOCK)
    return side * (side + 1) // 2


def _blocks(count: int) -> Iterator[tuple[slice, slice]]:
    starts = range(0, count, _BLOCK)
    for row in starts:
        for column in starts:
            if column >= row:
                yield slice(row, row + _BLOCK), slice(column, column + _BLOCK)


def _distance(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """In how many bits each differs from each: bits are -1 and 1, so their product counts agreement."""
    return np.asarray((_BITS - one @ other.T) / 2, np.float32)
