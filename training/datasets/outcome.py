"""What a check found: the photos of a would-be version, what is left out, and problems."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from training.datasets.model import PARTS, DatasetPhoto, NewSpecies, Part
from training.datasets.near import Pair
from training.datasets.offers import LeftOut


class Severity(StrEnum):
    """What a problem means for whoever adds the data set."""

    REFUSED = "refused"
    """Nothing is written until it is put right."""
    WARNING = "warning"
    """Look at it; the version can be written."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about the data set as a whole or some of its photos."""

    severity: Severity
    code: str
    text: str


@dataclass(slots=True)
class Checked:
    """The outcome. ``photos``, ``files`` and ``names`` go together."""

    kind: str
    photos: list[DatasetPhoto] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    """Where each photo lies in the source."""
    species: list[NewSpecies] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    """Links between near-duplicates, by place in ``photos``."""
    names: dict[str, str] = field(default_factory=dict)
    """Label -> common name."""

    @property
    def refused(self) -> bool:
        """Whether no version may be written."""
        return any(problem.severity is Severity.REFUSED for problem in self.problems)

    def add(self, severity: Severity, code: str, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(severity, code, text))

    def balance(self) -> dict[str, dict[Part, int]]:
        """Label -> photos by part, labels sorted."""
        counts = Counter((photo.label, photo.part) for photo in self.photos)
        return {label: {part: counts[label, part] for part in PARTS} for label in sorted(self.names)}

    def conflicts(self) -> list[Pair]:
        """Those between different labels."""
        return [pair for pair in self.pairs if self.photos[pair.first].label != self.photos[pair.second].label]
