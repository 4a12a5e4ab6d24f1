"""The result record: what a caller gets back and what is stored. Frozen and versioned."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Final = 1


class Verdict(StrEnum):
    """The photo in one word."""

    ANIMAL = "animal"
    EMPTY = "empty"
    UNKNOWN = "unknown"


class RecordStatus(StrEnum):
    """Whether the whole picture could be read."""

    COMPLETE = "complete"
    PARTIAL = "partial"


class AckLevel(StrEnum):
    """How safe a record is before the caller is answered."""

    ACCEPTED = "accepted"
    """In memory."""
    DURABLE = "durable"
    """In the journal, fsync done: survives kill -9 and power loss."""
    STORED = "stored"
    """In the result store, visible to every reader."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class SpeciesScore(_Frozen):
    """One candidate: scientific names by rank ('' where the label is broader) and its probability."""

    key: str = Field(description="Stable key of the leaf, e.g. `beagle`.")
    common_name: str = Field(description="Name of the species, e.g. `domestic dog`.")
    variety: str = Field(default="", description="Breed or form, e.g. `beagle`; empty if there is none.")
    rank: str = Field(description="Narrowest rank that the answer commits to.")
    class_: str = Field(alias="class")
    order: str
    family: str
    genus: str
    species: str
    score: float = Field(description="Probability of the species, 0..1.")


class Box(_Frozen):
    """One animal: corners as shares of the upright photo's width and height, and what it is."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    species: tuple[SpeciesScore, ...]


class Photo(_Frozen):
    """What is known of the photo itself. Width and height are those of the upright photo, pixels."""

    sha256: str
    blob: str = Field(description="Name in the blob store.")
    filename: str | None = None
    format: str
    width: int
    height: int
    size_bytes: int
    captured_at: datetime | None = Field(default=None, description="EXIF capture time; the camera's local clock.")


class Timings(_Frozen):
    """Milliseconds of wall time by stage."""

    decode: float
    classify: float
    model: float = Field(description="The whole `animals` model, queueing inside Triton's batcher excluded.")
    triton: float = Field(description="Round trip to Triton as the gateway saw it.")
    total: float = Field(description="From the last byte received to the record.")


class Record(_Frozen):
    """One photo's result. ``id`` is time-ordered and gives the partition (see contract.ids)."""

    schema_version: int = SCHEMA_VERSION
    id: UUID
    received_at: datetime
    status: RecordStatus = RecordStatus.COMPLETE
    verdict: Verdict
    species: tuple[SpeciesScore, ...] = Field(description="Whole photo, best first, five at most.")
    count: int | None = Field(default=None, description="Animals found; null where the release does not count.")
    counts: dict[str, int] = Field(default_factory=dict, description="Animals by species' common name.")
    boxes: tuple[Box, ...] = ()
    photo: Photo
    release: str = Field(description="Release that answered, `name@digest`.")
    timings_ms: Timings
