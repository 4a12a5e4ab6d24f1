"""A square to paste scaled photos on, which keeps the boxes of what is pasted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from contract.preprocessing import CHANNELS, LETTERBOX_FILL, SCENE_SIZE
from imaging.decode import Pixels
from imaging.letterbox import Boxes
from training.detector.scenes import Scene, no_boxes

VISIBLE: Final = 0.35
"""Share of an animal that has to be in the picture for it to be counted; a smaller rest is unclear."""

LEAST_PIXELS: Final = 8
"""Shorter side of the smallest box that is counted."""

_SMOOTH_FROM = 0.6
_TINY = 1e-6

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """A scene as the network gets it, and what it shows.

    ``pixels`` UINT8 [416, 416, 3] RGB; ``boxes`` FP32 [n, 4] in pixels; ``surely`` one a box; ``unclear`` FP32 [m, 4].
    """

    pixels: Pixels
    boxes: Boxes
    surely: tuple[bool, ...]
    unclear: Boxes


class Canvas:
    """Grey at first."""

    def __init__(self) -> None:
        self._pixels = np.full((SCENE_SIZE, SCENE_SIZE, CHANNELS), LETTERBOX_FILL, np.uint8)
        self._boxes: list[Boxes] = [no_boxes()]
        self._unclear: list[Boxes] = [no_boxes()]
        self._surely: list[bool] = []

    def paste(self, scene: Scene, photo: Pixels, at: Boxes, tile: Boxes) -> None:
        """Show the part of a photo that lies in ``tile``; the whole of it covers ``at``. Both FP32 [4], pixels."""
        scale = (at[2:] - at[:2]) / np.array([photo.shape[1], photo.shape[0]], np.float64)
        left, top, right, bottom = np.round(tile).astype(int).tolist()
        matrix = np.zeros((2, 3))
        matrix[[0, 1], [0, 1]] = scale
        # Pixel i covers i..i+1, while warpAffine maps centres onto centres.
        matrix[:, 2] = at[:2] - (left, top) + (scale - 1) / 2
        if scale.min() < _SMOOTH_FROM:
            photo, matrix = _reduced(photo, matrix, float(scale.min()))
        self._pixels[top:bottom, left:right] = cv2.warpAffine(
            photo,
            matrix,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(LETTERBOX_FILL,) * CHANNELS,
        )
        self._note(scene, at, tile)

    def hidden(self, tile: Boxes) -> float:
        """The largest share of an animal pasted so far that something pasted over ``tile`` would hide."""
        boxes = np.concatenate(self._boxes)
        return float((_areas(_within(boxes, tile)) / np.maximum(_areas(boxes), _TINY)).max(initial=0))

    def view(self) -> View:
        """What has been pasted so far."""
        boxes, unclear = np.concatenate(self._boxes), np.concatenate(self._unclear)
        return View(self._pixels, boxes, tuple(self._surely), unclear)

    def _note(self, scene: Scene, at: Boxes, tile: Boxes) -> None:
        whole = _placed(scene.boxes, at)
        seen = _within(whole, tile)
        share = _areas(seen) / np.maximum(_areas(whole), _TINY)
        large = (seen[:, 2:] - seen[:, :2]).min(axis=1, initial=np.inf) >= LEAST_PIXELS
        counted = (share >= VISIBLE) & large
        self._boxes.append(seen[counted])
        self._surely.extend([scene.surely] * int(counted.sum()))
        self._unclear.append(seen[~counted & (_areas(seen) > 0)])
        self._unclear.append(_within(_placed(scene.unclear, at), tile))


def _placed(boxes: Boxes, at: Boxes) -> Boxes:
    """Shares of a photo -> pixels, the photo covering ``at``."""
    return np.asarray(boxes * np.tile(at[2:] - at[:2], 2) + np.tile(at[:2], 2), np.float32)


def _within(boxes: Boxes, tile: Boxes) -> Boxes:
    return np.clip(boxes, np.tile(tile[:2], 2), np.tile(tile[2:], 2))


def _areas(boxes: Boxes) -> npt.NDArray[np.float32]:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.float32)


def _reduced(photo: Pixels, matrix: Matrix, scale: float) -> tuple[Pixels, Matrix]:
    """The photo averaged down first, as bilinear sampling would skip pixels, and the matrix for it."""
    height, width = photo.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    ratio = np.array([width / size[0], height / size[1]])
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ ((ratio - 1) / 2)
    moved[:, :2] *= ratio
    return smaller, moved
