"""The release manifest: what one release consists of, where it came from and how good it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contract.manifest import identity_of
from contract.rollout import Bounds


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Frozen):
    """One data set or weight file that went into the release, with its licence and digest."""

    name: str
    licence: str
    sha256: str = Field(description="Of the file, or of the sorted list of its photos' digests.")
    photos: int | None = None
    attribution: str = ""


class Thresholds(_Frozen):
    """The release's own defaults, all shares in 0..1. What a request may set itself: ``contract.options``."""

    detect_from: float = Field(description="A box with this score or more is an animal.")
    overlap: float = Field(description="Of two boxes whose intersection over union is more, only the better stays.")
    sure_from: float = Field(description="A taxon is answered if its probability is at least this.")
    empty_from: float = Field(description="`no animal`, if best and at or above this, is answered as empty.")
    alternatives_from: float = Field(description="Species at or above this are the conformal set.")
    coverage: float = Field(description="Share of photos whose conformal set holds the truth, as calibrated.")


class Training(_Frozen):
    """How the weights were made, enough to make them again."""

    command: str
    seed: int
    base_weights: Source
    data: tuple[Source, ...]


class Release(_Frozen):
    """Detector, classifier, preprocessing, taxonomy and thresholds as one unit."""

    schema_version: int = 1
    name: str = Field(description="Short name, e.g. `1`.")
    created: str = Field(description="ISO 8601 date.")
    models: dict[str, int] = Field(description="Version folder of each model that belongs to the release.")
    image_size: int
    thresholds: Thresholds
    bounds: Bounds = Field(Bounds(), description="What it may do in a rollout before it is rolled back by itself.")
    files: dict[str, str] = Field(description="Path below the repository -> sha256 of its content.")
    training: Training
    evaluation: dict[str, float] = Field(description="Figures of the model card, by name.")

    def to_json(self) -> str:
        """Canonical text: two-space indent, trailing newline. Its digest is the release's identity."""
        return self.model_dump_json(indent=2) + "\n"

    @property
    def identity(self) -> str:
        """:func:`contract.manifest.identity_of` this manifest."""
        return identity_of(self.name, self.to_json())
