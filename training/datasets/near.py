"""Photos that show nearly the same picture, mirrored or not."""

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
``NEAR_BITS`` 70 are of different classes, all by chance and all correlated below 0.8; 123 of the 156 within a class
are not, and the others are chance as well.
"""

BLOCK: Final = 2048
"""Photos are compared so many with so many: a block's distances take 16 MB."""

_BITS: Final = 63
_GATHER: Final = 20_000
"""A block with more candidates is correlated as one matrix product."""

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos by their places, ``first < second``."""

    first: int
    second: int
    correlation: float


def near_pairs(
    photos: Sequence[Looked],
    labels: Sequence[str],
    beside: Sequence[str],
    tick: Callable[[], None] = lambda: None,
    block: int = BLOCK,
) -> list[Pair]:
    """Links between near photos, those most alike first, and not more than it takes.

    Photos of one place (``beside``; '' is none) are together anyway and not linked. Of a thousand photos that all look
    alike 999 links are told, not half a million: photos that can be reached over links are not linked again, unless
    the others have the same label and this pair has not, or the other way round. ``tick`` is called after each block.
    """
    if not photos:
        return []
    pictures = _Pictures(photos)
    place, label = _numbers(beside, alone=""), _numbers(labels)
    same, other = _Forest(len(photos)), _Forest(len(photos))
    for rows, columns in _blocks(len(photos), block):
        first, second, alike = pictures.near(rows, columns)
        apart = (first < second) & (place[first] != place[second])
        first, second, alike = first[apart], second[apart], alike[apart]
        agree = label[first] == label[second]
        same.link(first[agree], second[agree], alike[agree])
        other.link(first[~agree], second[~agree], alike[~agree])
        tick()
    return sorted(same.links + other.links, key=lambda pair: (-pair.correlation, pair.first, pair.second))


def blocks(count: int) -> int:
    """How many blocks :func:`near_pairs` goes through."""
    side = -(-count // BLOCK)
    return side * (side + 1) // 2


def _blocks(count: int, block: int) -> Iterator[tuple[slice, slice]]:
    starts = range(0, count, block)
    return (
        (slice(row, row + block), slice(column, column + block)) for row in starts for column in starts if column >= row
    )


def _numbers(names: Sequence[str], alone: str | None = None) -> Places:
    """A number for each name; each ``alone`` gets its own."""
    known = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([-1 - at if name == alone else known[name] for at, name in enumerate(names)], np.intp)


class _Pictures:
    """Hashes and sketches of all photos as matrices, and of their mirror images."""

    def __init__(self, photos: Sequence[Looked]) -> None:
        self._hashes = _signs([photo.bits for photo in photos])
        self._mirrored_hashes = _signs([photo.mirrored_bits for photo in photos])
        self._sketches = np.stack([photo.sketch for photo in photos])
        squares = self._sketches.reshape(-1, SKETCH_SIDE, SKETCH_SIDE)
        self._mirrored_sketches = np.ascontiguousarray(squares[:, :, ::-1]).reshape(len(photos), -1)

    def near(self, rows: slice, columns: slice) -> tuple[Places, Places, Floats]:
        """Places of near photos of two ranges, and their correlations."""
        agreement = np.maximum(
            self._hashes[rows] @ self._hashes[columns].T, self._hashes[rows] @ self._mirrored_hashes[columns].T
        )
        # Bits are -1 and 1: of 63, each that differs costs 2 of the product.
        i, j = np.nonzero(agreement >= _BITS - 2 * NEAR_BITS - 0.5)
        first, second = i + rows.start, j + columns.start
        if len(first) > _GATHER:
            alike = np.maximum(
                self._sketches[rows] @ self._sketches[columns].T,
                self._sketches[rows] @ self._mirrored_sketches[columns].T,
            )[i, j]
        else:
            alike = np.maximum(
                np.einsum("ij,ij->i", self._sketches[first], self._sketches[second]),
                np.einsum("ij,ij->i", self._sketches[first], self._mirrored_sketches[second]),
            )
        near = alike >= NEAR_CORRELATION
        return first[near], second[near], alike[near]


def _signs(bits: Sequence[npt.NDArray[np.bool_]]) -> Floats:
    return np.where(np.stack(bits), np.float32(1), np.float32(-1))


class _Forest:
    """Links that join what was not joined before."""

    def __init__(self, count: int) -> None:
        self._root = np.arange(count)
        self.links: list[Pair] = []

    def link(self, first: Places, second: Places, alike: Floats) -> None:
        """Join the ends of each pair, best pairs first. In each round every ``first`` gives its best pair that still
        joins something, so a few rounds are enough however many pairs there are."""
        order = np.lexsort((second, first, -alike))
        first, second, alike = first[order], second[order], alike[order]
        while len(first):
            _, best = np.unique(first, return_index=True)
            for at in np.sort(best).tolist():
                one, other = self._root[first[at]], self._root[second[at]]
                if one != other:
                    self._root[self._root == max(one, other)] = min(one, other)
                    self.links.append(Pair(int(first[at]), int(second[at]), float(alike[at])))
            useful = self._root[first] != self._root[second]
            first, second, alike = first[useful], second[useful], alike[useful]
