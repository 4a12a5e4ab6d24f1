"""The report of a check as one HTML file that needs nothing else: thumbnails are in it, and no script is."""

from __future__ import annotations

import base64
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from contract.photo_status import PhotoError
from contract.taxonomy import NO_ANIMAL
from imaging.decode import decode_picture
from training.dataset import Corners
from training.datasets.model import PARTS
from training.datasets.offers import LeftOut, Reason
from training.datasets.outcome import Checked

THUMBNAIL_HEIGHT: Final = 112
"""Pixels; with quality 72 a thumbnail has about 5 kB."""

WIDEST: Final = 2.5
"""A thumbnail is at most so many times as wide as high; a panorama is lower instead."""

MOST_OF_CLASS: Final = 14
MOST_PAIRS: Final = 36
MOST_LEFT_OUT: Final = 12
"""Thumbnails of one reason; the names of more are listed."""

MOST_NAMES: Final = 500

_SHOWN: Final = (Reason.LABEL_CONFLICT, Reason.DUPLICATE, Reason.TINY, Reason.TRUNCATED, Reason.UNKNOWN_LABEL)
"""Reasons of photos that there is something to see of."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture for the page; ``uri`` is '' where it cannot be decoded."""

    uri: str
    name: str
    note: str


def thumbnail(file: Path, boxes: Sequence[Corners] = ()) -> str:
    """A photo as a data URI of a small JPEG, its boxes drawn on it; '' if it cannot be decoded or read."""
    try:
        pixels = decode_picture(file.read_bytes(), short=THUMBNAIL_HEIGHT).pixels
    except (PhotoError, OSError):
        return ""
    height, width = pixels.shape[:2]
    scale = min(THUMBNAIL_HEIGHT / height, THUMBNAIL_HEIGHT * WIDEST / width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    for x1, y1, x2, y2 in boxes:
        corners = np.array([x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]]).round().astype(int).tolist()
        cv2.rectangle(small, corners[:2], corners[2:], (60, 220, 255), 1)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 72])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def render(checked: Checked, title: str, tick: Callable[[], None] = lambda: None) -> str:
    """The page. ``title``: a source, or name and digest of a version. ``tick`` is called after each thumbnail.

    Raises ImportError where Jinja is not installed (it comes with the training extra).
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("training.datasets", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with ThreadPoolExecutor(os.cpu_count(), "thumbnail") as pool:
        page = _Page(checked, pool, tick)
        content = page.content()
    text = templates.get_template("report.html.j2").render(title=title, **content)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # file names may hold bytes that are no text


class _Page:
    """What the template is given."""

    def __init__(self, checked: Checked, pool: ThreadPoolExecutor, tick: Callable[[], None]) -> None:
        self._checked = checked
        self._pool = pool
        self._tick = tick

    def content(self) -> dict[str, Any]:
        checked = self._checked
        conflicts = checked.conflicts()
        known = set(conflicts)
        alike = [pair for pair in checked.pairs if pair not in known]
        return {
            "kind": checked.kind,
            "parts": PARTS,
            "figures": self._figures(),
            "problems": checked.problems,
            "species": checked.species,
            "classes": self._classes(),
            "conflicts": [self._pair(pair.first, pair.second) for pair in conflicts[:MOST_PAIRS]],
            "conflict_count": len(conflicts),
            "alike": [self._pair(pair.first, pair.second) for pair in alike[:MOST_PAIRS]],
            "alike_count": len(alike),
            "left_out": self._left_out(),
        }

    def _figures(self) -> list[tuple[str, str]]:
        checked = self._checked
        photos = checked.photos
        sites = {photo.location for photo in photos if photo.location}
        figures = [
            ("photos", len(photos)),
            ("classes", len(checked.names)),
            ("new species", len(checked.species)),
            ("blanks", sum(photo.label == NO_ANIMAL for photo in photos)),
            ("groups", len({photo.group for photo in photos})),
            ("locations", len(sites)),
            ("left out", len(checked.left_out)),
        ]
        return [(name, f"{number:,}") for name, number in figures]

    def _classes(self) -> list[dict[str, Any]]:
        checked = self._checked
        places: dict[str, list[int]] = defaultdict(list)
        for at, photo in enumerate(checked.photos):
            places[photo.label].append(at)
        most = max((len(some) for some in places.values()), default=1)
        classes = []
        for label, counts in checked.balance().items():
            mine = places[label]
            shown = mine[:: max(len(mine) // MOST_OF_CLASS, 1)][:MOST_OF_CLASS]
            total = sum(counts.values())
            classes.append(
                {
                    "label": label,
                    "name": checked.names[label],
                    "new": any(row.key == label for row in checked.species),
                    "total": total,
                    "counts": counts,
                    "widths": {part: f"{100 * count / most:.2f}" for part, count in counts.items()},
                    "groups": len({checked.photos[at].group for at in mine}),
                    "thumbnails": self._of_photos(shown),
                }
            )
        return classes

    def _pair(self, first: int, second: int) -> list[Thumbnail]:
        return self._of_photos([first, second], with_label=True)

    def _of_photos(self, places: Sequence[int], with_label: bool = False) -> list[Thumbnail]:
        photos = [self._checked.photos[at] for at in places]
        uris = self._pool.map(thumbnail, [self._checked.files[at] for at in places], [one.boxes for one in photos])
        found = []
        for photo, uri in zip(photos, uris, strict=True):
            found.append(Thumbnail(uri, photo.original, f"{photo.label}, {photo.part}" if with_label else photo.part))
            self._tick()
        return found

    def _left_out(self) -> list[dict[str, Any]]:
        by_reason: dict[Reason, list[LeftOut]] = defaultdict(list)
        for one in self._checked.left_out:
            by_reason[one.reason].append(one)
        counts = Counter(one.reason for one in self._checked.left_out)
        found = []
        for reason, count in counts.most_common():
            some = sorted(by_reason[reason], key=lambda one: one.name)
            pictured = [one for one in some if one.file is not None and reason in _SHOWN][:MOST_LEFT_OUT]
            uris = self._pool.map(thumbnail, [one.file for one in pictured if one.file is not None])
            found.append(
                {
                    "reason": reason.value.replace("_", " "),
                    "count": count,
                    "thumbnails": [
                        Thumbnail(uri, one.name, one.label) for one, uri in zip(pictured, uris, strict=True) if uri
                    ],
                    "photos": some[:MOST_NAMES],
                    "more": max(count - MOST_NAMES, 0),
                }
            )
        return found


def thumbnails_in(checked: Checked) -> int:
    """How many thumbnails a report tells of, for a progress bar."""
    sizes = Counter(photo.label for photo in checked.photos)
    conflicts = len(checked.conflicts())
    pairs = min(conflicts, MOST_PAIRS) + min(len(checked.pairs) - conflicts, MOST_PAIRS)
    return sum(min(size, MOST_OF_CLASS) for size in sizes.values()) + 2 * pairs
