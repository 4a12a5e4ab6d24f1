"""The folder of data sets: the only module that reads and writes it.

    datasets/
      photos/ab/<sha256>.jpg     each photo once, whatever versions have it
      <name>/<digest>/           one version; written whole or not at all, never changed
        dataset.json             name, digest, seed, new species, counts
        photos.csv               a photo a row, the fields of DatasetPhoto
        left_out.csv             what was offered and not taken, with its reason
        report.html              what a person reads

A directory here. Blob Storage needs the same four acts: put a photo unless it is there, put a version's files with
``dataset.json`` last, list, get.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from contract.taxonomy import RANKS
from training.datasets.model import DIGEST_LENGTH, PARTS, Dataset, DatasetPhoto, NewSpecies, Part, content_digest
from training.errors import DataError

FORMAT: Final = 1
"""Of ``dataset.json`` and ``photos.csv``. Goes up when an older reader would misread them."""

DATASET: Final = "dataset.json"
PHOTOS: Final = "photos.csv"
PHOTO_FOLDER: Final = "photos"

COLUMNS: Final = (
    "path", "sha256", "label", "part", "group", "width", "height", "boxes", "location", "sequence", "captured_at",
    "source", "licence", "original",
)  # fmt: skip
"""Of ``photos.csv``. ``boxes``: JSON list of x1, y1, x2, y2 as shares of the upright photo."""


@dataclass(frozen=True, slots=True)
class Version:
    """What ``dataset.json`` says of a version."""

    folder: Path
    name: str
    digest: str
    """All 64 hex digits."""
    created_at: datetime
    classes: Mapping[str, Mapping[Part, int]]
    """Label -> photos by part."""
    new_species: tuple[str, ...]
    left_out: int

    @property
    def identity(self) -> str:
        """``name@digest``."""
        return f"{self.name}@{self.digest[:DIGEST_LENGTH]}"

    @property
    def photos(self) -> int:
        """How many it has."""
        return sum(sum(counts.values()) for counts in self.classes.values())


def read_dataset(folder: Path) -> Dataset:
    """The version in ``datasets/<name>/<digest>/``.

    Raises DataError if it is not there, is no version, was changed since it was written, or lacks photos.
    """
    dataset = _read_version(folder)
    missing = [photo for photo in dataset.photos if not (dataset.root / photo.path).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(dataset.photos)} photos of {folder} are not in {dataset.root / PHOTO_FOLDER}, "
            f"such as {missing[0].original or missing[0].path}: add the data set again from its source."
        )
    return dataset


def find_version(root: Path, wanted: str) -> Path:
    """The folder of ``NAME`` (its newest version) or ``NAME@DIGEST``, a digest's beginning being enough.

    Raises DataError if there is none, or several begin so.
    """
    name, _, beginning = wanted.partition("@")
    versions = list_versions(root)
    of_name = [version for version in versions if version.name == name]
    if not of_name:
        names = sorted({version.name for version in versions})
        there = f"There are {', '.join(names)}." if names else "There is none yet: `bestiary data add` writes one."
        raise DataError(f"No data set '{name}' in {root}. {there}")
    found = [version for version in of_name if version.digest.startswith(beginning)]
    if not found or (beginning and len(found) > 1):
        digests = ", ".join(version.digest[:DIGEST_LENGTH] for version in found or of_name)
        what = "Several versions begin so" if found else "No version begins so"
        raise DataError(f"{what}: {wanted}. Of {name} there are {digests}.")
    return found[-1].folder


def list_versions(root: Path) -> list[Version]:
    """All versions in the folder of data sets, by name, then oldest first. What cannot be read is not listed."""
    versions = []
    for file in root.glob(f"*/*/{DATASET}"):
        if file.parent.name.startswith("."):
            continue
        try:
            facts = _read_facts(file.parent)
            versions.append(
                Version(
                    file.parent, facts["name"], facts["digest"], datetime.fromisoformat(facts["created_at"]),
                    facts["classes"], tuple(row["leaf"] for row in facts["species"]), facts["left_out"],
                )
            )  # fmt: skip
        except (DataError, KeyError, TypeError, ValueError):
            continue
    return sorted(versions, key=lambda version: (version.name, version.created_at))


def earlier_parts(root: Path, name: str) -> dict[str, Part]:
    """SHA-256 -> part of every photo of any version of ``name``; the newest version that has it says which.

    A damaged version says nothing: it is written again by adding the data set again.
    """
    parts: dict[str, Part] = {}
    for version in list_versions(root):
        if version.name == name:
            with suppress(DataError):
                parts.update({photo.sha256: photo.part for photo in _read_version(version.folder).photos})
    return parts


def damaged(dataset: Dataset, tick: Callable[[], None] = lambda: None) -> list[DatasetPhoto]:
    """The photos whose files are not what they were when they were added. Reads all of them."""
    found = []
    for photo in dataset.photos:
        if hashlib.sha256((dataset.root / photo.path).read_bytes()).hexdigest() != photo.sha256:
            found.append(photo)
        tick()
    return found


def _read_version(folder: Path) -> Dataset:
    """A version whether its photos are there or not."""
    facts = _read_facts(folder)
    try:
        species = tuple(_species(row) for row in facts["species"])
        with (folder / PHOTOS).open(encoding="utf-8", newline="") as stream:
            photos = tuple(_photo(row) for row in csv.DictReader(stream))
    except FileNotFoundError:
        raise DataError(f"{folder} has no {PHOTOS}: add the data set again.") from None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"The version in {folder} is damaged ({error!r}): add the data set again.") from None
    digest = content_digest(photos, species)
    if digest != facts["digest"]:
        raise DataError(f"{folder} was changed after it was written; versions never change. Add the data set again.")
    root = folder.resolve().parents[1]
    return Dataset(facts["name"], digest[:DIGEST_LENGTH], root, photos, species)


def _read_facts(folder: Path) -> dict[str, Any]:
    file = folder / DATASET
    try:
        facts: dict[str, Any] = json.loads(file.read_text("utf-8"))
        version = facts["format"]
        assert (
            isinstance(facts["name"], str) and isinstance(facts["digest"], str) and isinstance(facts["species"], list)
        )
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{folder} is no version of a data set: it has no {DATASET}. `bestiary data list` shows those there are."
        ) from None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise DataError(f"{file} cannot be read: add the data set again.") from None
    if version != FORMAT:
        raise DataError(f"{file} has format {version}, this version of Bestiary reads {FORMAT}.")
    return facts


def _species(row: Mapping[str, str]) -> NewSpecies:
    ranks = tuple(row[rank] for rank in RANKS)
    return NewSpecies(row["leaf"], ranks, row["common_name"], row["variety"])  # type: ignore[arg-type]  # five


def _photo(row: Mapping[str, str]) -> DatasetPhoto:
    part = next((part for part in PARTS if part == row["part"]), None)
    if part is None:
        raise ValueError(f"{row['part']!r} is no part")
    return DatasetPhoto(
        path=row["path"],
        sha256=row["sha256"],
        label=row["label"],
        part=part,
        group=row["group"],
        width=int(row["width"]),
        height=int(row["height"]),
        boxes=tuple((float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in json.loads(row["boxes"])),
        location=row["location"],
        sequence=row["sequence"],
        captured_at=datetime.fromisoformat(row["captured_at"]) if row["captured_at"] else None,
        source=row["source"],
        licence=row["licence"],
        original=row["original"],
    )
