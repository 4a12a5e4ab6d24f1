"""What of a photo the classifier is shown: the whole, each animal with context, a part without any animal."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from contract.preprocessing import IMAGE_SIZE, VIEW_SIZE
from imaging.crops import crop_window
from imaging.decode import Pixels, decode_photo, decode_picture, stretched
from training.dataset import BLANK, Corners, Photo, read_bytes
from training.errors import DataError

BACKGROUND_SIDE: Final = (0.2, 0.5)
"""Side of a part without animals, as a share of the photo's shorter side."""

_TRIES = 60
"""Places that are tried before a photo counts as one that has no such part."""

BOX_ERROR: Final = 0.08
"""How far a detector's edge may lie from the true one, as a share of the box: training moves every edge so far."""

Window = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels, the end excluded."""


def parts(photos: Iterable[Photo]) -> list[Photo]:
    """Every photo as a whole, then the crop of each of its animals and, where there is room, one of the background."""
    shown: list[Photo] = []
    for photo in photos:
        shown.append(photo)
        shown += [dataclasses.replace(photo, crop=box) for box in photo.boxes]
        empty = background(photo) if photo.boxes and photo.path not in animals_beside_boxes() else None
        shown += [] if empty is None else [empty]
    return shown


def background(photo: Photo) -> Photo | None:
    """A part whose window no box of the photo touches, as a blank photo; None if the boxes leave no room.

    Always the same part of a photo. The largest that fits of those that are tried is taken.
    """
    chance = random.Random(photo.path)
    animals = [_in_pixels(box, photo) for box in photo.boxes]
    best: tuple[float, Corners] | None = None
    for _ in range(_TRIES):
        side = chance.uniform(*BACKGROUND_SIDE) * min(photo.width, photo.height)
        wide, high = side / photo.width, side / photo.height
        left, top = chance.uniform(0, 1 - wide), chance.uniform(0, 1 - high)
        box = (left, top, left + wide, top + high)
        window = crop_window(box, photo.width, photo.height)
        if not any(_touch(window, animal) for animal in animals) and (best is None or side > best[0]):
            best = (side, box)
    return None if best is None else dataclasses.replace(photo, cls=BLANK, crop=best[1])


@cache
def animals_beside_boxes() -> frozenset[str]:
    """Paths of photos whose background part shows an animal that the data set gives no box."""
    text = resources.files("training").joinpath("animals_beside_boxes.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def served_pixels(data: Path, photo: Photo) -> Pixels:
    """What serving would give the classifier: UINT8 [224, 224, 3]."""
    if photo.crop is None:
        return decode_photo(read_bytes(data, photo)).pixels
    picture = decode_picture(read_bytes(data, photo), long=VIEW_SIZE)
    return stretched(_cut(picture.pixels, photo.crop), IMAGE_SIZE)


def training_pixels(data: Path, photo: Photo, rng: np.random.Generator) -> Pixels:
    """All pixels of the photo, or of a crop whose box is moved as a detector might miss it. RGB, any size."""
    pixels = full_photo(data, photo)
    return pixels if photo.crop is None else _cut(pixels, _moved(photo.crop, rng))


def full_photo(data: Path, photo: Photo) -> Pixels:
    """All pixels of an upright photo, RGB. Raises DataError if it cannot be decoded."""
    pixels = cv2.imdecode(np.frombuffer(read_bytes(data, photo), np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise DataError(f"{photo.path} cannot be decoded. Restore it or take it out of the manifest.")
    return np.asarray(pixels, np.uint8)


def _cut(pixels: Pixels, box: Corners) -> Pixels:
    x1, y1, x2, y2 = crop_window(box, pixels.shape[1], pixels.shape[0])
    return pixels[y1:y2, x1:x2]


def _moved(box: Corners, rng: np.random.Generator) -> Corners:
    wide, high = box[2] - box[0], box[3] - box[1]
    x1, y1, x2, y2 = np.clip(box + rng.uniform(-BOX_ERROR, BOX_ERROR, 4) * (wide, high, wide, high), 0.0, 1.0)
    return float(x1), float(y1), float(x2), float(y2)


def _in_pixels(box: Corners, photo: Photo) -> tuple[float, float, float, float]:
    return box[0] * photo.width, box[1] * photo.height, box[2] * photo.width, box[3] * photo.height


def _touch(window: Window, box: Corners) -> bool:
    return window[0] < box[2] and box[0] < window[2] and window[1] < box[3] and box[1] < window[3]
