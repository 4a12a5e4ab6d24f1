"""COCO Camera Traps as a source.

The format: "COCO Camera Traps" (https://lila.science/coco-camera-traps). Images carry ``location``, ``seq_id`` and
``datetime``; an annotation names a category and may have a box, x, y, width and height in pixels. The category
``empty`` is a blank. An image without annotation was not looked at: that is no blank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from training.dataset import Corners
from training.datasets.offers import Files, Offer, Offered, Reason, load_json, read_time, refuse_if_none
from training.errors import DataError

_LISTS = ("images", "annotations", "categories")


def read_coco(file: Path, photos: Path) -> Offer:
    """All images of ``file`` that are one animal's, or blank; ``photos`` is the folder that file names start from.

    Raises DataError if the file is no COCO Camera Traps, or none of its photos is there.
    """
    content = load_json(file)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in _LISTS):
        raise DataError(f"{file} is no COCO Camera Traps: it needs the lists {', '.join(_LISTS)}.")
    names = _categories(content["categories"], file)
    said = _annotations(content["annotations"], names, file)
    offer = Offer("COCO Camera Traps")
    files = Files(photos, offer)
    seen: set[str] = set()
    for image in content["images"]:
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not name or "id" not in image:
            raise DataError(f"{file}: an image lacks id or file_name: {str(image)[:80]}.")
        if name.replace("\\", "/") in seen:
            raise DataError(f"{file} lists the image {name} twice. Give each photo once.")
        seen.add(name.replace("\\", "/"))
        _take(image, name, said.get(str(image["id"]), []), files, offer)
    return refuse_if_none(offer, file)


def _categories(entries: list[Any], file: Path) -> dict[str, str]:
    try:
        return {str(entry["id"]): str(entry["name"]) for entry in entries}
    except (KeyError, TypeError):
        raise DataError(f"{file}: a category lacks id or name.") from None


def _annotations(entries: list[Any], names: Mapping[str, str], file: Path) -> dict[str, list[tuple[str, Any]]]:
    """Image id -> what is said of it: names and boxes."""
    said: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for entry in entries:
        try:
            image, category = str(entry["image_id"]), str(entry["category_id"])
        except (KeyError, TypeError):
            raise DataError(f"{file}: an annotation lacks image_id or category_id: {str(entry)[:80]}.") from None
        if category not in names:
            raise DataError(f"{file}: an annotation of the image {image} has the category {category}, which is none.")
        said[image].append((names[category], entry.get("bbox")))
    return said


def _take(image: Mapping[str, Any], name: str, said: list[tuple[str, Any]], files: Files, offer: Offer) -> None:
    labels = list(dict.fromkeys(label for label, _ in said))
    if not labels:
        offer.leave_out(name, "", Reason.NO_LABEL, "Nothing is annotated on it, not even that it is empty.")
        return
    if len(labels) > 1:
        together = ", ".join(labels)
        offer.leave_out(name, together, Reason.SEVERAL_LABELS, f"It shows several ({together}); one label is learned.")
        return
    path = files.find(name, labels[0])
    if path is None:
        return
    time = image.get("datetime") or image.get("date_captured")
    captured_at = read_time(str(time)) if time else None
    if time and captured_at is None:
        offer.odd_times.append(name)
    offer.photos.append(
        Offered(
            path,
            name.replace("\\", "/"),
            labels[0],
            boxes=tuple(corners for _, box in said if (corners := _corners(box)) is not None),
            boxes_of=_size(image),
            location=_text(image.get("location")),
            sequence=_text(image.get("seq_id")),
            captured_at=captured_at,
            source=_text(image.get("source")),
            licence=_text(image.get("license") or image.get("licence")),
        )
    )


def _corners(box: Any) -> Corners | None:
    """x1, y1, x2, y2 of a COCO box; None if it is none."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    if not all(isinstance(side, int | float) and isfinite(side) for side in box) or min(box[2:]) <= 0:
        return None
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _size(image: Mapping[str, Any]) -> tuple[float, float]:
    """Pixels that the boxes are measured in; 0, 0 if the source does not say."""
    width, height = image.get("width"), image.get("height")
    known = all(isinstance(side, int | float) and side > 0 for side in (width, height))
    return (float(width or 0), float(height or 0)) if known else (0.0, 0.0)


def _text(value: Any) -> str:
    """A name, which some tools write as a number. -1 is how they write that there is none."""
    return "" if value is None or value == -1 else str(value).strip()
