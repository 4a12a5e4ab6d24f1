"""What a version of a data set is: photos with label, part and group, and the species that are new with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

from contract.taxonomy import RANKS
from training.dataset import Corners

Part = Literal["train", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

DIGEST_LENGTH: Final = 12
"""Hex digits of a version's digest that its folder and its identity carry."""


@dataclass(frozen=True, slots=True)
class NewSpecies:
    """A leaf that the base taxonomy lacks; scientific names by rank as in ``contract.taxonomy.RANKS``."""

    key: str
    ranks: tuple[str, str, str, str, str]
    common_name: str
    variety: str = ""

    def row(self) -> dict[str, str]:
        """Its cells under ``contract.taxonomy.COLUMNS``. It has no row in the base network."""
        ranks = dict(zip(RANKS, self.ranks, strict=True))
        return {
            "leaf": self.key,
            **ranks,
            "common_name": self.common_name,
            "variety": self.variety,
            "imagenet_row": "",
        }


@dataclass(frozen=True, slots=True)
class DatasetPhoto:
    """One photo of a version. All strings may be '' where nobody said, but for the first five fields."""

    path: str
    """Below ``Dataset.root``: ``photos/<first two hex digits>/<sha256><suffix>``."""
    sha256: str
    """Of the file's bytes, 64 hex digits."""
    label: str
    """A leaf of the base taxonomy, ``NO_ANIMAL`` for a blank, or the key of one of ``Dataset.species``."""
    part: Part
    group: str
    """Photos of one group are of one place, one burst or one picture, and so always in one part."""
    width: int
    height: int
    """Pixels of the upright photo."""
    boxes: tuple[Corners, ...] = ()
    """Animals, as shares of the upright photo's width and height; () where nobody marked any."""
    location: str = ""
    sequence: str = ""
    captured_at: datetime | None = None
    """The camera's local clock, without a zone."""
    source: str = ""
    licence: str = ""
    original: str = ""
    """What the file was called where it came from; no part of the digest."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One version of a data set. Never changes: other photos, labels or parts are another version."""

    name: str
    digest: str
    """The first ``DIGEST_LENGTH`` hex digits of :func:`content_digest`."""
    root: Path
    """``root / photo.path`` is a photo's file."""
    photos: tuple[DatasetPhoto, ...]
    """Sorted by SHA-256."""
    species: tuple[NewSpecies, ...]
    """One for each label that is no leaf of the base taxonomy, sorted by key."""

    @property
    def identity(self) -> str:
        """``name@digest``, as commands and records have it."""
        return f"{self.name}@{self.digest}"

    def of_part(self, part: Part) -> tuple[DatasetPhoto, ...]:
        """The photos of one part, in order."""
        return tuple(photo for photo in self.photos if photo.part == part)


def content_digest(photos: Iterable[DatasetPhoto], species: Sequence[NewSpecies]) -> str:
    """SHA-256 in hex over what a training could see: photos by their bytes, all that is said of them, new species.

    Where the files came from and in which order they were read does not matter.
    """
    content = {
        "photos": [_said(photo) for photo in sorted(photos, key=lambda photo: photo.sha256)],
        "species": [one.row() for one in sorted(species, key=lambda one: one.key)],
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _said(photo: DatasetPhoto) -> list[object]:
    return [
        photo.sha256,
        photo.label,
        photo.part,
        photo.group,
        photo.boxes,
        photo.location,
        photo.sequence,
        photo.captured_at.isoformat() if photo.captured_at else "",
        photo.source,
        photo.licence,
    ]
