"""Camtrap DP 1.0.2: a Frictionless data package of deployments, media and observations.

The standard: https://camtrap-dp.tdwg.org; its fields stand in :mod:`interchange.camtrap_schema`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parseaddr
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from contract.record import Record, Taxon
from interchange import camtrap_rows as rows
from interchange import camtrap_schema as standard
from interchange.clocks import iso
from interchange.errors import InterchangeError
from interchange.events import GAP, Event, Shot, group, shot
from interchange.findings import ANIMAL, SPECIES, lineage, rank_of
from interchange.places import Deployment, Places, unplaced

DEFAULT_TITLE: Final = "Photos classified by Bestiary"


class Schemas(StrEnum):
    """Where a package's schemas are."""

    ENCLOSED = "enclosed"
    """In the package: it can be validated and read with no network."""
    LINKED = "linked"
    """At the standard's own address, as publishers want them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the standard asks for and no photo knows."""

    zone: tzinfo
    places: Places = field(default_factory=Places)
    deployments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Id -> columns of the table of deployments as somebody gave them."""
    gap: timedelta = GAP
    title: str = DEFAULT_TITLE
    contributors: Sequence[str] = ()
    """People or organisations, each ``Name`` or ``Name <address>``."""
    sampling_design: str = "opportunistic"
    capture_method: str = "activityDetection"
    schemas: Schemas = Schemas.ENCLOSED
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """How much is in a package, and how many photos are not, as they have no capture time."""

    deployments: int
    media: int
    observations: int
    timeless: int


_COMPLETE: Final = {"latitude", "longitude", "deploymentStart", "deploymentEnd"}


@dataclass(slots=True)
class _Index:
    """What must be known before the first row is written."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    event_of: dict[Any, Event] = field(default_factory=dict)
    taxa: dict[str, Taxon] = field(default_factory=dict)
    releases: set[str] = field(default_factory=set)
    last: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    timeless: int = 0


def write(records: Iterable[Record], folder: Path, facts: Facts) -> Written:
    """Write the package's files into ``folder``. ``records`` is gone through three times, each photo being there once.

    Photos without a capture time are left out: the standard has no row for them. Deployments that were given whole
    are in it even if no photo is theirs. Raises InterchangeError if there
    is none with one or if the position of a deployment is unknown, OSError.
    """
    index = _index(records, facts)
    if not index.deployments:
        raise InterchangeError(
            "There is nothing to export: Camtrap DP holds photos with a capture time, and none has one in its EXIF."
        )
    if lost := unplaced(index.deployments.values()):
        raise InterchangeError(
            f"Camtrap DP needs the position of every deployment, and that of {_some(lost)} is unknown: "
            "give --deployments FILE.csv with the columns deploymentID,latitude,longitude, or classify photos that "
            "have GPS in their EXIF with --keep-location."
        )
    folder.mkdir(parents=True, exist_ok=True)
    deployments = index.deployments.values()
    timed = (record for record in records if record.photo.captured_at is not None)
    counts = {
        "deployments": _table(folder, "deployments", (rows.deployment(one, facts.zone) for one in deployments)),
        "media": _table(folder, "media", (rows.media(one, facts.places.of(one), facts.zone) for one in timed)),
        "observations": _table(folder, "observations", _observations(records, index, facts.zone)),
    }
    if facts.schemas is Schemas.ENCLOSED:
        _enclose(folder)
    _json(folder / "datapackage.json", _metadata(index, facts))
    return Written(**counts, timeless=index.timeless)


