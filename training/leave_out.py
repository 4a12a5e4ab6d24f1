"""What becomes of animals that training never showed: whole classes are left out, then asked for.

Left out are the folders of species/ all of whose leaves the base network lacks. Their logits start with zero
weights and a low bias, no photo of theirs is learned from, and learning from the others only pushes them
down: to the network they do not exist. (ImageNet's photos may show such animals under other labels.) Every
photo of these folders, of all three parts, is then a photo of a kind never trained on. The rest of the network
is tuned on the training part, calibrated and given thresholds on validation, as ``fit`` does it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from contract.taxonomy import Depth, Taxonomy
from contract.tensors import NO_SPECIES
from postprocess.rollup import RollUp
from postprocess.species import SpeciesRanking
from training.cache import Cached, cache_served
from training.certainty import outcomes, shares
from training.classes import accepted_leaves
from training.dataset import SPECIES, Photo, of_set
from training.evaluate import Figures, Probabilities, Progress
from training.fit import FINE_TUNED, Trial, try_out
from training.material import Material, gather
from training.network import load_taxonomy
from training.predict import folded
from training.thresholds import Taxa
from training.tune import cached_logits

LEAVE_OUT: Final = "leave_out.json"
"""File name of the figures, beside ``evaluation.json``."""

RECIPE: Final = replace(FINE_TUNED, epochs=4)
"""Shorter than a release's: what is asked is how a network treats strangers, not how well it knows its own."""

TURNS: Final = 2
"""The folders are left out in so many turns, every second one in the same."""

SPECIES_FROM: Final = 0.25
"""Without roll-up a species, or an empty photo, is answered from here on: what release 1 did."""

STRICTER: Final = (0.7, 0.9)
"""Other ``sure_from`` that a request may set, to show what they save and what they cost."""

SPECIES_ONLY: Final = "species_only"
ROLL_UP: Final = "roll_up"
KNOWN: Final = "known"
"""Parts of the figures' names: without roll-up and with it; for held-back photos of the classes that were kept."""

Outcomes = dict[str, npt.NDArray[np.bool_]]


def leave_out(data: Path, cache: Path, seed: int, progress: Progress) -> Figures:
    """Shares of photos by outcome (:func:`training.certainty.outcomes`): ``species_only.<outcome>`` without
    roll-up, ``roll_up.<outcome>`` with it and ``roll_up_<sure_from>.<outcome>`` at stricter thresholds;
    ``roll_up.<folder>.<outcome>`` for each folder; ``known.roll_up.<outcome>`` and so on what the same networks
    and thresholds do to held-back photos of the classes that were kept."""
    material = gather(data, cache, seed, progress)
    taxonomy = load_taxonomy()
    photos: list[Photo] = []
    asked: list[dict[str, Outcomes]] = []
    kept: list[dict[str, Outcomes]] = []
    for folders in turns(material, taxonomy):
        trial = try_out(material, RECIPE, folders, seed, progress)
        unknown, known = strangers(material, folders), acquaintances(material, folders)
        photos += unknown
        asked.append(_answered(trial, unknown, cache_served(material.base, data, unknown, progress)))
        kept.append(_answered(trial, known, cache_served(material.base, data, known, progress)))
    strange, familiar = _joined(asked), _joined(kept)
    figures = {"photos.left_out": float(len(photos)), f"photos.{KNOWN}": float(sum(map(_count, kept)))}
    for name in strange:
        figures |= _named(name, strange[name])
        figures |= _named(f"{KNOWN}.{name}", familiar[name])
    for folder in sorted({photo.cls for photo in photos}):
        rows = np.array([photo.cls == folder for photo in photos])
        figures |= _named(f"{ROLL_UP}.{folder}", {key: of[rows] for key, of in strange[ROLL_UP].items()})
    return figures


def turns(material: Material, taxonomy: Taxonomy) -> list[frozenset[str]]:
    """The folders that are left out together, turn by turn."""
    folders = sorted(
        {
            photo.cls
            for photo in of_set(material.train, SPECIES)
            if all(taxonomy[leaf].imagenet_row is None for leaf in accepted_leaves(photo, taxonomy))
        }
    )
    return [frozenset(folders[turn::TURNS]) for turn in range(TURNS)]


def strangers(material: Material, folders: frozenset[str]) -> list[Photo]:
    """Every photo of the left-out folders."""
    photos = (*material.train, *material.validation, *material.held_out)
    return [photo for photo in of_set(photos, SPECIES) if photo.cls in folders]


def acquaintances(material: Material, folders: frozenset[str]) -> list[Photo]:
    """The held-back photos of the other folders."""
    return [photo for photo in of_set(material.held_out, SPECIES) if photo.cls not in folders]


def species_only(leaves: Probabilities, taxonomy: Taxonomy) -> Taxa:
    """The best species, or 'unknown' below ``SPECIES_FROM``: answers without roll-up, INT32 [N, 2]."""
    ids, scores, _ = SpeciesRanking(taxonomy).rank(leaves)
    none = len(taxonomy) - 1
    depth = np.where(ids[:, 0] == none, Depth.EMPTY, Depth.SPECIES)
    depth = np.where(scores[:, 0] >= SPECIES_FROM, depth, Depth.UNKNOWN)
    leaf = np.where(depth == Depth.SPECIES, ids[:, 0], NO_SPECIES)
    return np.asarray(np.stack((leaf, depth), axis=1), np.int32)


def _answered(trial: Trial, photos: list[Photo], served: Cached) -> dict[str, Outcomes]:
    """Outcomes for every way of answering."""
    taxonomy = load_taxonomy()
    said = cached_logits(trial.network, served)
    sure = folded(said, taxonomy, trial.calibration.temperature)
    roll_up = RollUp(taxonomy)
    empty_from = trial.calibration.empty_from
    taxa = {
        SPECIES_ONLY: species_only(folded(said, taxonomy, 1.0), taxonomy),
        ROLL_UP: roll_up.answer(sure, trial.calibration.sure_from, empty_from)[0],
        **{f"{ROLL_UP}_{limit}": roll_up.answer(sure, limit, empty_from)[0] for limit in STRICTER},
    }
    return {name: outcomes(answers, photos, taxonomy) for name, answers in taxa.items()}


def _joined(parts: list[dict[str, Outcomes]]) -> dict[str, Outcomes]:
    """The rows of all turns, one after another."""
    return {
        name: {key: np.concatenate([part[name][key] for part in parts]) for key in found}
        for name, found in parts[0].items()
    }


def _count(part: dict[str, Outcomes]) -> int:
    return len(part[ROLL_UP]["unknown"])


def _named(name: str, rows: Outcomes) -> Figures:
    return {f"{name}.{key}": value for key, value in shares(rows).items()}
