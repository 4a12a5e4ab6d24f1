"""How far an answer can be relied on: calibration, roll-up and conformal sets, measured part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from contract.taxonomy import Depth, Taxonomy
from postprocess.rollup import RollUp
from postprocess.species import SpeciesSums
from training.classes import accepted_leaves
from training.dataset import ADDED, BLANK, BOXES, NEW_SPECIES, Photo
from training.evaluate import Answers, Figures, Probabilities, right
from training.reliability import Reliability, reliability
from training.thresholds import Calibration, Taxa, rightly, truth_probability

FOLDERS = "folders"
"""The part of the test photos that thresholds are calibrated for: whole photos of species/ and no_animal/."""


def measure_certainty(answers: Answers, taxonomy: Taxonomy, calibration: Calibration) -> Figures:
    """Figures for every part that :func:`parts_of` tells apart, under ``<figure>.<part>``."""
    figures: Figures = {}
    for part, rows in parts_of(answers.photos, taxonomy).items():
        photos = [answers.photos[row] for row in rows]
        leaves = answers.release[rows]
        taxa, _ = RollUp(taxonomy).answer(leaves, calibration.sure_from, calibration.empty_from)
        found = shares(outcomes(taxa, photos, taxonomy))
        if accepted_leaves(photos[0], taxonomy):
            found |= _sets(leaves, photos, taxonomy, calibration)
            found["ece"] = on_diagram(leaves, photos, taxonomy).error
        figures |= {f"{name}.{part}": round(value, 4) for name, value in found.items()}
    return figures


def parts_of(photos: Sequence[Photo], taxonomy: Taxonomy) -> dict[str, list[int]]:
    """Part -> numbers of its photos: the folders, each of their sources, lions and their crops, backgrounds,
    monkeys with a leaf (``new_species``) and without (``novel``), an added data set. A photo may be in two parts."""
    parts: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        for part in _parts(photo, taxonomy):
            parts.setdefault(part, []).append(row)
    return dict(sorted(parts.items()))


def _parts(photo: Photo, taxonomy: Taxonomy) -> tuple[str, ...]:
    if photo.set == NEW_SPECIES:
        return (NEW_SPECIES if accepted_leaves(photo, taxonomy) else "novel",)
    if photo.set == ADDED:
        return (ADDED,)
    if photo.set != BOXES:
        return FOLDERS, f"source.{photo.source}"
    if photo.crop is None:
        return ("lions",)
    return ("backgrounds" if photo.cls == BLANK else "crops",)


def outcomes(taxa: Taxa, photos: Sequence[Photo], taxonomy: Taxonomy) -> dict[str, npt.NDArray[np.bool_]]:
    """What became of each photo, as BOOL [N] by outcome, for answers INT32 [N, 2]; one outcome is true for each."""
    correct = rightly(taxa, photos, taxonomy)
    depth = taxa[:, 1]
    species = depth == Depth.SPECIES
    ancestor = (depth >= Depth.CLASS) & ~species
    return {
        "right_species": species & correct,
        "wrong_species": species & ~correct,
        "right_ancestor": ancestor & correct,
        "wrong_ancestor": ancestor & ~correct,
        "animal": depth == Depth.ANIMAL,
        "unknown": depth == Depth.UNKNOWN,
        "empty": depth == Depth.EMPTY,
    }


def shares(rows: dict[str, npt.NDArray[np.bool_]]) -> Figures:
    """The share of photos of every outcome; ``named_right``: of the answers that name a taxon, those that are right."""
    found = {name: round(float(of.mean()), 4) for name, of in rows.items()}
    right_ones = rows["right_species"] | rows["right_ancestor"]
    named = right_ones | rows["wrong_species"] | rows["wrong_ancestor"]
    return found | ({"named_right": round(float(right_ones[named].mean()), 4)} if named.any() else {})


def _sets(
    leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy, calibration: Calibration
) -> dict[str, float]:
    """Share of conformal sets that hold the truth, mean size, share of sets of one species."""
    sizes = RollUp(taxonomy).alternatives(leaves, calibration.alternatives_from)[:, 0]
    best = SpeciesSums(taxonomy).of(leaves).max(axis=1)
    truth = truth_probability(leaves, photos, taxonomy)
    held = (truth >= calibration.alternatives_from) | (truth >= best)
    return {"coverage": float(held.mean()), "set_size": float(sizes.mean()), "set_single": float((sizes == 1).mean())}


def on_diagram(leaves: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy) -> Reliability:
    """Confidence and accuracy of the best species."""
    best: npt.NDArray[np.float32] = np.minimum(SpeciesSums(taxonomy).of(leaves).max(axis=1), 1)
    return reliability(best, right(leaves, photos, taxonomy))


def diagram(
    before: Probabilities, after: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy
) -> dict[str, dict[str, list[float]]]:
    """``before`` and ``after`` temperature scaling, on the folders: what ``evaluation.json`` keeps for the drawing."""
    rows = parts_of(photos, taxonomy)[FOLDERS]
    chosen = [photos[row] for row in rows]
    return {
        name: asdict(on_diagram(leaves[rows], chosen, taxonomy))
        for name, leaves in (("before", before), ("after", after))
    }
