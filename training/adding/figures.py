"""What an addition is judged by: how well the new species are known, and what was forgotten of the old ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.taxonomy import Taxonomy
from postprocess.species import SpeciesSums
from training.classes import accepted_leaves
from training.dataset import ADDED, BOXES, NO_ANIMAL_SET, SPECIES, Photo
from training.evaluate import Figures, Probabilities, right

OTHER = "other"
"""In the confusion matrix: what is none of the data set's labels."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Photos with what the base release said of them, in its leaves, and what the new network says, in its own."""

    photos: tuple[Photo, ...]
    base_taxonomy: Taxonomy
    before: Probabilities
    taxonomy: Taxonomy
    after: Probabilities

    def of(self, rows: Sequence[int]) -> Judged:
        """Some of the photos, by number."""
        photos = tuple(self.photos[row] for row in rows)
        return Judged(photos, self.base_taxonomy, self.before[rows], self.taxonomy, self.after[rows])

    @property
    def right_before(self) -> npt.NDArray[np.bool_]:
        """BOOL [N]: the base release's likeliest species was right."""
        return right(self.before, self.photos, self.base_taxonomy)

    @property
    def right_after(self) -> npt.NDArray[np.bool_]:
        """BOOL [N]: the new network's likeliest species is right."""
        return right(self.after, self.photos, self.taxonomy)


def addition_figures(judged: Judged) -> Figures:
    """``new.*`` over the data set's photos and ``old.*`` over the others, if any.

    ``new.top1.unnameable`` counts photos of species that the base release had no leaf for, ``new.top1.missed`` all
    photos that it did not name rightly. ``forgetting.*`` is top-1 before less top-1 after; below 0 it got better.
    """
    added = judged.of([row for row, photo in enumerate(judged.photos) if photo.set == ADDED])
    before, after = added.right_before, added.right_after
    unnameable = np.array([not accepted_leaves(photo, judged.base_taxonomy) for photo in added.photos], np.bool_)
    figures: Figures = {
        "photos.new": float(len(added.photos)),
        "new.top1": _share(after),
        "new.top1.before": _share(before),
    }
    for name, rows in (("unnameable", unnameable), ("missed", ~before)):
        if rows.any():
            figures |= {f"photos.new.{name}": float(rows.sum()), f"new.top1.{name}": _share(after[rows])}
    for name, precision, recall, _ in by_species(judged):
        figures |= {f"new.precision.{name}": precision, f"new.recall.{name}": recall}
    for name, chosen in old_parts(judged.photos).items():
        old = judged.of(chosen)
        was, now = _share(old.right_before), _share(old.right_after)
        figures |= {
            f"photos.{name}": float(len(chosen)),
            f"{name}.top1.before": was,
            f"{name}.top1": now,
            f"forgetting.{name}": round(was - now, 4),
        }
    return figures


def old_parts(photos: Sequence[Photo]) -> dict[str, list[int]]:
    """Old photos by kind: animals (``old``), objects, photos and crops of lions. Kinds without photos are left out."""
    names = {SPECIES: "old", NO_ANIMAL_SET: "objects", BOXES: "boxes"}
    parts = {name: [row for row, photo in enumerate(photos) if photo.set == of] for of, name in names.items()}
    return {name: rows for name, rows in parts.items() if rows}


def forgetting_table(judged: Judged) -> list[tuple[str, int, float, float]]:
    """Folder, photos, top-1 before and after for each old folder of animals; what lost most comes first."""
    folders: dict[str, list[int]] = {}
    for row, photo in enumerate(judged.photos):
        if photo.set == SPECIES:
            folders.setdefault(photo.cls, []).append(row)
    table = []
    for folder, rows in sorted(folders.items()):
        part = judged.of(rows)
        table.append((folder, len(rows), _share(part.right_before), _share(part.right_after)))
    return sorted(table, key=lambda line: line[3] - line[2])


def by_species(judged: Judged) -> list[tuple[str, float, float, int]]:
    """Label, precision, recall and photos of each label of the data set.

    Precision is over all photos, old ones included; of a species that is never answered it is 0.
    """
    said = _said(judged)
    true = [photo.cls if photo.set == ADDED else OTHER for photo in judged.photos]
    answered = Counter(said)
    hits = Counter(truth for truth, answer in zip(true, said, strict=True) if truth == answer)
    count = Counter(true)
    return [
        (label, round(hits[label] / max(1, answered[label]), 4), round(hits[label] / count[label], 4), count[label])
        for label in labels(judged.photos)
    ]


def labels(photos: Sequence[Photo]) -> list[str]:
    """Of the data set, sorted."""
    return sorted({photo.cls for photo in photos if photo.set == ADDED})


def confusion(judged: Judged) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Labels of the data set and ``OTHER``; photos INT64 [truth, answer]."""
    names = [*labels(judged.photos), OTHER]
    place = {name: row for row, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    for photo, answer in zip(judged.photos, _said(judged), strict=True):
        matrix[place[photo.cls] if photo.set == ADDED else place[OTHER], place[answer]] += 1
    return names, matrix


def _said(judged: Judged) -> list[str]:
    """For each photo the data set's label of the likeliest species, or ``OTHER``."""
    taxonomy = judged.taxonomy
    label_of = {taxonomy.species_of_leaf[taxonomy.by_key(name).index]: name for name in labels(judged.photos)}
    best = SpeciesSums(taxonomy).of(judged.after).argmax(axis=1)
    return [label_of.get(int(species), OTHER) for species in best]


def answers(leaves: Probabilities, taxonomy: Taxonomy) -> list[tuple[str, float]]:
    """The likeliest species' common name and its probability, for each photo."""
    sums = SpeciesSums(taxonomy).of(leaves)
    return [(taxonomy.species_names[int(row.argmax())], min(1.0, float(row.max()))) for row in sums]


def _share(values: npt.NDArray[np.bool_]) -> float:
    return round(float(np.mean(values)), 4)
