"""The result record: what a caller gets back and what is stored. Frozen and versioned."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from contract.options import Task

SCHEMA_VERSION: Final = 2
"""2 added the answer's taxon, alternatives, tasks, camera and location; records of version 1 are read as they are."""


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


class Taxon(_Frozen):
    """An answer that is as narrow as it is sure: a species, or the ancestor that several candidates share."""

    rank: str = Field(description="`species`, `genus`, `family`, `order`, `class`, `animal`, or `unknown`.")
    name: str = Field(description="Scientific name at that rank; `Animalia` for `animal`, empty for `unknown`.")
    common_name: str = Field(description="E.g. `lion`; for an ancestor what it is, e.g. `Felidae (family)`.")
    score: float = Field(description="Probability of the answer, 0..1.")
    class_: str = Field(default="", alias="class")
    order: str = ""
    family: str = ""
    genus: str = ""
    species: str = ""


class Alternatives(_Frozen):
    """A conformal set: contains the true species with probability ``coverage`` on photos like the calibration's."""

    coverage: float
    species: tuple[SpeciesScore, ...] = Field(description="The set, if it has five members at most.")
    taxon: Taxon | None = Field(default=None, description="Otherwise the narrowest taxon that holds all of it.")


class Box(_Frozen):
    """One animal: corners as shares of the upright photo's width and height, and what it is."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    species: tuple[SpeciesScore, ...]
    taxon: Taxon | None = Field(default=None, description="The answer; null where names were not asked for.")
    alternatives: Alternatives | None = None


class Camera(_Frozen):
    """The camera as EXIF names it; empty where it does not."""

    make: str = ""
    model: str = ""
    serial: str = ""


class Location(_Frozen):
    """Where the photo was taken, WGS 84, degrees, north and east positive. Kept only on the caller's request."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


LocalTime = Annotated[
    datetime, WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?"})
]
"""Date and time without a zone, which RFC 3339 (``format: date-time``) does not know."""


class Photo(_Frozen):
    """What is known of the photo itself. Width and height are those of the upright photo, pixels."""

    sha256: str
    blob: str = Field(description="Name in the blob store.")
    source: str | None = Field(default=None, description="Blob that the caller referred to instead of sending a photo.")
    filename: str | None = None
    format: str
    width: int
    height: int
    size_bytes: int
    captured_at: LocalTime | None = Field(default=None, description="EXIF capture time; the camera's local clock.")
    camera: Camera | None = None
    location: Location | None = Field(default=None, description="EXIF GPS, if the caller asked to keep it.")


class Timings(_Frozen):
    """Milliseconds of wall time by stage. `total` holds `wait`, `fetch`, `triton` and `blob`; `triton` holds `queue`
    and `model`; `model` holds `decode`, `detect` and `classify`. `edge` lies before all of them."""

    edge: float = Field(default=0.0, description="Reading and parsing the request.")
    wait: float = Field(default=0.0, description="For a place in front of Triton.")
    fetch: float = Field(default=0.0, description="Reading a photo that the caller referred to.")
    queue: float = Field(default=0.0, description="In Triton, outside of the model: its queue, batching and transfer.")
    decode: float
    detect: float = 0.0
    classify: float
    model: float = Field(description="The whole `animals` model, queueing inside Triton's batcher excluded.")
    triton: float = Field(description="Round trip to Triton as the gateway saw it.")
    blob: float = Field(default=0.0, description="Waiting for the photo to be written, after the model had answered.")
    total: float = Field(description="From the last byte received to the record.")


LOCAL_OWNER: Final = "local"
"""Owner of what arrives without credentials, on loopback."""

MAX_OWNER: Final = 200


class Record(_Frozen):
    """One photo's result. ``id`` is time-ordered and gives the partition (see contract.ids)."""

    schema_version: int = SCHEMA_VERSION
    id: UUID
    received_at: datetime
    owner: str = Field(
        default=LOCAL_OWNER, max_length=MAX_OWNER, description="Who sent the photo; nobody else reads the record."
    )
    status: RecordStatus = RecordStatus.COMPLETE
    tasks: Task = Field(default=Task.SPECIES, description="What was asked: `species`, `count` or `full`.")
    verdict: Verdict
    taxon: Taxon | None = Field(default=None, description="The answer for the whole photo; null if it is empty.")
    species: tuple[SpeciesScore, ...] = Field(description="Whole photo, best first, five at most.")
    alternatives: Alternatives | None = None
    count: int | None = Field(default=None, description="Animals found; null where nobody asked to count.")
    counts: dict[str, int] = Field(default_factory=dict, description="Animals by their taxon's common name.")
    boxes: tuple[Box, ...] = ()
    photo: Photo
    release: str = Field(description="Release that answered, `name@digest`.")
    timings_ms: Timings
