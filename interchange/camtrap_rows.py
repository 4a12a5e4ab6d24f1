"""Rows of Camtrap DP's tables: one photo, one event or one deployment in, its cells by column name out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time, tzinfo
from typing import Any
from urllib.parse import quote

from contract.record import Record, RecordStatus, Taxon
from contract.taxonomy import NO_ANIMAL
from interchange.camtrap_schema import MISSING
from interchange.clocks import iso, moment
from interchange.dataset import file_of
from interchange.errors import InterchangeError
from interchange.events import Event, Seen
from interchange.findings import UNKNOWN, Finding, findings
from interchange.places import Deployment, base_name

Row = dict[str, Any]


def deployment(one: Deployment, zone: tzinfo) -> Row:
    """A row of ``deployments``: what somebody gave, the rest from its photos."""
    latitude, longitude = one.position() or (None, None)
    known: Row = {"latitude": latitude, "longitude": longitude}
    if len(one.cameras) == 1:
        make, model, serial = next(iter(one.cameras))
        known |= {"cameraID": serial, "cameraModel": "-".join(filter(None, (make, model)))}
    start, end = span(one, zone)
    times = {"deploymentStart": iso(start), "deploymentEnd": iso(end)}
    return known | dict(one.facts) | {"deploymentID": identity(one.id)} | times


def span(one: Deployment, zone: tzinfo) -> tuple[datetime, datetime]:
    """Start and end: as given, else the first and the last photo. A day given as the end is over when it is.

    Raises InterchangeError if one is not a time or the end comes first.
    """
    given_end = one.facts.get("deploymentEnd", "")
    try:
        start = datetime.fromisoformat(one.facts.get("deploymentStart") or one.first)
        end = datetime.fromisoformat(given_end or one.last)
    except ValueError:
        raise InterchangeError(
            f"Deployment {one.id}: start and end must be times such as 2026-03-01 or 2026-03-01T22:00:00+01:00."
        ) from None
    if len(given_end) == len("2026-03-01"):
        end = datetime.combine(end, time(23, 59, 59))
    start, end = moment(start, zone), moment(end, zone)
    if end < start:
        raise InterchangeError(f"Deployment {one.id} ends before it starts: correct the file of deployments.")
    return start, end


def media(record: Record, place: str, zone: tzinfo) -> Row:
    """A row of ``media``. ``place`` is its deployment."""
    photo = record.photo
    row: Row = {
        "mediaID": record.id,
        "deploymentID": identity(place),
        "timestamp": iso(moment(photo.captured_at, zone)) if photo.captured_at else "",
        "filePath": path(file_of(record)),
        "filePublic": "false",
        "fileName": base_name(photo.filename or ""),
        "fileMediatype": f"image/{photo.format.lower()}",
    }
    if photo.camera is not None:
        names = {"Make": photo.camera.make, "Model": photo.camera.model, "BodySerialNumber": photo.camera.serial}
        row["exifData"] = json.dumps({name: text for name, text in names.items() if text})
    if record.status is RecordStatus.PARTIAL:
        row["mediaComments"] = "The file ends before its picture does."
    return row


def path(file: str) -> str:
    """A file's path in a form that the standard takes: what it forbids is percent-encoded."""
    plain = "".join(char if char.isprintable() else quote(char) for char in file)
    hidden = re.sub(r"^[./~]+", lambda match: "".join(f"%{ord(char):02X}" for char in match[0]), plain)
    return re.sub(r"\.(?=\.)", "%2E", hidden)


def of_photo(record: Record, event: Event, zone: tzinfo) -> Iterator[Row]:
    """Rows of ``observations`` for one photo: one a finding, or a blank."""
    found: Sequence[Finding | None] = findings(record) or [None]
    for number, finding in enumerate(found):
        row: Row = {
            "observationID": f"{record.id}-{number}",
            "deploymentID": identity(event.place),
            "mediaID": record.id,
            "observationLevel": "media",
            "classificationTimestamp": iso(record.received_at),
        }
        row |= _when(event, zone) | _what(finding.taxon if finding else None, finding.count if finding else None)
        if finding is None and record.species and record.species[0].key == NO_ANIMAL:
            row["classificationProbability"] = round(record.species[0].score, 4)
        if finding is not None and finding.box is not None:
            row |= _box(finding)
        yield row | {"classifiedBy": classified_by([record.release])}


def _box(finding: Finding) -> Row:
    """Corner and extent as shares of the photo, and what else is known of the box."""
    box = finding.box
    if box is None:
        return {}
    x1, y1, x2, y2 = (min(max(side, 0.0), 1.0) for side in (box.x1, box.y1, box.x2, box.y2))
    row: Row = {"observationTags": f"detectionScore:{box.score:.4f}"}
    sides = {"bboxX": x1, "bboxY": y1, "bboxWidth": round(x2 - x1, 6), "bboxHeight": round(y2 - y1, 6)}
    if sides["bboxWidth"] > 0 and sides["bboxHeight"] > 0:  # the standard has no boxes without an extent
        row |= {name: f"{side:.6f}" for name, side in sides.items()}
    set_ = box.alternatives
    if set_ is not None and (set_.taxon is not None or len(set_.species) > 1):
        names = [set_.taxon.name] if set_.taxon is not None else [one.common_name for one in set_.species]
        row["observationComments"] = f"With probability {set_.coverage:g} one of: {', '.join(names)}"
    return row


def of_event(event: Event, at: datetime, by: str, zone: tzinfo) -> Iterator[Row]:
    """Rows of ``observations`` for one event, whose counts may be summed. ``at``, ``by``: who said so, and when."""
    seen: Sequence[Seen | None] = event.seen or [None]
    for number, one in enumerate(seen):
        row: Row = {
            "observationID": f"{event.id}#{number}",
            "deploymentID": identity(event.place),
            "observationLevel": "event",
            "classificationTimestamp": iso(at),
            "classifiedBy": by,
        }
        yield row | _when(event, zone) | _what(one.taxon if one else None, one.count if one else None)


def _when(event: Event, zone: tzinfo) -> Row:
    start, end = (iso(moment(at, zone)) for at in (event.start, event.end))
    return {"eventID": event.id, "eventStart": start, "eventEnd": end}


def _what(taxon: Taxon | None, count: int | None) -> Row:
    row: Row = {"observationType": "blank", "classificationMethod": "machine"}
    if taxon is None:
        return row
    row["observationType"] = "unknown" if taxon.rank == UNKNOWN else "animal"
    row["scientificName"] = taxon.name
    row["classificationProbability"] = round(taxon.score, 4)
    return row | ({} if count is None else {"count": count})


def classified_by(releases: Iterable[str]) -> str:
    """Who classified: the program and the releases that answered."""
    return f"Bestiary {', '.join(sorted(releases))}"


def identity(place: str) -> str:
    """A deployment's id; one that readers would take for 'not known' (a folder called NA) gets a stroke."""
    return f"{place}_" if place in MISSING else place
