"""What a source offers: photos with the labels and facts that it gives them, before anything is checked."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from training.dataset import Corners
from training.errors import DataError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""What is taken out of a folder a class. A file that a JSON or CSV names is taken whatever its name is."""


class Reason(StrEnum):
    """Why a photo is left out."""

    MISSING = "missing"
    OUTSIDE = "outside"
    UNREADABLE = "unreadable"
    NO_LABEL = "no_label"
    SEVERAL_LABELS = "several_labels"
    SKIPPED_LABEL = "skipped_label"
    UNKNOWN_LABEL = "unknown_label"
    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    TINY = "tiny"
    TOO_LARGE = "too_large"
    DUPLICATE = "duplicate"
    LABEL_CONFLICT = "label_conflict"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photo that was offered and not taken. Its file stays where it is."""

    name: str
    label: str
    reason: Reason
    detail: str
    """One sentence for a person."""
    file: Path | None = None
    """Where it lies, if it lies anywhere."""


@dataclass(frozen=True, slots=True)
class Offered:
    """One photo of a source. '' and None where the source does not say."""

    file: Path
    name: str
    """How the source calls it, slashes forward."""
    label: str
    """As the source writes it."""
    boxes: tuple[Corners, ...] = ()
    boxes_of: tuple[float, float] = (1.0, 1.0)
    """Width and height that ``boxes`` are measured in: 1, 1 for shares; 0, 0 for pixels of the photo as it is."""
    location: str = ""
    sequence: str = ""
    captured_at: datetime | None = None
    source: str = ""
    licence: str = ""


@dataclass(slots=True)
class Offer:
    """All that a source offers. ``kind``: 'folders', 'COCO Camera Traps' or 'CSV'."""

    kind: str
    photos: list[Offered] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    odd_times: list[str] = field(default_factory=list)
    """Photos whose capture time is given and cannot be read; it counts as not known."""
    other_files: Counter[str] = field(default_factory=Counter)
    """Suffix -> files in folders of classes that are no photos by their names."""

    def leave_out(self, name: str, label: str, reason: Reason, detail: str) -> None:
        """Note a photo that is not offered after all."""
        self.left_out.append(LeftOut(name, label, reason, detail))


def read_folders(top: Path) -> Offer:
    """A folder a class: every photo anywhere below ``top/<label>/``. Hidden files and folders are skipped.

    Raises DataError if there is no such folder with a photo in it.
    """
    offer = Offer("folders")
    for entry in sorted(top.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            for path in sorted(_files(entry)):
                _take(path, f"{entry.name}/{path.relative_to(entry).as_posix()}", entry.name, offer)
        elif entry.suffix.lower() in SUFFIXES:
            offer.leave_out(entry.name, "", Reason.NO_LABEL, "It lies beside the folders of the classes, in none.")
    if not offer.photos:
        raise DataError(
            f"No photo in {top}: it takes a folder a class, such as {top.name}/red_fox/1.jpg, with "
            f"{' '.join(sorted(suffix[1:] for suffix in SUFFIXES))} files. Is this one level too high or too low?"
        )
    return offer


def _files(folder: Path) -> Iterator[Path]:
    """All files below; hidden ones are skipped, links to folders inside are not followed. Raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    for where, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where) / name for name in names if not name.startswith("."))


def _take(path: Path, name: str, label: str, offer: Offer) -> None:
    if path.suffix.lower() in SUFFIXES:
        offer.photos.append(Offered(path, name, label))
    else:
        offer.other_files[path.suffix.lower() or path.name] += 1


class Files:
    """Finds the files that a JSON or a CSV names, below one folder."""

    def __init__(self, top: Path, offer: Offer) -> None:
        self._top = top
        self._resolved = top.resolve()
        self._offer = offer

    def find(self, name: str, label: str) -> Path | None:
        """The file, or None after it was noted why there is none. Backslashes count as slashes where that helps."""
        path = self._top / name
        try:
            if "\\" in name and not path.is_file():
                path = self._top / name.replace("\\", "/")
            inside = path.resolve().is_relative_to(self._resolved)
            there = inside and path.is_file()
        except (OSError, ValueError):  # a name with a zero byte, too long, a circle of links
            inside, there = True, False
        if not inside:
            self._offer.leave_out(
                name, label, Reason.OUTSIDE, f"It is not below {self._top}. Give the folder above it as --photos."
            )
        elif not there:
            self._offer.leave_out(name, label, Reason.MISSING, f"There is no such file below {self._top}.")
        return path if there else None


def refuse_if_none(offer: Offer, source: Path) -> Offer:
    """The offer. Raises DataError if the source names photos and none of them is there."""
    if offer.photos:
        return offer
    missing = [one for one in offer.left_out if one.reason in (Reason.MISSING, Reason.OUTSIDE)]
    if missing:
        raise DataError(
            f"None of the {len(missing)} photos that {source} names is there, such as {missing[0].name}. "
            "Give the folder that its paths start from as --photos."
        )
    why = f" {offer.left_out[0].name}: {offer.left_out[0].detail}" if offer.left_out else ""
    raise DataError(f"{source} offers no photo.{why}")


def read_time(text: str) -> datetime | None:
    """A camera's local time: ISO 8601, or with EXIF's colons in the date. None if it is neither. A zone is dropped:
    what matters is how far apart photos of one camera are."""
    text = text.strip()
    if len(text) > 10 and text[4] == text[7] == ":":
        text = f"{text[:4]}-{text[5:7]}-{text[8:]}"
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def load_json(file: Path) -> Any:
    """The JSON in a file. Raises DataError."""
    try:
        return json.loads(file.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError):  # no UTF-8, a number of thousands of digits, lists in lists in lists
        raise DataError(f"{file} is not JSON in UTF-8. Save it again from the tool that wrote it.") from None


def quoted(names: Sequence[str], most: int = 5) -> str:
    """Some names for a sentence: 'a, b, c and 7 more'."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
