"""A CSV as a source: a photo a row."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Final

from training.dataset import Corners
from training.datasets.offers import Files, Offer, Offered, Reason, quoted, read_time, refuse_if_none
from training.errors import DataError

COLUMNS: Final = ("path", "label", "location", "sequence", "captured_at", "licence", "source", "boxes")
"""``boxes``: JSON list of centre x, centre y, width and height as shares of the photo, as YOLO's files have them."""

_ALIASES: Final[dict[str, str]] = {
    "path": "path", "file": "path", "filename": "path", "file_name": "path",
    "label": "label", "class": "label", "cls": "label", "category": "label",
    "location": "location", "sequence": "sequence", "seq_id": "sequence",
    "captured_at": "captured_at", "datetime": "captured_at",
    "licence": "licence", "license": "licence", "source": "source", "boxes": "boxes",
}  # fmt: skip
_NEEDED: Final = ("path", "label")


def read_table(file: Path, photos: Path) -> Offer:
    """All photos of ``file``; other columns than ``COLUMNS`` are ignored. ``photos`` is what paths start from.

    Raises DataError if a needed column is missing, a row is garbled, or none of the photos is there.
    """
    offer = Offer("CSV")
    files = Files(photos, offer)
    seen: dict[str, int] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, dialect=_dialect(stream.readline()))
            stream.seek(0)
            place = _places(next(rows, []), file)
            for cells in rows:
                if not any(cells):
                    continue
                row = {name: cells[at].strip() if at < len(cells) else "" for name, at in place.items()}
                where = f"{file}, line {rows.line_num}"
                if not row["path"]:
                    raise DataError(f"{where}: the path is empty.")
                name = row["path"].replace("\\", "/")
                if name in seen:
                    raise DataError(f"{where}: {name} stands in line {seen[name]} already.")
                seen[name] = rows.line_num
                _take(row, where, files, offer)
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8. Save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise DataError(f"{file} is no CSV: {error}.") from None
    return refuse_if_none(offer, file)


def _dialect(header: str) -> type[csv.Dialect]:
    """Commas, or what spreadsheets write where the comma is the decimal sign."""

    class Found(csv.excel):
        delimiter = max(",;\t", key=header.count)

    return Found


def _places(header: Sequence[str], file: Path) -> dict[str, int]:
    """Column -> its place."""
    place: dict[str, int] = {}
    for at, cell in enumerate(header):
        name = _ALIASES.get(cell.strip().lower())
        if name is not None and name in place:
            raise DataError(f"{file} has two columns for {name}. Rename one of them.")
        if name is not None:
            place[name] = at
    missing = [name for name in _NEEDED if name not in place]
    if missing:
        raise DataError(
            f"{file} has no column {' and no column '.join(missing)}; its header is {quoted(header, 12) or 'empty'}. "
            f"Columns that are read: {', '.join(COLUMNS)}."
        )
    return place


def _take(row: Mapping[str, str], where: str, files: Files, offer: Offer) -> None:
    name, label = row["path"], row["label"]
    if not label:
        offer.leave_out(name, "", Reason.NO_LABEL, "Its label is empty. A photo without an animal is `blank`.")
        return
    path = files.find(name, label)
    if path is None:
        return
    time = row.get("captured_at", "")
    captured_at = read_time(time) if time else None
    if time and captured_at is None:
        offer.odd_times.append(name)
    offer.photos.append(
        Offered(
            path,
            name.replace("\\", "/"),
            label,
            boxes=_boxes(row.get("boxes", ""), where),
            location=row.get("location", ""),
            sequence=row.get("sequence", ""),
            captured_at=captured_at,
            source=row.get("source", ""),
            licence=row.get("licence", ""),
        )
    )


def _boxes(text: str, where: str) -> tuple[Corners, ...]:
    if not text:
        return ()
    try:
        boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in json.loads(text)]
    except (TypeError, ValueError, RecursionError):
        boxes = [(-1.0, 0.0, 0.0, 0.0)]
    if not all(isfinite(side) and 0 <= side <= 1 for box in boxes for side in box):
        raise DataError(
            f"{where}: boxes are a JSON list of centre x, centre y, width and height between 0 and 1, "
            f"such as [[0.5, 0.5, 0.2, 0.3]], not {text[:60]!r}."
        )
    return tuple((x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in boxes)
