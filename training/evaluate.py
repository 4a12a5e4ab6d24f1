"""Figures of the model card, measured through the serving decoder on photos that were never learned from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from contract.taxonomy import NO_ANIMAL, Taxonomy
from imaging.decode import Pixels, decode_photo
from training.classes import accepted_leaves
from training.dataset import BOXES, NEW_SPECIES, NO_ANIMAL_SET, SPECIES, Photo, of_set, read_bytes
from training.mobilenet import BASE_ROWS
from training.network import leaf_rows, no_animal_rows

Probabilities = npt.NDArray[np.float32]
Predict = Callable[[Pixels], Probabilities]
"""UINT8 [N, 224, 224, 3] -> FP32 [N, leaves] (the release) or [N, 1001] (the base network)."""

SURELY_EMPTY: Final = 0.5
"""The stricter share that an offset must not lower (training/calibrate.py): `no_animal` at or above this."""

EMPTY_FROM: Final = 0.25
"""Where ``no_animal`` is the best answer, it is answered as empty from this on and as unknown below: as sure as a
species has to be."""

BATCH: Final = 32
LION: Final = "lion"

_TINY = 1e-12

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is."""

Figures = dict[str, float]
"""Name -> share, 0..1; counts of photos under names that begin with ``photos.``."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Photos and what the release and the base network say of them, [N, leaves] and [N, 1001] FP32."""

    photos: tuple[Photo, ...]
    release: Probabilities
    base: Probabilities


def ask(data: Path, photos: Sequence[Photo], networks: Sequence[Predict], progress: Progress) -> list[Probabilities]:
    """Decode every photo as serving does and ask all networks: one [N, ...] FP32 array for each of them."""
    answers: list[list[Probabilities]] = [[] for _ in networks]
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        pixels = np.stack([decode_photo(read_bytes(data, photo)).pixels for photo in batch])
        for network, parts in zip(networks, answers, strict=True):
            parts.append(network(pixels))
        progress("evaluation: photos", start + len(batch), len(photos))
    return [np.concatenate(parts) for parts in answers]


def by_species(leaves: Probabilities, taxonomy: Taxonomy) -> Probabilities:
    """Probabilities of leaves [N, leaves] summed by species [N, species]."""
    place = np.zeros((len(taxonomy), len(taxonomy.species_names)), np.float32)
    place[np.arange(len(taxonomy)), taxonomy.species_of_leaf] = 1.0
    return np.asarray(leaves @ place, np.float32)


