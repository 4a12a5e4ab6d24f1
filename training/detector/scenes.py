"""Photos with the boxes that the detector is to find in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from imaging.decode import Pixels
from imaging.letterbox import Boxes
from training.dataset import BOXES, NO_ANIMAL_SET, SPECIES, Photo, of_set
from training.regions import animals_beside_boxes, full_photo

Read = Callable[[Photo], Pixels]
"""A photo's upright pixels at full size, UINT8 [height, width, 3], RGB."""


def no_boxes() -> Boxes:
    """FP32 [0, 4]."""
    return np.empty((0, 4), np.float32)


def whole_photo() -> Boxes:
    """One box round everything: FP32 [1, 4]."""
    return np.array([[0, 0, 1, 1]], np.float32)


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo and its animals. Boxes are FP32 [n, 4], x1, y1, x2, y2 as shares of the photo.

    ``surely`` is false where the boxes are guesses: they are then taught more gently. What lies in
    ``unclear`` and in no sure box is not taught to be empty.
    """

    photo: Photo
    boxes: Boxes
    surely: bool = True
    unclear: Boxes = field(default_factory=no_boxes)


def marked_boxes(photo: Photo) -> Boxes:
    """The boxes that the data set gives, FP32 [n, 4]."""
    return np.clip(np.array(photo.boxes, np.float32).reshape(-1, 4), np.float32(0), np.float32(1))


def marked_scenes(photos: Sequence[Photo]) -> list[Scene]:
    """Those of ``photos`` that people drew boxes on."""
    forgotten = animals_beside_boxes()
    return [
        Scene(photo, marked_boxes(photo), unclear=whole_photo() if photo.path in forgotten else no_boxes())
        for photo in of_set(photos, BOXES)
    ]


SHOWN_TIMES: Final = {SPECIES: 1, NO_ANIMAL_SET: 3, BOXES: 2}
"""How often an epoch shows a photo. Objects are few and have to be told from all the animals."""

SEVERAL_TIMES: Final = 2
"""How much more often, if people marked several animals on it: five photos in six show one."""


def repeated(scenes: Sequence[Scene]) -> list[Scene]:
    """An epoch's scenes, each as often as it is to be shown."""
    return [scene for scene in scenes for _ in range(_times(scene))]


def _times(scene: Scene) -> int:
    several = scene.photo.set == BOXES and len(scene.boxes) > 1
    return SHOWN_TIMES[scene.photo.set] * (SEVERAL_TIMES if several else 1)


def reader(data: Path) -> Read:
    """Reads photos and keeps them in memory, 300 kB each on average. Raises DataError as ``full_photo`` does."""

    @cache
    def read(photo: Photo) -> Pixels:
        return full_photo(data, photo)

    return read