def _index(records: Iterable[Record], facts: Facts) -> _Index:
    index, shots = _Index(), list[Shot]()
    for record in records:
        if record.photo.captured_at is None:
            index.timeless += 1
            continue
        place = facts.places.of(record)
        if place not in index.deployments:
            index.deployments[place] = Deployment(place, facts.deployments.get(place, {}))
        index.deployments[place].take(record)
        shots.append(shot(record, place))
        index.releases.add(record.release)
        index.last = max(index.last, record.received_at)
    for place, given in facts.deployments.items():
        if place not in index.deployments and index.deployments and given.keys() >= _COMPLETE:
            index.deployments[place] = Deployment(place, given)  # a camera that saw nothing was there all the same
    index.events = group(shots, facts.gap)
    for event in index.events:
        for one in event.shots:
            index.event_of[one.id] = event
            index.taxa.update({found.taxon.name: found.taxon for found in one.findings if found.taxon.name})
    return index


def _observations(records: Iterable[Record], index: _Index, zone: tzinfo) -> Iterator[rows.Row]:
    for record in records:
        if record.photo.captured_at is not None:
            yield from rows.of_photo(record, index.event_of[record.id], zone)
    by = rows.classified_by(index.releases)
    for event in index.events:
        yield from rows.of_event(event, index.last, by, zone)


def _metadata(index: _Index, facts: Facts) -> dict[str, Any]:
    where = standard.ENCLOSED if facts.schemas is Schemas.ENCLOSED else standard.HOME
    resources = [
        {
            "name": name,
            "path": f"{name}.csv",
            "profile": "tabular-data-resource",
            "format": "csv",
            "mediatype": "text/csv",
            "encoding": "utf-8",
            "schema": f"{where}/{name}-table-schema.json",
        }
        for name in standard.TABLES
    ]
    spans = [rows.span(one, facts.zone) for one in index.deployments.values()]
    points = sorted({(y, x) for x, y in (one.position() or (0.0, 0.0) for one in index.deployments.values())})
    created = facts.created or datetime.now(UTC)
    return {
        "resources": resources,
        "profile": f"{where}/camtrap-dp-profile.json",
        "name": f"bestiary-{created:%Y%m%d-%H%M%S}",
        "created": iso(created),
        "title": facts.title,
        "contributors": [_contributor(text) for text in facts.contributors or ["Bestiary"]],
        "version": "1.0",
        "sources": [{"title": "Bestiary", "version": ", ".join(sorted(index.releases))}],
        "project": {
            "title": facts.title,
            "samplingDesign": facts.sampling_design,
            "captureMethod": [facts.capture_method],
            "individualAnimals": False,
            "observationLevel": ["media", "event"],
        },
        "spatial": {"type": "MultiPoint", "coordinates": points},
        "temporal": {
            "start": f"{min(start for start, _ in spans):%Y-%m-%d}",
            "end": f"{max(end for _, end in spans):%Y-%m-%d}",
        },
        "taxonomic": [_taxon(taxon) for _, taxon in sorted(index.taxa.items())],
    }


def _contributor(text: str) -> dict[str, str]:
    name, address = parseaddr(text) if "<" in text else (text, "")
    return {"title": name or text, "role": "contributor"} | ({"email": address} if address else {})


def _taxon(taxon: Taxon) -> dict[str, Any]:
    names = dict(zip(("class", "order", "family", "genus"), lineage(taxon), strict=False))
    entry: dict[str, Any] = {"scientificName": taxon.name, "taxonRank": rank_of(taxon), "kingdom": "Animalia"}
    entry |= {rank: name for rank, name in names.items() if name}
    common = {"vernacularNames": {"eng": taxon.common_name}}
    return entry | (common if taxon.rank in (SPECIES, ANIMAL) else {})


def _some(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _table(folder: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="", errors="replace") as stream:
        table = csv.DictWriter(stream, standard.columns(name))
        table.writeheader()
        for row in rows:
            table.writerow(row)
            count += 1
    return count


def _enclose(folder: Path) -> None:
    inside = folder / standard.ENCLOSED
    inside.mkdir(parents=True, exist_ok=True)
    for name in standard.TABLES:
        _json(inside / f"{name}-table-schema.json", standard.table_schema(name))
    _json(inside / "camtrap-dp-profile.json", standard.profile())


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