def right(answers: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """BOOL [N]: whether the likeliest species has a leaf that is right for the photo."""
    top = by_species(answers, taxonomy).argmax(axis=1)
    return np.array(
        [
            species in {taxonomy.species_of_leaf[leaf] for leaf in accepted_leaves(photo, taxonomy)}
            for species, photo in zip(top, photos, strict=True)
        ],
        dtype=np.bool_,
    )


def empty(answers: Probabilities, taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """BOOL [N]: whether a photo is answered as empty, as the gateway does it."""
    species = by_species(answers, taxonomy)
    none = species[:, taxonomy.species_of_leaf[taxonomy.by_key(NO_ANIMAL).index]]
    return np.asarray((none >= species.max(axis=1)) & (none >= EMPTY_FROM))


@cache
def no_photographs() -> frozenset[str]:
    """Paths of held-back pictures that show no animal but a drawing or a figure of one."""
    text = resources.files("training").joinpath("no_photographs.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def measure(answers: Answers, taxonomy: Taxonomy) -> Figures:
    """All figures for a set of photos; what has no photo among them is left out."""
    figures: Figures = {}
    figures |= _known(answers, taxonomy)
    figures |= _objects(answers, taxonomy)
    for name in (SPECIES, NEW_SPECIES, BOXES):
        figures |= _kept(answers, taxonomy, name)
    return figures


def _known(answers: Answers, taxonomy: Taxonomy) -> Figures:
    """Top-1 over species/, by source and by class; animals that were taken for none."""
    chosen = [i for i, photo in enumerate(answers.photos) if photo.set == SPECIES]
    if not chosen:
        return {}
    photos = [answers.photos[i] for i in chosen]
    correct = right(answers.release[chosen], photos, taxonomy)
    real = np.array([str(photo.path) not in no_photographs() for photo in photos])
    figures = {
        "photos.species": float(len(photos)),
        "top1": _share(correct),
        "photos.photographs": float(real.sum()),
        "top1.photographs": _share(correct[real]),
        "false_empty": _share(empty(answers.release[chosen], taxonomy)),
    }
    parts: dict[str, list[int]] = defaultdict(list)
    for i, photo in enumerate(photos):
        parts[f"top1.source.{photo.source}"].append(i)
        parts[f"top1.class.{photo.cls}"].append(i)
    figures |= {name: _share(correct[parts[name]]) for name in sorted(parts)}
    per_class = [value for name, value in figures.items() if name.startswith("top1.class.")]
    return figures | {"top1.mean_of_classes": float(np.mean(per_class))}


def _objects(answers: Answers, taxonomy: Taxonomy) -> Figures:
    chosen = [i for i, photo in enumerate(answers.photos) if photo.set == NO_ANIMAL_SET]
    if not chosen:
        return {}
    photos = [answers.photos[i] for i in chosen]
    return {
        "photos.no_animal": float(len(chosen)),
        "no_animal": _share(empty(answers.release[chosen], taxonomy)),
        "no_animal.sure": _share(answers.release[chosen][:, taxonomy.by_key(NO_ANIMAL).index] >= SURELY_EMPTY),
        "no_animal.top1": _share(right(answers.release[chosen], photos, taxonomy)),
    }


def _kept(answers: Answers, taxonomy: Taxonomy, name: str) -> Figures:
    """Agreement with the base network where it answers one of its animals, and both against the truth.

    The truth is known where the taxonomy has a leaf for the photo's folder.
    """
    objects = no_animal_rows(taxonomy)
    leaf_of_row = {row: leaf for leaf, row in enumerate(leaf_rows(taxonomy)) if row < BASE_ROWS}
    same: list[bool] = []
    known: list[int] = []
    for i, photo in enumerate(answers.photos):
        if photo.set != name:
            continue
        top = int(answers.base[i].argmax())
        if top not in objects:
            same.append(int(answers.release[i].argmax()) == leaf_of_row[top])
        if accepted_leaves(photo, taxonomy):
            known.append(i)
    figures: Figures = {f"agreement.{name}": _share(np.array(same))} if same else {}
    if known and name != SPECIES:
        photos = [answers.photos[i] for i in known]
        figures[f"photos.{name}"] = float(len(known))
        figures[f"top1.{name}"] = _share(right(answers.release[known], photos, taxonomy))
        figures[f"top1.{name}.base"] = _share(right(as_leaves(answers.base[known], taxonomy), photos, taxonomy))
    return figures


def as_leaves(base: Probabilities, taxonomy: Taxonomy) -> Probabilities:
    """The base network's [N, 1001] folded to the leaves [N, leaves]; leaves that it lacks get 0."""
    leaves = np.zeros((len(base), len(taxonomy)), np.float32)
    for leaf, row in enumerate(leaf_rows(taxonomy)):
        if row < BASE_ROWS:
            leaves[:, leaf] = base[:, row]
    leaves[:, taxonomy.by_key(NO_ANIMAL).index] = base[:, no_animal_rows(taxonomy)].sum(axis=1)
    return leaves


def held_out(photos: Sequence[Photo], test: Sequence[Photo]) -> list[Photo]:
    """The held-back test part, the monkeys and the lions: everything that the card reports on."""
    lions = [photo for photo in of_set(photos, BOXES) if photo.cls == LION]
    return [*test, *of_set(photos, NEW_SPECIES), *lions]


def log_loss(answers: Answers, taxonomy: Taxonomy) -> float:
    """Mean negative log of the probability of the right leaves, nats; all photos need a right leaf."""
    return float(
        np.mean(
            [
                -math.log(max(float(leaves[list(accepted_leaves(photo, taxonomy))].sum()), _TINY))
                for leaves, photo in zip(answers.release, answers.photos, strict=True)
            ]
        )
    )


def unknown_below(answers: Answers, taxonomy: Taxonomy) -> float:
    """Highest of 0.20, 0.25, 0.30, 0.35 that turns at most 1 % of the right answers into 'unknown'."""
    correct = right(answers.release, answers.photos, taxonomy)
    best = by_species(answers.release, taxonomy).max(axis=1)[correct]
    fitting = [limit for limit in (0.20, 0.25, 0.30, 0.35) if _share(best < limit) <= 0.01]
    return max(fitting, default=0.20)


def _share(values: npt.NDArray[np.bool_]) -> float:
    return round(float(np.mean(values)), 4)
