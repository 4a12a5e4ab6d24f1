"""Pictures that differ, sources of data sets made of them, and what a check says of one."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from training.datasets.check import Settings, check_source
from training.datasets.labels import base_taxonomy
from training.datasets.model import NewSpecies
from training.datasets.outcome import Checked


def picture(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """RGB; pictures of other numbers look nothing like it."""
    rough = np.random.default_rng(number).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(pixels: np.ndarray, quality: int = 90, taken: datetime | None = None, where: tuple[float, ...] = ()) -> bytes:
    """The encoded photo, with EXIF time and position (degrees north, east) if given."""
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    if where:
        exif.get_ifd(0x8825).update({1: "N", 2: (where[0], 0.0, 0.0), 3: "E", 4: (where[1], 0.0, 0.0)})
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def photo(number: int, **options: Any) -> bytes:
    return jpeg(picture(number), **options)


def write(top: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def write_coco(top: Path, images: Sequence[Mapping[str, Any]], said: Mapping[Any, Sequence[str]]) -> Path:
    """A COCO Camera Traps file; ``said``: image id -> category names."""
    names = sorted({name for some in said.values() for name in some})
    content = {
        "images": list(images),
        "categories": [{"id": at, "name": name} for at, name in enumerate(names)],
        "annotations": [
            {"id": f"{image}-{name}", "image_id": image, "category_id": names.index(name)}
            for image, some in said.items()
            for name in some
        ],
    }
    file = top / "camera_traps.json"
    file.write_text(json.dumps(content))
    return file


def check(top: Path, *rows: NewSpecies, earlier: Any = None, **settings: Any) -> Checked:
    return check_source(top, base_taxonomy(), rows, Settings(**settings), earlier)


def reasons(checked: Checked) -> dict[str, str]:
    """Name -> why it is left out."""
    return {one.name: one.reason.value for one in checked.left_out}


def codes(checked: Checked) -> set[str]:
    return {problem.code for problem in checked.problems}


UAKARI = NewSpecies("bald_uakari", ("Mammalia", "Primates", "Pitheciidae", "Cacajao", "Cacajao calvus"), "bald uakari")
