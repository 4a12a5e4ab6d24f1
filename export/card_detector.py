"""The model card's section on the detector."""

from __future__ import annotations

from typing import Final

from export.card_text import percent, table
from export.findings import Findings
from training.detector.evaluate import MANY
from training.evaluate import Figures

_COMPARED: Final = (
    ("precision", "boxes that are right (overlap from 0.5 on)"),
    ("recall", "marked lions that are found"),
    ("any_found.lions", "lion photos on which any is found"),
    ("exact_count", "lion photos counted exactly"),
    ("any_found.species", "photos of species/ on which any animal is found"),
    ("any_found.photographs", "the same, without drawings and figures"),
    ("any_found.new_species", "monkey photos on which any animal is found"),
    ("false_alarm.no_animal", "photos of objects with a box"),
)


def detector_section(findings: Findings) -> str:
    """What it was made from and how well it finds and counts, before fine-tuning and after."""
    detector = findings.detector
    before, after = detector.test["before"], detector.test["after"]
    counts = detector.photos
    return f"""## The detector

YOLOX-nano at 416 x 416 (Ge et al., "YOLOX: Exceeding YOLO Series in 2021"), made class-agnostic: one class, "animal".
It started from weights trained on COCO and was fine-tuned on the marked lions; on all other training photos it learned
from its own starting answers, so that other animals stay found. {counts["train"]} photos to train on,
{counts["validation"]} to choose thresholds, {counts["test"]} held back, the same split as the classifier's.
Of two boxes that overlap by more than {detector.thresholds["overlap"]:.2f} only the better stays; a box counts from
{detector.thresholds["detect_from"]:.3f} on. "Before" is the starting network at its own best thresholds.

{_comparison(before, after)}

{_counts(before, after)}"""


def _comparison(before: Figures, after: Figures) -> str:
    rows = [[about, percent(before.get(key)), percent(after.get(key))] for key, about in _COMPARED]
    rows.append(["animals too many or too few on a lion photo, mean", *_means(before, after, "count_error")])
    return table(["held-back photos", "before", "after"], rows)


def _counts(before: Figures, after: Figures) -> str:
    rows = []
    for number in range(1, MANY + 1):
        name = f"{number}_animals" if number < MANY else f"{number}_or_more_animals"
        if f"photos.{name}" in after:
            exact = (percent(figures.get(f"exact_count.{name}")) for figures in (before, after))
            about = str(number) if number < MANY else f"{number} or more"
            rows.append(
                [about, f"{after[f'photos.{name}']:.0f}", *exact, *_means(before, after, f"count_error.{name}")]
            )
    head = ["lions", "photos", "exact, before", "exact, after", "mean error, before", "mean error, after"]
    return table(head, rows)


def _means(before: Figures, after: Figures, name: str) -> list[str]:
    return [f"{figures[name]:.2f}" for figures in (before, after)]
