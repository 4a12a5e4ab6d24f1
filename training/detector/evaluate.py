"""Figures of the model card for a detector: boxes, counts, animals found, false alarms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imaging.letterbox import Boxes, to_photo
from postprocess.nms import keep, overlaps
from training.dataset import BLANK, BOXES, NEW_SPECIES, NO_ANIMAL_SET, SPECIES, Photo, of_set
from training.detector.predict import Candidates
from training.detector.scenes import marked_boxes
from training.evaluate import Figures, no_photographs

SAME_ANIMAL: Final = 0.5
"""Overlap from which on a found box is a marked one (Everingham et al., PASCAL VOC, 2010, section 4.2)."""

MANY: Final = 4
"""So many animals and more are reported together."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts: score from ``detect_from`` on; boxes that overlap by more than ``overlap`` are one animal."""

    detect_from: float
    overlap: float


START: Final = Thresholds(detect_from=0.2, overlap=0.5)
"""Where the starting network counts best; measured before anything was trained."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Photos and a detector's candidates for them, FP32 [N, 300, 5]."""

    photos: tuple[Photo, ...]
    candidates: Candidates

    def of(self, chosen: Sequence[Photo]) -> Answers:
        """The same for some of the photos."""
        place = {photo.path: row for row, photo in enumerate(self.photos)}
        return Answers(tuple(chosen), self.candidates[[place[photo.path] for photo in chosen]])


@dataclass(frozen=True, slots=True)
class Mistake:
    """A photo on which the number of animals is wrong."""

    path: str
    there: int
    found: int


def held_out(photos: Sequence[Photo], test: Sequence[Photo]) -> list[Photo]:
    """The held-back part, the monkeys and the photos of boxes/ marked as empty: everything that is reported on."""
    return [*test, *of_set(photos, NEW_SPECIES), *(photo for photo in of_set(photos, BOXES) if photo.cls == BLANK)]


def found(answers: Answers, thresholds: Thresholds) -> list[Boxes]:
    """The boxes of each photo, FP32 [n, 4] as shares of the photo, best first."""
    boxes = []
    for photo, rows in zip(answers.photos, answers.candidates, strict=True):
        kept = keep(rows, thresholds.detect_from, thresholds.overlap)
        boxes.append(to_photo(rows[kept, :4], photo.width, photo.height))
    return boxes


def measure(answers: Answers, thresholds: Thresholds) -> Figures:
    """All figures for a set of photos; what has no photo among them is left out."""
    lions = [photo for photo in of_set(answers.photos, BOXES) if photo.boxes]
    figures = _counted(answers.of(lions), thresholds) if lions else {}
    for name in (SPECIES, NEW_SPECIES):
        figures |= _any_found(answers.of(of_set(answers.photos, name)), thresholds, name)
    for name, photos in (
        (NO_ANIMAL_SET, of_set(answers.photos, NO_ANIMAL_SET)),
        ("marked_empty", [photo for photo in answers.photos if photo.cls == BLANK]),
    ):
        if photos:
            figures[f"photos.{name}"] = float(len(photos))
            figures[f"false_alarm.{name}"] = _mean([len(boxes) > 0 for boxes in found(answers.of(photos), thresholds)])
    return figures


def mistakes(answers: Answers, thresholds: Thresholds) -> list[Mistake]:
    """Photos with a wrong number of boxes; of a photo without marks it is known whether there is an animal."""
    wrong = []
    for photo, boxes in zip(answers.photos, found(answers, thresholds), strict=True):
        if photo.set == BOXES:
            there, right = len(photo.boxes), len(boxes) == len(photo.boxes)
        else:
            there, right = int(photo.set != NO_ANIMAL_SET), (len(boxes) > 0) == (photo.set != NO_ANIMAL_SET)
        if not right:
            wrong.append(Mistake(photo.path, there, len(boxes)))
    return wrong


def matches(ours: Boxes, marked: Boxes) -> int:
    """How many marked boxes FP32 [m, 4] are found by ours FP32 [n, 4], best first; each of ours finds one at most."""
    if not len(ours) or not len(marked):
        return 0
    shared = overlaps(np.concatenate((ours, marked)))[: len(ours), len(ours) :]
    matched = 0
    for row in shared:
        best = int(row.argmax())
        if row[best] >= SAME_ANIMAL:
            matched += 1
            shared[:, best] = -1
    return matched


def _counted(answers: Answers, thresholds: Thresholds) -> Figures:
    """Precision and recall of boxes, and counts by number of animals."""
    boxes = found(answers, thresholds)
    marked = [marked_boxes(photo) for photo in answers.photos]
    right = sum(matches(ours, theirs) for ours, theirs in zip(boxes, marked, strict=True))
    there = np.array([len(theirs) for theirs in marked])
    error = np.array([len(ours) for ours in boxes]) - there
    figures = {
        "photos.lions": float(len(boxes)),
        "precision": round(right / max(1, sum(map(len, boxes))), 4),
        "recall": round(right / int(there.sum()), 4),
        "exact_count": _mean(error == 0),
        "count_error": _mean(np.abs(error)),
        "count_bias": _mean(error),
        "any_found.lions": _mean(error > -there),
    }
    for number in range(1, MANY + 1):
        of = (there == number) if number < MANY else (there >= MANY)
        name = f"{number}_animals" if number < MANY else f"{number}_or_more_animals"
        if of.any():
            figures[f"photos.{name}"] = float(of.sum())
            figures[f"exact_count.{name}"] = _mean(error[of] == 0)
            figures[f"count_error.{name}"] = _mean(np.abs(error[of]))
            figures[f"count_bias.{name}"] = _mean(error[of])
    return figures


def _any_found(answers: Answers, thresholds: Thresholds, name: str) -> Figures:
    """The share of photos of animals on which any is found, of photographs alone and by class too."""
    if not answers.photos:
        return {}
    hit = np.array([len(boxes) > 0 for boxes in found(answers, thresholds)])
    real = np.array([photo.path not in no_photographs() for photo in answers.photos])
    figures = {f"photos.{name}": float(len(hit)), f"any_found.{name}": _mean(hit)}
    if name == SPECIES:
        figures |= {"photos.photographs": float(real.sum()), "any_found.photographs": _mean(hit[real])}
    rows: dict[str, list[int]] = defaultdict(list)
    for row, photo in enumerate(answers.photos):
        rows[photo.cls].append(row)
    return figures | {f"any_found.class.{cls}": _mean(hit[rows[cls]]) for cls in sorted(rows)}


def _mean(values: npt.NDArray[np.bool_] | npt.NDArray[np.int_] | Sequence[bool]) -> float:
    return round(float(np.mean(values)), 4)
