"""Writes versions into the folder of data sets that ``store`` reads. The layout stands there."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from training.datasets.model import DIGEST_LENGTH, Dataset, DatasetPhoto, content_digest
from training.datasets.outcome import Checked
from training.datasets.store import COLUMNS, DATASET, FORMAT, PHOTO_FOLDER, PHOTOS, read_dataset
from training.errors import DataError

LEFT_OUT: Final = "left_out.csv"
REPORT: Final = "report.html"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_name(name: str) -> None:
    """Raises DataError if a data set cannot be called so."""
    if not _NAME.fullmatch(name) or name == PHOTO_FOLDER:
        raise DataError(
            f"'{name}' is no name for a data set: use a-z, 0-9, - and _, up to 64, but not '{PHOTO_FOLDER}'."
        )


def write_version(
    root: Path, name: str, checked: Checked, seed: int, report: str = "", tick: Callable[[], None] = lambda: None
) -> tuple[Dataset, bool]:
    """Write a checked data set as a version below ``root``, and whether it is new: the same content is the same
    version, whose missing photos are put back. ``tick`` is called after each photo.

    Raises DataError if the check refused it, a photo changed since, or the folder cannot be written.
    """
    check_name(name)
    if checked.refused or not checked.photos:
        raise DataError("The data set has problems that have to be put right first: `bestiary data check` lists them.")
    digest = content_digest(checked.photos, checked.species)
    folder = root / name / digest[:DIGEST_LENGTH]
    try:
        for photo, file in zip(checked.photos, checked.files, strict=True):
            _put(root / photo.path, photo, file)
            tick()
        if folder.exists():
            try:
                return read_dataset(folder), False
            except DataError:
                _set_aside(folder)
        unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _write_rows(unfinished / PHOTOS, COLUMNS, map(_cells, checked.photos))
        left_out = [(one.name, one.label, one.reason.value, one.detail) for one in checked.left_out]
        _write_rows(unfinished / LEFT_OUT, ("name", "label", "reason", "detail"), sorted(left_out))
        if report:
            _write(unfinished / REPORT, report)
        _write(unfinished / DATASET, json.dumps(_facts(name, digest, checked, seed), indent=1, ensure_ascii=False))
        _sync(unfinished)
        unfinished.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be written: {error.strerror}.") from None
    return read_dataset(folder), True


def _facts(name: str, digest: str, checked: Checked, seed: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": name,
        "digest": digest,
        "created_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "from": checked.kind,
        "seed": seed,
        "classes": checked.balance(),
        "species": [row.row() for row in checked.species],
        "left_out": len(checked.left_out),
    }


def _put(target: Path, photo: DatasetPhoto, file: Path) -> None:
    """Copy a photo unless it is there, whole or not at all. Raises DataError if it is no more what was checked."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} could be read before and cannot be now: {error.strerror}. Try again.") from None
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise DataError(f"{file} was changed while it was added. Add the data set again.")
    if target.is_file() and target.stat().st_size == len(data):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.replace(target)


def _set_aside(folder: Path) -> None:
    """Keep a version that was damaged under a name that nobody reads."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    folder.rename(folder.with_name(f".{folder.name}.damaged-{moment}"))


def _cells(photo: DatasetPhoto) -> tuple[str, ...]:
    """Under ``store.COLUMNS``. Floats are written so that they are read back exactly."""
    return (
        photo.path,
        photo.sha256,
        photo.label,
        photo.part,
        photo.group,
        str(photo.width),
        str(photo.height),
        json.dumps(photo.boxes),
        photo.location,
        photo.sequence,
        photo.captured_at.isoformat() if photo.captured_at else "",
        photo.source,
        photo.licence,
        photo.original,
    )


def _write_rows(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        stream.flush()
        os.fsync(stream.fileno())


def _write(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
