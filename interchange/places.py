"""Deployments: which camera at which place took a photo, and what is known of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final, TextIO

from contract.record import Record
from interchange.errors import InterchangeError

TOP: Final = "."
"""The deployment of photos that lie in no folder; no folder can have this name."""


UNKNOWN_CAMERA: Final = "unknown camera"


class By(StrEnum):
    """What makes a deployment."""

    FOLDER = "folder"
    CAMERA = "camera"
    NONE = "none"


_CAMERAS_OWN: Final = re.compile(r"DCIM|[1-9]\d\d[0-9A-Z_]{5}", re.ASCII | re.IGNORECASE)
"""Folders that cameras make: DCIM and three digits with five characters (CIPA DC-009-2010, section 3.2)."""


@dataclass(frozen=True, slots=True)
class Places:
    """Names the deployment of a photo. ``given`` are the ids that somebody listed."""

    by: By = By.FOLDER
    given: frozenset[str] = frozenset()

    def of(self, record: Record) -> str:
        """A deployment's id: by folder the listed folder that holds the photo, else its folder without those that
        cameras make; by camera make, model and serial number; by nothing the one that is listed."""
        camera = record.photo.camera
        if self.by is By.CAMERA and camera is not None:
            return " ".join(filter(None, (camera.make, camera.model, camera.serial))) or UNKNOWN_CAMERA
        return self.of_file(record.photo.filename or "")

    def of_file(self, name: str) -> str:
        """The same for a photo of which only the file name is known."""
        if self.by is By.NONE:
            return next(iter(self.given)) if len(self.given) == 1 else "all"
        if self.by is By.CAMERA:
            return UNKNOWN_CAMERA
        parts = [part for part in name.replace("\\", "/").split("/")[:-1] if part not in ("", ".")]
        for length in range(len(parts), 0, -1):
            if "/".join(parts[:length]) in self.given:
                return "/".join(parts[:length])
        while parts and _CAMERAS_OWN.fullmatch(parts[-1]):
            parts.pop()
        return "/".join(parts) or TOP


def base_name(filename: str) -> str:
    """The last part of a file name, whichever way its slashes lean."""
    return PurePosixPath(filename.replace("\\", "/")).name


@dataclass(slots=True)
class Deployment:
    """One deployment: ``facts`` by the standard's column names as somebody gave them, the rest from its photos.

    Times are the camera's local ones, as ISO 8601 text sorts them."""

    id: str
    facts: Mapping[str, str] = field(default_factory=dict)
    first: str = ""
    last: str = ""
    positions: set[tuple[float, float]] = field(default_factory=set)
    cameras: set[tuple[str, str, str]] = field(default_factory=set)

    def take(self, record: Record) -> None:
        """Learn from one photo."""
        photo = record.photo
        if photo.captured_at is not None:
            at = photo.captured_at.isoformat()
            self.first = min(self.first or at, at)
            self.last = max(self.last, at)
        if photo.location is not None:
            self.positions.add((photo.location.latitude, photo.location.longitude))
        if photo.camera is not None:
            self.cameras.add((photo.camera.make, photo.camera.model, photo.camera.serial))

    def position(self) -> tuple[float, float] | None:
        """Latitude and longitude: as given, else the middle one of its photos' GPS positions; None if unknown."""
        if "latitude" in self.facts and "longitude" in self.facts:
            return float(self.facts["latitude"]), float(self.facts["longitude"])
        if not self.positions:
            return None
        latitudes, longitudes = (sorted(values) for values in zip(*self.positions, strict=True))
        return latitudes[len(latitudes) // 2], longitudes[len(longitudes) // 2]


def read_deployments(stream: TextIO, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """A CSV of deployments: id -> what is given, empty cells left out. ``columns`` are those that it may have.

    Raises InterchangeError naming the line.
    """
    reader = csv.DictReader(stream)
    names = reader.fieldnames or ()
    if "deploymentID" not in names:
        raise InterchangeError(
            "The file of deployments needs a header with at least deploymentID,latitude,longitude, separated by commas."
        )
    if odd := [name for name in names if name not in columns]:
        raise InterchangeError(f"The file of deployments has a column {odd[0]!r}: take one of {', '.join(columns)}.")
    given: dict[str, dict[str, str]] = {}
    for row in reader:
        facts = {name: text.strip() for name, text in row.items() if name and text and text.strip()}
        where = f"Line {reader.line_num} of the file of deployments"
        name = facts.get("deploymentID", "").strip("/") or TOP
        if None in row or name in given:
            raise InterchangeError(f"{where}: {f'{name!r} is there twice' if name in given else 'too many cells'}.")
        for axis, most in (("latitude", 90), ("longitude", 180)):
            _check_degrees(facts.get(axis), axis, most, where)
        given[name] = facts | {"deploymentID": name}
    return given


def _check_degrees(text: str | None, axis: str, most: int, where: str) -> None:
    try:
        if text is None or -most <= float(text) <= most:
            return
    except ValueError:
        pass
    raise InterchangeError(f"{where}: {axis} must be decimal degrees from -{most} to {most}, not {text!r}.")


def unplaced(deployments: Iterable[Deployment]) -> list[str]:
    """Ids of deployments whose position nobody knows."""
    return sorted(one.id for one in deployments if one.position() is None)
