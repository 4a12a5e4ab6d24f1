"""Flat tables: a row a photo, or a row a box. The columns are the same in CSV and in Parquet, and stable: new ones
are added at the end. ``docs/formats.md`` describes them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, TextIO

from contract.record import Alternatives, Box, Record, SpeciesScore, Taxon
from contract.taxonomy import NO_ANIMAL
from interchange.findings import ANIMAL, UNKNOWN, answer, counted, findings, rank_of

Kind = Literal["text", "number", "whole", "moment", "local"]
"""``moment`` is a time with a zone, ``local`` a camera's clock without."""


class Per(StrEnum):
    """What a row is."""

    PHOTO = "photo"
    BOX = "box"


@dataclass(frozen=True, slots=True)
class Row:
    """What a row is about: a photo, or one box of it. ``species`` are the candidates."""

    record: Record
    taxon: Taxon | None
    species: tuple[SpeciesScore, ...]
    alternatives: Alternatives | None
    box: Box | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, kind and cell; None where nothing is known."""

    name: str
    kind: Kind
    cell: Callable[[Row], Any]


def _taxon(read: Callable[[Taxon], Any]) -> Callable[[Row], Any]:
    return lambda row: None if row.taxon is None else read(row.taxon) or None


def _best(read: Callable[[SpeciesScore], Any]) -> Callable[[Row], Any]:
    return lambda row: read(row.species[0]) or None if row.species else None


def _rank(taxon: Taxon) -> str:
    return taxon.rank if taxon.rank in (ANIMAL, UNKNOWN) else rank_of(taxon)


def _emptiness(row: Row) -> float | None:
    """How sure it is that there is no animal."""
    return next((one.score for one in row.species if one.key == NO_ANIMAL), None)


def _camera(part: Literal["make", "model", "serial"]) -> Callable[[Row], Any]:
    return lambda row: getattr(row.record.photo.camera, part, None) or None


def _location(part: Literal["latitude", "longitude"]) -> Callable[[Row], Any]:
    return lambda row: getattr(row.record.photo.location, part, None)


def _side(part: Literal["x1", "y1", "x2", "y2", "score"]) -> Callable[[Row], Any]:
    return lambda row: getattr(row.box, part, None)


def _set(row: Row) -> str | None:
    """``lion; tiger``, or the taxon that holds them all."""
    if row.alternatives is None:
        return None
    if row.alternatives.taxon is not None:
        return row.alternatives.taxon.common_name
    return "; ".join(one.common_name for one in row.alternatives.species) or None


_ANSWER: Final = (
    Column("common_name", "text", _taxon(lambda taxon: taxon.common_name)),
    Column("scientific_name", "text", _taxon(lambda taxon: taxon.name)),
    Column("rank", "text", _taxon(_rank)),
    Column("score", "number", lambda row: _emptiness(row) if row.taxon is None else row.taxon.score),
)
_LINEAGE: Final = tuple(
    Column(rank, "text", _taxon(lambda taxon, field=field: getattr(taxon, field)))  # type: ignore[misc]  # bound now
    for rank, field in (
        ("class", "class_"), ("order", "order"), ("family", "family"), ("genus", "genus"), ("species", "species"),
    )
)  # fmt: skip
_CANDIDATES: Final = (
    Column("best_species", "text", _best(lambda best: "" if best.key == NO_ANIMAL else best.common_name)),
    Column("best_variety", "text", _best(lambda best: best.variety)),
    Column("best_species_score", "number", _best(lambda best: None if best.key == NO_ANIMAL else best.score)),
    Column("alternatives", "text", _set),
    Column("alternatives_coverage", "number", lambda row: row.alternatives.coverage if row.alternatives else None),
)
_CAMERA: Final = (
    Column("camera_make", "text", _camera("make")),
    Column("camera_model", "text", _camera("model")),
    Column("camera_serial", "text", _camera("serial")),
    Column("latitude", "number", _location("latitude")),
    Column("longitude", "number", _location("longitude")),
)
_ID: Final = Column("id", "text", lambda row: str(row.record.id))
_RECEIVED: Final = Column("received_at", "moment", lambda row: row.record.received_at)
_CAPTURED: Final = Column("captured_at", "local", lambda row: row.record.photo.captured_at)
_FILENAME: Final = Column("filename", "text", lambda row: row.record.photo.filename)
_VERDICT: Final = Column("verdict", "text", lambda row: row.record.verdict.value)
_PHOTO: Final = (
    Column("width", "whole", lambda row: row.record.photo.width),
    Column("height", "whole", lambda row: row.record.photo.height),
    Column("sha256", "text", lambda row: row.record.photo.sha256),
    Column("release", "text", lambda row: row.record.release),
)

PER_PHOTO: Final = (
    _ID, _RECEIVED, _CAPTURED, _FILENAME, _VERDICT, *_ANSWER,
    Column("count", "whole", lambda row: row.record.count),
    *_PHOTO,
    Column("animals", "text", lambda row: counted(row.record) if row.taxon else None),
    Column("tasks", "text", lambda row: row.record.tasks.value),
    Column("status", "text", lambda row: row.record.status.value),
    *_LINEAGE, *_CANDIDATES, *_CAMERA,
)  # fmt: skip
"""The first fourteen are those of the first version."""

PER_BOX: Final = (
    _ID, _FILENAME, _CAPTURED,
    Column("box", "whole", lambda row: row.number),
    Column("x1", "number", _side("x1")),
    Column("y1", "number", _side("y1")),
    Column("x2", "number", _side("x2")),
    Column("y2", "number", _side("y2")),
    Column("box_score", "number", _side("score")),
    *_ANSWER, *_LINEAGE, *_CANDIDATES, *_PHOTO, *_CAMERA, _RECEIVED,
)  # fmt: skip


def columns(per: Per) -> tuple[Column, ...]:
    """The columns of a table."""
    return PER_PHOTO if per is Per.PHOTO else PER_BOX


def rows(record: Record, per: Per) -> Iterator[Row]:
    """The rows of one record: one a photo, or one a box, of which there may be none."""
    if per is Per.PHOTO:
        yield Row(record, answer(record), record.species, record.alternatives)
        return
    for number, finding in enumerate(findings(record)):
        if finding.box is not None:
            yield Row(record, finding.taxon, finding.box.species, finding.box.alternatives, finding.box, number)


def csv_writer(stream: TextIO, per: Per = Per.PHOTO) -> Callable[[Record], None]:
    """Begin a table as CSV (RFC 4180); call the result with each record. ``stream`` must not translate newlines."""
    table = csv.writer(stream)
    table.writerow(column.name for column in columns(per))
    return lambda record: table.writerows(
        [_text(column.cell(row)) for column in columns(per)] for row in rows(record, per)
    )


def _text(cell: Any) -> Any:
    return cell.isoformat() if isinstance(cell, datetime) else "" if cell is None else cell
