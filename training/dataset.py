"""The data directory: its manifest, its photos and where the base weights lie in it."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.errors import DataError

MANIFEST: Final = "manifest.csv"
BASE_WEIGHTS: Final = Path("weights") / "mobilenet_v2_imagenet1001.onnx"

SPECIES: Final = "species"
NO_ANIMAL_SET: Final = "no_animal"
NEW_SPECIES: Final = "new_species"
BOXES: Final = "boxes"

ADDED: Final = "added"
"""Photos of a data set of `bestiary data`: their class is the key of their one right leaf."""

BLANK: Final = "blank"
"""What a part of a photo without any animal is called, and a folder of boxes/ that is not what it says: of its nine
pictures four show a lion that nobody marked and the others are drawings and toys. They are never learned from."""

TRAINABLE_SETS: Final = (SPECIES, NO_ANIMAL_SET, BOXES)
CLEAN_LICENCES: Final = frozenset({"CC-BY-4.0", "CC-BY-SA-4.0"})
"""Only photos of these sets under these licences enter training; the rest is looked at, never learned from."""


Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 as shares of the photo's width and height."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One row of the manifest, or a part of its photo. ``path`` is relative to the data directory."""

    path: str
    set: str
    cls: str
    source: str
    licence: str
    width: int = 0
    height: int = 0
    """Pixels of the upright photo."""
    boxes: tuple[Corners, ...] = ()
    """Every animal, where the data set says so."""
    crop: Corners | None = None
    """The box that is looked at, with the context that serving gives it; None is the whole photo."""


def read_manifest(data: Path) -> list[Photo]:
    """All photos of ``manifest.csv``, sorted by path. Raises DataError if there is no such file."""
    file = data / MANIFEST
    if not file.is_file():
        raise DataError(f"No {MANIFEST} in {data}. Point --data to the directory of the data set.")
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [_photo(row) for row in csv.DictReader(stream)]
    return sorted(rows, key=lambda photo: photo.path)


def _photo(row: dict[str, str]) -> Photo:
    boxes = tuple(
        (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        for cx, cy, width, height in json.loads(row["boxes"] or "[]")
    )
    return Photo(
        path=row["path"],
        set=row["set"],
        cls=row["cls"],
        source=row["source"],
        licence=row["licence"],
        width=int(row["width"]),
        height=int(row["height"]),
        boxes=boxes,
    )


def trainable(photos: Iterable[Photo]) -> list[Photo]:
    """Those that may be learned from. Raises DataError if one of ``TRAINABLE_SETS`` has another licence."""
    chosen = [photo for photo in photos if photo.set in TRAINABLE_SETS and photo.cls != BLANK]
    for photo in chosen:
        if photo.licence not in CLEAN_LICENCES:
            raise DataError(f"{photo.path} has the licence {photo.licence!r}; training takes {sorted(CLEAN_LICENCES)}.")
    return chosen


def of_set(photos: Iterable[Photo], name: str) -> list[Photo]:
    """The photos of one set, in order."""
    return [photo for photo in photos if photo.set == name]


def read_bytes(data: Path, photo: Photo) -> bytes:
    """The encoded photo. Raises DataError if the manifest names a file that is not there."""
    try:
        return (data / photo.path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{photo.path} stands in the manifest but not in {data}.") from None


def digest(data: Path, photos: Iterable[Photo]) -> str:
    """SHA-256 over the sorted list of the photos' own SHA-256 digests, one a line, in hex."""
    digests = sorted(hashlib.sha256(read_bytes(data, photo)).hexdigest() for photo in photos)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
