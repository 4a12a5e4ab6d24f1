"""From a photo's probabilities to its names: candidates, the answer that is sure, and its alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contract.options import Options
from contract.taxonomy import Depth, Taxonomy
from contract.tensors import NO_SPECIES, TOP_K
from postprocess.rollup import RollUp
from postprocess.species import SpeciesRanking, SpeciesSums
from serving.models.pipeline import Found

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

SUSPICIOUS: Final = 0.5
"""A candidate box with this share of the score that makes an animal is reason enough not to call a photo empty."""


@dataclass(frozen=True, slots=True)
class Names:
    """N photos or boxes: ids [N, TOP_K], scores [N, TOP_K], names [N, TOP_K], taxon [N, 2], taxon_score [N],
    alternatives [N, 3], as ``contract.tensors`` describes them."""

    ids: Ints
    scores: Floats
    names: npt.NDArray[Any]
    taxon: Ints
    taxon_score: Floats
    alternatives: Ints


class Naming:
    """Names by one release's taxonomy and thresholds (``contract.release.Thresholds`` by field name)."""

    def __init__(self, taxonomy: Taxonomy, thresholds: dict[str, float]) -> None:
        self._sums = SpeciesSums(taxonomy)
        self._ranking = SpeciesRanking(taxonomy)
        self._rollup = RollUp(taxonomy)
        self._thresholds = thresholds

    def of_photos(self, photos: Sequence[Found]) -> Names:
        """Names of whole photos. What the detector says of a photo counts too, where it was asked."""
        names = self._whole(photos)
        for row, photo in enumerate(photos):
            if photo.opened.scene is not None:
                self._hear_detector(photo, names.taxon[row], names.taxon_score[row : row + 1])
        return names

    def _whole(self, photos: Sequence[Found]) -> Names:
        """Names by the classifier alone; nothing for a photo that it was not asked about."""
        named = [row for row, photo in enumerate(photos) if photo.leaves is not None]
        if not named:
            return _nothing(len(photos))
        leaves = np.stack([photo.leaves for photo in photos if photo.leaves is not None])
        part = self._names(leaves, [photos[row].options for row in named])
        if len(named) == len(photos):
            return part
        names = _nothing(len(photos))
        for whole, some in zip(_fields(names), _fields(part), strict=True):
            whole[named] = some
        return names

    def of_boxes(self, leaves: Floats, options: Options) -> Names:
        """Names of one photo's boxes from probabilities [boxes, leaves]. A box is never empty: the detector saw an
        animal, and a classifier that does not leaves it unknown."""
        names = self._names(leaves, [options] * len(leaves))
        empty = names.taxon[:, 1] == Depth.EMPTY
        names.taxon[empty] = NO_SPECIES, Depth.UNKNOWN
        return names

    def _names(self, leaves: Floats, options: Sequence[Options]) -> Names:
        sure_from = self._each("sure_from", [one.sure_from for one in options])
        empty_from = self._each("empty_from", [one.empty_from for one in options])
        sums = self._sums.of(leaves)
        ids, scores, names = self._ranking.rank(leaves, sums)
        taxon, taxon_score = self._rollup.answer(leaves, sure_from, empty_from, sums)
        alternatives = self._rollup.alternatives(leaves, self._thresholds["alternatives_from"], sums)
        return Names(ids, scores, names, taxon, taxon_score, alternatives)

    def _each(self, name: str, asked: Sequence[float | None]) -> Floats:
        default = self._thresholds[name]
        return np.array([default if value is None else value for value in asked], np.float32)

    def _hear_detector(self, photo: Found, taxon: Ints, score: Floats) -> None:
        """Boxes make an animal of a photo that the classifier could not place; no box makes an empty photo of one
        that it could not name, unless some candidate is suspicious."""
        if taxon[1] >= Depth.CLASS:
            return
        detect_from = (
            self._thresholds["detect_from"] if photo.options.detect_from is None else photo.options.detect_from
        )
        if len(photo.boxes):
            taxon[:], score[:] = (NO_SPECIES, Depth.ANIMAL), photo.best_score
        elif photo.best_score < SUSPICIOUS * detect_from:
            taxon[:], score[:] = (NO_SPECIES, Depth.EMPTY), 1 - photo.best_score
        elif taxon[1] == Depth.ANIMAL or photo.leaves is None:
            taxon[:], score[:] = (NO_SPECIES, Depth.UNKNOWN), photo.best_score


def _nothing(count: int) -> Names:
    return Names(
        ids=np.full((count, TOP_K), NO_SPECIES, np.int32),
        scores=np.zeros((count, TOP_K), np.float32),
        names=np.full((count, TOP_K), b"", np.object_),
        taxon=np.full((count, 2), (NO_SPECIES, Depth.UNKNOWN), np.int32),
        taxon_score=np.zeros(count, np.float32),
        alternatives=np.full((count, 3), (0, NO_SPECIES, Depth.UNKNOWN), np.int32),
    )


def _fields(names: Names) -> tuple[Any, ...]:
    return names.ids, names.scores, names.names, names.taxon, names.taxon_score, names.alternatives
