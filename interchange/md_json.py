"""MegaDetector's results format, version 1.6, which Timelapse and AddaxAI read.

The standard: "MegaDetector output format" (https://lila.science/megadetector-output-format).
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TextIO

from contract.record import Box, Record, SpeciesScore, Taxon
from contract.taxonomy import NO_ANIMAL
from interchange.dataset import file_of
from interchange.findings import ANIMAL, UNKNOWN, Finding, Key, findings, key, lineage, of_species

FORMAT_VERSION: Final = "1.6"
DETECTION_CATEGORIES: Final = {"1": "animal", "2": "person", "3": "vehicle"}
"""The usual three, so that results of several detectors can be joined. Only animals are found here."""

_ANIMAL: Final = "1"
_EXIF_TIME: Final = "%Y:%m:%d %H:%M:%S"
_DECIMALS: Final = 4
_TAXA: Final = uuid.UUID("7b6ac6a4-3f0e-5b0f-9d5e-1f2a40c9e7a1")
"""Name space of our taxon ids: readers expect an id in front, and ours are the same in every export."""


@dataclass(slots=True)
class _Summary:
    """What stands beside the images and is known only when all of them were seen."""

    categories: dict[Key, str] = field(default_factory=dict)
    taxa: dict[str, Taxon] = field(default_factory=dict)
    lowest: float | None = None
    """Score of the least sure detection."""
    vaguest: float | None = None
    """Score of the least sure name."""
    last: datetime | None = None
    releases: set[str] = field(default_factory=set)

    def take(self, record: Record) -> None:
        """Learn from one record."""
        self.releases.add(record.release)
        self.last = max(filter(None, (self.last, record.received_at)))
        for finding in findings(record):
            self.lowest = _least(self.lowest, _confidence(record, finding))
            named = _named(record, finding)
            if named:
                self.vaguest = _least(self.vaguest, named[0].score)
            for taxon in named:
                if key(taxon) not in self.categories:
                    self.categories[key(taxon)] = str(len(self.categories) + 1)
                    self.taxa[self.categories[key(taxon)]] = taxon

    def info(self) -> dict[str, Any]:
        """The format's ``info``. What the service stored passed its thresholds, so readers are told to show all."""
        done = f"{self.last:%Y-%m-%d %H:%M:%S}" if self.last else ""
        names = f"bestiary {', '.join(sorted(self.releases))}".strip()
        info: dict[str, Any] = {"format_version": FORMAT_VERSION, "detector": names}
        if self.lowest is not None:
            lowest = _floor(self.lowest)
            info["detector_metadata"] = {
                "typical_detection_threshold": lowest,
                "conservative_detection_threshold": lowest,
            }
        info |= {"detection_completion_time": done, "classifier": names, "classification_completion_time": done}
        if self.vaguest is not None:
            info["classifier_metadata"] = {"typical_classification_threshold": _floor(self.vaguest)}
        return info


def write(records: Iterable[Record], stream: TextIO, failures: Mapping[str, str] | None = None) -> int:
    """Write one object; the number of images. ``records`` is gone through twice, each photo being there once.

    ``failures``: file -> why it has no result. Boxes: x and y of the upper left corner, width and height, shares
    of the upright photo. Photos that were not searched for animals get one box as large as the photo.
    """
    summary = _Summary()
    for record in records:
        summary.take(record)
    head = {"info": summary.info(), "detection_categories": DETECTION_CATEGORIES}
    if summary.taxa:
        head["classification_categories"] = {number: _label(taxon) for number, taxon in summary.taxa.items()}
        head["classification_category_descriptions"] = {
            number: description(taxon) for number, taxon in summary.taxa.items()
        }
    stream.write(json.dumps(head, indent=1, ensure_ascii=False)[:-2] + ',\n "images": [')
    count = 0
    for record in records:
        _element(stream, count, image(record, summary.categories))
        count += 1
    for file, why in (failures or {}).items():
        _element(stream, count, {"file": file, "failure": why, "detections": None})
        count += 1
    stream.write("\n ]\n}\n")
    return count


def _element(stream: TextIO, place: int, entry: Mapping[str, Any]) -> None:
    text = json.dumps(entry, ensure_ascii=False)
    stream.write(f"{',' if place else ''}\n  {text.encode(errors='replace').decode()}")


def image(record: Record, categories: Mapping[Key, str]) -> dict[str, Any]:
    """One element of the format's ``images``."""
    photo = record.photo
    entry: dict[str, Any] = {
        "file": file_of(record),
        "detections": [_detection(record, finding, categories) for finding in findings(record)],
        "width": photo.width,
        "height": photo.height,
    }
    exif = {}
    if photo.captured_at is not None:
        entry["datetime"] = exif["DateTimeOriginal"] = photo.captured_at.strftime(_EXIF_TIME)
    if photo.camera is not None:
        names = {"Make": photo.camera.make, "Model": photo.camera.model, "BodySerialNumber": photo.camera.serial}
        exif |= {name: text for name, text in names.items() if text}
    return entry | ({"exif_metadata": exif} if exif else {})


def _detection(record: Record, finding: Finding, categories: Mapping[Key, str]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "category": _ANIMAL,
        "conf": _confidence(record, finding),
        "bbox": [0.0, 0.0, 1.0, 1.0] if finding.box is None else bbox(finding.box),
    }
    classifications = [[categories[key(taxon)], round(taxon.score, _DECIMALS)] for taxon in _named(record, finding)]
    return entry | ({"classifications": classifications} if classifications else {})


def bbox(box: Box) -> list[float]:
    """Corner, width and height of a box, cut at the photo's edge."""
    x1, y1, x2, y2 = (round(min(max(side, 0.0), 1.0), _DECIMALS) for side in (box.x1, box.y1, box.x2, box.y2))
    return [x1, y1, round(max(x2 - x1, 0.0), _DECIMALS), round(max(y2 - y1, 0.0), _DECIMALS)]


def _confidence(record: Record, finding: Finding) -> float:
    """That there is an animal: the detector's score; where it was not asked, the sum over the named animals."""
    if finding.box is not None:
        return round(finding.box.score, _DECIMALS)
    named = sum(one.score for one in record.species if one.key != NO_ANIMAL)
    return round(min(1.0, max(named, finding.taxon.score)), _DECIMALS)


def _named(record: Record, finding: Finding) -> list[Taxon]:
    """The answer and the species beside it, surest first; nothing where no name is sure: readers take the first for
    the truth."""
    if finding.taxon.rank in (ANIMAL, UNKNOWN):
        return []
    species: Iterable[SpeciesScore] = record.species if finding.box is None else finding.box.species
    taxa = {finding.key: finding.taxon}
    for one in species:
        if one.key != NO_ANIMAL:
            taxa.setdefault(key(of_species(one)), of_species(one))
    return sorted(taxa.values(), key=lambda taxon: -taxon.score)


def _label(taxon: Taxon) -> str:
    return taxon.common_name.strip() or taxon.name or "animal"


def description(taxon: Taxon) -> str:
    """``id;class;order;family;genus;species;common name`` in lower case, as SpeciesNet writes taxa."""
    class_, order, family, genus, species = lineage(taxon)
    epithet = species.removeprefix(genus).strip() if genus else species
    identity = uuid.uuid5(_TAXA, "/".join(key(taxon)))
    parts = (str(identity), class_, order, family, genus, epithet, _label(taxon))
    return ";".join(part.replace(";", ",") for part in parts).lower()


def _least(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)


def _floor(share: float) -> float:
    return math.floor(share * 100) / 100
