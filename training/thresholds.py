"""From validation photos: how sure an answer must be, and how likely a species to be among the alternatives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contract.taxonomy import NO_ANIMAL, Depth, Taxonomy
from postprocess.rollup import RollUp
from postprocess.species import SpeciesSums
from training.classes import accepted_leaves, named_rightly
from training.dataset import Photo

Probabilities = npt.NDArray[np.float32]
Taxa = npt.NDArray[np.int32]

RIGHT_SHARE: Final = 0.95
"""Of the answers that name a taxon so many shall be right."""

COVERAGE: Final = 0.95
"""The conformal set shall hold the truth for so many photos."""

SURE_TRIED: Final = tuple(step / 100 for step in range(50, 100))
"""From 0.5 on, because two taxa of one depth cannot both be as sure as that."""

EMPTY_TRIED: Final = (0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25)
EMPTY_LOST: Final = 0.01
"""Of the photos that are rightly best called empty, so many may be refused for being too unsure."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature of the network and the thresholds of its release (``contract.release.Thresholds``)."""

    temperature: float
    sure_from: float
    empty_from: float
    alternatives_from: float
    coverage: float = COVERAGE


def calibrated(leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy, temperature: float) -> Calibration:
    """Thresholds for probabilities FP32 [N, leaves] at a temperature; every photo has a right leaf."""
    empty_from = _empty_from(leaves, photos, taxonomy)
    return Calibration(
        temperature=temperature,
        sure_from=_sure_from(leaves, photos, taxonomy, empty_from),
        empty_from=empty_from,
        alternatives_from=_alternatives_from(leaves, photos, taxonomy),
    )


def more_careful(own: Calibration, leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy) -> Calibration:
    """``own``, but no less careful than photos that nobody learned from ask for; ``leaves`` are at its temperature.

    What counts as empty stays, as such photos need not show any.
    """
    return dataclasses.replace(
        own,
        sure_from=max(own.sure_from, _sure_from(leaves, photos, taxonomy, own.empty_from)),
        alternatives_from=min(own.alternatives_from, _alternatives_from(leaves, photos, taxonomy)),
    )


def rightly(taxa: Taxa, photos: Sequence[Photo], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """BOOL [N]: :func:`training.classes.named_rightly` for answers INT32 [N, 2]."""
    pairs = zip(photos, taxa.tolist(), strict=True)
    return np.array([named_rightly(photo, leaf, depth, taxonomy) for photo, (leaf, depth) in pairs], np.bool_)


def truth_probability(leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy) -> Probabilities:
    """FP32 [N]: the probability of the likeliest species that is right for the photo."""
    species = SpeciesSums(taxonomy).of(leaves)
    of = taxonomy.species_of_leaf
    right = [sorted({of[leaf] for leaf in accepted_leaves(photo, taxonomy)}) for photo in photos]
    return np.array([row[places].max() for row, places in zip(species, right, strict=True)], np.float32)


def _empty_from(leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy) -> float:
    """The highest of ``EMPTY_TRIED`` that loses at most ``EMPTY_LOST``; the lowest if none does."""
    none = taxonomy.by_key(NO_ANIMAL).index
    best = leaves[:, none] >= SpeciesSums(taxonomy).of(leaves).max(axis=1)
    empty = np.array([none in accepted_leaves(photo, taxonomy) for photo in photos])
    scores = leaves[best & empty, none]
    fitting = (limit for limit in EMPTY_TRIED if (scores < limit).mean() <= EMPTY_LOST)
    return next(fitting, EMPTY_TRIED[-1])


def _sure_from(leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy, empty_from: float) -> float:
    """The lowest of ``SURE_TRIED`` at which enough of the answers that name a taxon are right."""
    roll_up = RollUp(taxonomy)
    for limit in SURE_TRIED:
        taxa, _ = roll_up.answer(leaves, limit, empty_from)
        named = taxa[:, 1] >= Depth.CLASS
        if rightly(taxa, photos, taxonomy)[named].mean() >= RIGHT_SHARE:
            return limit
    return SURE_TRIED[-1]


def _alternatives_from(leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy) -> float:
    """The k-th lowest probability of the truth, k = floor((1 - COVERAGE)(N + 1)), rounded down.

    Split-conformal prediction with the score 1 - probability: Sadinle, Lei and Wasserman, 2019, section 2.3;
    the finite-sample correction as in Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
    2005, section 4.2. With fewer than 19 photos everything is in the set.
    """
    truth = np.sort(truth_probability(leaves, photos, taxonomy))
    place = math.floor((1 - COVERAGE) * (len(truth) + 1) + 1e-9)
    return 0.0 if place == 0 else math.floor(float(truth[place - 1]) * 1e6) / 1e6
