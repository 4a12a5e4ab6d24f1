"""What a detector serves with: chosen on validation, never on what is held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from postprocess.nms import keep
from training.dataset import BOXES, NO_ANIMAL_SET, SPECIES, Photo
from training.detector.evaluate import START, Thresholds
from training.detector.predict import Candidates

DETECT_FROM: Final = tuple(round(0.1 + 0.025 * step, 3) for step in range(31))
OVERLAP: Final = (0.5, 0.55, 0.6, 0.65)

EXACT: Final = 0.85
ANY_FOUND: Final = 0.97
"""What is promised for marked photos: the share with the right count, and with any animal found."""

Counts = npt.NDArray[np.int_]
"""[views, photos]: boxes that are kept."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A blend (``training.detector.blend``) and its thresholds."""

    share: float
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class _Shares:
    """Of marked photos: with the right count, with any animal found; of animals: found; of objects: taken for one."""

    exact: float
    marked: float
    animals: float
    alarms: float


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Which photos are what, BOOL [photos], and how many animals are marked, INT [photos]."""

    marked: npt.NDArray[np.bool_]
    animals: npt.NDArray[np.bool_]
    objects: npt.NDArray[np.bool_]
    there: Counts

    def shares(self, counts: Counts) -> _Shares:
        """Means over photos and views."""
        any_found = counts > 0
        return _Shares(
            exact=float((counts == self.there)[:, self.marked].mean()),
            marked=float(any_found[:, self.marked].mean()),
            animals=float(any_found[:, self.animals].mean()),
            alarms=float(any_found[:, self.objects].mean()),
        )


def choose(after: Mapping[float, Candidates], before: Candidates, photos: Sequence[Photo]) -> Choice:
    """The blend and the thresholds that keep the promises best.

    ``after`` holds each blend's candidates for the validation photos, ``before`` the starting network's, each
    FP32 [views, photos, 300, 5]. Promised are ``EXACT``, ``ANY_FOUND``, and to find no fewer animals and raise no
    more false alarms than the start. A few dozen photos decide, so a promise is kept where it is kept with one
    standard error to spare; among those who keep them alike, the best mean share of photos answered rightly wins.
    """
    kinds = _kinds(photos)
    floor = kinds.shares(_counts(before, START.overlap, (START.detect_from,))[0])
    ranked: list[tuple[float, float, int, Choice]] = []
    for share, candidates in after.items():
        for overlap in OVERLAP:
            for detect_from, counts in zip(DETECT_FROM, _counts(candidates, overlap, DETECT_FROM), strict=True):
                shares = kinds.shares(counts)
                choice = Choice(share, Thresholds(detect_from, overlap))
                worth = (shares.exact + shares.animals + 1 - shares.alarms) / 3
                ranked.append((round(_shortfall(shares, floor, kinds), 3), -worth, len(ranked), choice))
    return min(ranked, key=lambda entry: entry[:3])[3]


def _kinds(photos: Sequence[Photo]) -> _Kinds:
    sets = np.array([photo.set for photo in photos])
    there = np.array([len(photo.boxes) for photo in photos])
    return _Kinds(sets == BOXES, sets == SPECIES, sets == NO_ANIMAL_SET, there)


def _counts(candidates: Candidates, overlap: float, detect_from: Sequence[float]) -> list[Counts]:
    """Boxes kept at each of ``detect_from``, ascending: what is kept does not depend on what scores less."""
    views, photos = candidates.shape[:2]
    counts = np.zeros((len(detect_from), views, photos), np.int_)
    for view in range(views):
        for photo in range(photos):
            rows = candidates[view, photo]
            scores = rows[keep(rows, detect_from[0], overlap), 4]
            counts[:, view, photo] = (scores[None] >= np.array(detect_from, np.float32)[:, None]).sum(axis=1)
    return list(counts)


def _shortfall(shares: _Shares, floor: _Shares, kinds: _Kinds) -> float:
    """By how much the promises are broken, in shares of photos, added up."""
    marked, animals, objects = (int(kind.sum()) for kind in (kinds.marked, kinds.animals, kinds.objects))
    broken = (
        EXACT - shares.exact + _error(shares.exact, marked),
        ANY_FOUND - shares.marked + _error(shares.marked, marked),
        floor.animals - shares.animals + _error(shares.animals, animals),
        shares.alarms - floor.alarms + _error(shares.alarms, objects),
    )
    return sum(max(0.0, by) for by in broken)


def _error(share: float, photos: int) -> float:
    """Standard error of a share. Views of one photo are no photos of their own."""
    return float(np.sqrt(share * (1 - share) / photos))
