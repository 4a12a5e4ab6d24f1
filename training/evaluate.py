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
from imaging.decode import Pixels
from postprocess.species import SpeciesSums
from training.classes import accepted_leaves
from training.dataset import BLANK, BOXES, NEW_SPECIES, NO_ANIMAL_SET, SPECIES, Photo, of_set
from training.mobilenet import BASE_ROWS
from training.network import leaf_rows, no_animal_rows
from training.regions import parts, served_pixels

Probabilities = npt.NDArray[np.float32]
Predict = Callable[[Pixels], Probabilities]
"""UINT8 [N, 224, 224, 3] -> FP32 [N, leaves] (the release) or [N, 1001] (the base network)."""

SURELY_EMPTY: Final = 0.5
"""The stricter share that an offset must not lower (training/calibrate.py): `no_animal` at or above this."""

EMPTY_FROM: Final = 0.25
"""Where ``no_animal`` is the best answer, it is answered as empty from this on, until thresholds are calibrated."""

BATCH: Final = 32
LION: Final = "lion"

_TINY = 1e-12

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is."""

Figures = dict[str, float]
"""Name -> share, 0..1; counts of photos under names that begin with ``photos.``."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Photos and what the release and the base network say of them, [N, leaves] and [N, 1001] FP32.

    Without a base network nothing is compared with one.
    """

    photos: tuple[Photo, ...]
    release: Probabilities
    base: Probabilities | None = None


def ask(data: Path, photos: Sequence[Photo], networks: Sequence[Predict], progress: Progress) -> list[Probabilities]:
    """Show every photo, or its crop, to all networks as serving does: one [N, ...] FP32 array for each of them."""
    answers: list[list[Probabilities]] = [[] for _ in networks]
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        pixels = np.stack([served_pixels(data, photo) for photo in batch])
        for network, said in zip(networks, answers, strict=True):
            said.append(network(pixels))
        progress("evaluation: photos", start + len(batch), len(photos))
    return [np.concatenate(said) for said in answers]


def right(answers: Probabilities, photos: Sequence[Photo], taxonomy: Taxonomy) -> npt.NDArray[np.bool_]:
    """BOOL [N]: whether the likeliest species has a leaf that is right for the photo."""
    top = SpeciesSums(taxonomy).of(answers).argmax(axis=1)
    return np.array(
        [
            species in {taxonomy.species_of_leaf[leaf] for leaf in accepted_leaves(photo, taxonomy)}
            for species, photo in zip(top, photos, strict=True)
        ],
        dtype=np.bool_,
    )


def empty(answers: Probabilities, taxonomy: Taxonomy, empty_from: float) -> npt.NDArray[np.bool_]:
    """BOOL [N]: whether a photo is answered as empty."""
    species = SpeciesSums(taxonomy).of(answers)
    none = species[:, taxonomy.species_of_leaf[taxonomy.by_key(NO_ANIMAL).index]]
    return np.asarray((none >= species.max(axis=1)) & (none >= empty_from))


@cache
def no_photographs() -> frozenset[str]:
    """Paths of held-back pictures that show no animal but a drawing or a figure of one."""
    text = resources.files("training").joinpath("no_photographs.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def measure(answers: Answers, taxonomy: Taxonomy, empty_from: float = EMPTY_FROM) -> Figures:
    """All figures for a set of photos; what has no photo among them is left out."""
    figures: Figures = {}
    figures |= _known(answers, taxonomy, empty_from)
    figures |= _objects(answers, taxonomy, empty_from)
    figures |= _cropped(answers, taxonomy, empty_from)
    if answers.base is not None:
        for name in (SPECIES, NEW_SPECIES, BOXES):
            figures |= _kept(answers, answers.base, taxonomy, name)
    return figures


def _known(answers: Answers, taxonomy: Taxonomy, empty_from: float) -> Figures:
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
        "false_empty": _share(empty(answers.release[chosen], taxonomy, empty_from)),
    }
    groups: dict[str, list[int]] = defaultdict(list)
    for i, photo in enumerate(photos):
        groups[f"top1.source.{photo.source}"].append(i)
        groups[f"top1.class.{photo.cls}"].append(i)
    figures |= {name: _share(correct[groups[name]]) for name in sorted(groups)}
    per_class = [value for name, value in figures.items() if name.startswith("top1.class.")]
    return figures | {"top1.mean_of_classes": float(np.mean(per_class))}


def _objects(answers: Answers, taxonomy: Taxonomy, empty_from: float) -> Figures:
    chosen = [i for i, photo in enumerate(answers.photos) if photo.set == NO_ANIMAL_SET]
    if not chosen:
        return {}
    photos = [answers.photos[i] for i in chosen]
    return {
        "photos.no_animal": float(len(chosen)),
        "no_animal": _share(empty(answers.release[chosen], taxonomy, empty_from)),
        "no_animal.sure": _share(answers.release[chosen][:, taxonomy.by_key(NO_ANIMAL).index] >= SURELY_EMPTY),
        "no_animal.top1": _share(right(answers.release[chosen], photos, taxonomy)),
    }


def _cropped(answers: Answers, taxonomy: Taxonomy, empty_from: float) -> Figures:
    """Top-1 on the crops of marked animals; parts of the same photos without any that are answered as empty."""
    figures: Figures = {}
    crops = [i for i, photo in enumerate(answers.photos) if photo.crop is not None]
    lions = [i for i in crops if answers.photos[i].cls != BLANK]
    backgrounds = [i for i in crops if answers.photos[i].cls == BLANK]
    if lions:
        photos = [answers.photos[i] for i in lions]
        figures["photos.crops"] = float(len(lions))
        figures["top1.crops"] = _share(right(answers.release[lions], photos, taxonomy))
        figures["false_empty.crops"] = _share(empty(answers.release[lions], taxonomy, empty_from))
    if backgrounds:
        figures["photos.backgrounds"] = float(len(backgrounds))
        figures["backgrounds"] = _share(empty(answers.release[backgrounds], taxonomy, empty_from))
    return figures


def _kept(answers: Answers, base: Probabilities, taxonomy: Taxonomy, name: str) -> Figures:
    """Agreement with the base network where it answers one of its animals, and both against the truth.

    The truth is known where the taxonomy has a leaf for the photo's folder.
    """
    objects = no_animal_rows(taxonomy)
    leaf_of_row = {row: leaf for leaf, row in enumerate(leaf_rows(taxonomy)) if row < BASE_ROWS}
    same: list[bool] = []
    known: list[int] = []
    for i, photo in enumerate(answers.photos):
        if photo.set != name or photo.crop is not None:
            continue
        top = int(base[i].argmax())
        if top not in objects:
            same.append(int(answers.release[i].argmax()) == leaf_of_row[top])
        if accepted_leaves(photo, taxonomy):
            known.append(i)
    figures: Figures = {f"agreement.{name}": _share(np.array(same))} if same else {}
    if known and name != SPECIES:
        photos = [answers.photos[i] for i in known]
        figures[f"photos.{name}"] = float(len(known))
        figures[f"top1.{name}"] = _share(right(answers.release[known], photos, taxonomy))
        figures[f"top1.{name}.base"] = _share(right(as_leaves(base[known], taxonomy), photos, taxonomy))
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
    """The held-back test part with its crops, and the monkeys: everything that the card reports on."""
    return [*parts(test), *of_set(photos, NEW_SPECIES)]


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


def _share(values: npt.NDArray[np.bool_]) -> float:
    return round(float(np.mean(values)), 4)
