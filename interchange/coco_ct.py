"""COCO Camera Traps, the format of data sets on LILA and of training tools.

The standard: "COCO Camera Traps format" (https://lila.science/coco-camera-traps), which has no version numbers;
written as of 2026. A superset of COCO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TextIO
from uuid import UUID

from contract.record import Record
from interchange.dataset import file_of
from interchange.events import GAP, Shot, group, shot
from interchange.findings import UNKNOWN, Finding, Key, findings, key, rank_of
from interchange.places import Places

EMPTY: Final = {"id": 0, "name": "empty"}
"""The category that the format reserves."""


@dataclass(slots=True)
class _Index:
    """What must be known before the first image is written: categories, and each photo's place in its burst."""

    categories: dict[Key, dict[str, Any]] = field(default_factory=dict)
    bursts: dict[UUID, tuple[str, int, int]] = field(default_factory=dict)
    """Photo -> sequence id, number of frames in it, frame number."""


def write(
    records: Iterable[Record],
    stream: TextIO,
    *,
    places: Places,
    gap: timedelta = GAP,
    failures: Mapping[str, str] | None = None,
    created: datetime | None = None,
) -> int:
    """Write one object; the number of images. ``records`` is gone through three times, each photo being there once.

    ``failures``: file -> why the photo cannot be read; it is marked corrupt. Boxes are x, y, width and height
    in pixels of the upright photo. Annotations made by machines have a ``score``, which COCO's own tools know too.
    """
    index = _index(records, places, gap)
    created = created or datetime.now().astimezone()
    info = {
        "version": "1.0",
        "description": "Found and named by Bestiary; nobody has checked it.",
        "year": created.year,
        "date_created": created.isoformat(sep=" ", timespec="seconds"),
    }
    head = {"info": info, "categories": [EMPTY, *index.categories.values()]}
    stream.write(json.dumps(head, indent=1, ensure_ascii=False)[:-2] + ',\n "images": ')
    images = (_image(record, places, index.bursts.get(record.id)) for record in records)
    corrupt = (_corrupt(file, why, places) for file, why in (failures or {}).items())
    count = _array(stream, (entry for part in (images, corrupt) for entry in part))
    stream.write(',\n "annotations": ')
    _array(stream, (entry for record in records for entry in _annotations(record, index.categories)))
    stream.write("\n}\n")
    return count


def _index(records: Iterable[Record], places: Places, gap: timedelta) -> _Index:
    index = _Index()
    shots: list[Shot] = []
    taxa = {}
    for record in records:
        shots.append(shot(record, places.of(record)))
        taxa.update({finding.key: finding.taxon for finding in findings(record)})
    names = {EMPTY["name"]}
    for which, taxon in sorted(taxa.items()):
        name = next(name for name in _names(taxon.common_name, taxon.name) if name not in names)
        names.add(name)
        entry: dict[str, Any] = {"id": len(index.categories) + 1, "name": name}
        if taxon.rank != UNKNOWN:
            entry |= {"scientific_name": taxon.name, "rank": rank_of(taxon)}
        index.categories[which] = entry
    for event in group(shots, gap):
        for frame, one in enumerate(event.shots):
            index.bursts[one.id] = event.id, len(event.shots), frame
    return index


def _names(common: str, scientific: str) -> Iterator[str]:
    """Names for a category, the nicest first: the format advises lower case without spaces."""
    words = [re.sub(r"\W+", "_", text.lower()).strip("_") for text in (common, scientific)]
    yield from filter(None, words)
    number = 2
    while True:
        yield f"{words[0] or 'animal'}_{number}"
        number += 1


def _image(record: Record, places: Places, burst: tuple[str, int, int] | None) -> dict[str, Any]:
    photo = record.photo
    entry: dict[str, Any] = {
        "id": str(record.id),
        "file_name": file_of(record),
        "width": photo.width,
        "height": photo.height,
        "location": places.of(record),
    }
    if photo.captured_at is not None:
        entry["datetime"] = f"{photo.captured_at:%Y-%m-%d %H:%M:%S}"
    if burst is not None:
        entry["seq_id"], entry["seq_num_frames"], entry["frame_num"] = burst
    return entry


def _corrupt(file: str, why: str, places: Places) -> dict[str, Any]:
    return {"id": file, "file_name": file, "location": places.of_file(file), "corrupt": True, "failure": why}


def _annotations(record: Record, categories: Mapping[Key, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    found = findings(record)
    if not found:
        yield {"id": f"{record.id}-0", "image_id": str(record.id), "category_id": EMPTY["id"]}
    for number, finding in enumerate(found):
        entry: dict[str, Any] = {
            "id": f"{record.id}-{number}",
            "image_id": str(record.id),
            "category_id": categories[key(finding.taxon)]["id"],
            "score": round(finding.taxon.score, 4),
        }
        yield entry | _extent(record, finding)


def _extent(record: Record, finding: Finding) -> dict[str, Any]:
    box = finding.box
    if box is None:
        return {} if finding.count is None else {"count": finding.count}
    width, height = record.photo.width, record.photo.height
    x1, x2 = (round(min(max(side, 0.0), 1.0) * width, 1) for side in (box.x1, box.x2))
    y1, y2 = (round(min(max(side, 0.0), 1.0) * height, 1) for side in (box.y1, box.y2))
    return {"bbox": [x1, y1, round(max(x2 - x1, 0.0), 1), round(max(y2 - y1, 0.0), 1)]}


def _array(stream: TextIO, entries: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    stream.write("[")
    for count, entry in enumerate(entries, start=1):
        stream.write(f"{',' if count > 1 else ''}\n  {json.dumps(entry, ensure_ascii=False)}")
    stream.write("\n ]")
    return count
