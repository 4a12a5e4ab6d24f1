"""``report.html``: what to know of an addition before it becomes a release. One file, nothing from outside."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from training.adding import plots
from training.adding.add import Added
from training.adding.figures import answers, by_species, confusion, forgetting_table
from training.adding.taxonomy import keys
from training.dataset import ADDED, Photo
from training.regions import served_pixels

REPORT: Final = "report.html"

MISTAKES: Final = 24
"""Shown at most of either kind, the surest first."""

_THUMBNAIL: Final = 144
"""Pixels of a side."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A held-back photo that is named wrongly; ``before`` is what the base release called it."""

    thumbnail: str
    """``data:`` address of a JPEG."""
    truth: str
    answer: str
    share: float
    before: str


def write_report(told: Added, file: Path) -> None:
    """Write the page, whole or not at all."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["points"] = lambda share: f"{100 * share:+.1f}"
    environment.filters["spaced"] = lambda key: key.replace("_", " ")
    text = resources.files("training").joinpath("adding/report.html.j2").read_text(encoding="utf-8")
    new, old = mistakes(told, added=True), mistakes(told, added=False)
    page = environment.from_string(text).render(
        told=told,
        figures=told.figures,
        species=by_species(told.judged),
        new_leaves=[leaf.key for leaf in told.judged.taxonomy if leaf.key not in keys(told.judged.base_taxonomy)],
        forgetting=forgetting_table(told.judged),
        mistakes={"New species": new, "Old photos that were named rightly before": old},
        curve=plots.epochs(told.history),
        confusion=plots.confusion(*confusion(told.judged)),
        reliability=plots.reliability(told.evaluation.reliability),
    )
    unfinished = file.with_name(f".{file.name}")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(file)


def mistakes(told: Added, *, added: bool) -> list[Mistake]:
    """Photos of the data set that are named wrongly, or old ones that were named rightly before and are not now."""
    judged = told.judged
    wrong = ~judged.right_after if added else judged.right_before & ~judged.right_after
    said, before = answers(judged.after, judged.taxonomy), answers(judged.before, judged.base_taxonomy)
    rows = [row for row, photo in enumerate(judged.photos) if wrong[row] and (photo.set == ADDED) is added]
    rows = sorted(rows, key=lambda row: -said[row][1])[:MISTAKES]
    return [
        Mistake(_thumbnail(told.roots[row], judged.photos[row]), judged.photos[row].cls, *said[row], before[row][0])
        for row in rows
    ]


def _thumbnail(root: Path, photo: Photo) -> str:
    """What the classifier saw, small."""
    pixels = cv2.resize(served_pixels(root, photo), (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
