"""A whole photo into the detector's square: scaled to fit, placed top left, grey beside it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from contract.preprocessing import CHANNELS, LETTERBOX_FILL, SCENE_SIZE
from imaging.decode import Pixels

Boxes = npt.NDArray[np.float32]
"""x1, y1, x2, y2 in the last dimension."""


def fitted(width: int, height: int, size: int = SCENE_SIZE) -> tuple[int, int]:
    """Width and height, in pixels, that a photo of any size takes up in a square with sides of ``size``."""
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def letterbox(pixels: Pixels, size: int = SCENE_SIZE, out: Pixels | None = None) -> Pixels:
    """UINT8 [height, width, 3] -> UINT8 [size, size, 3] in the same order of channels.

    ``out``, UINT8 [size, size, 3], is written to and returned instead of a new array; it may be a
    part of a batch. Raises ValueError if ``out`` has another shape or datatype.
    """
    if out is None:
        out = np.empty((size, size, CHANNELS), np.uint8)
    elif out.shape != (size, size, CHANNELS) or out.dtype != np.uint8:
        raise ValueError(f"out is {out.dtype} {out.shape}; it has to be uint8 {(size, size, CHANNELS)}.")
    height, width = pixels.shape[:2]
    columns, rows = fitted(width, height, size)
    shrinking = columns < width or rows < height
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    out[:rows, :columns] = cv2.resize(pixels, (columns, rows), interpolation=interpolation)
    out[rows:] = LETTERBOX_FILL
    out[:rows, columns:] = LETTERBOX_FILL
    return out


def to_photo(boxes: Boxes, width: int, height: int, size: int = SCENE_SIZE) -> Boxes:
    """Shares of the square -> shares of the photo that :func:`letterbox` placed in it, clipped to 0..1.

    ``boxes`` is FP32 [..., 4], ``width`` and ``height`` are the photo's in pixels, at any scale; FP32 [..., 4].
    """
    columns, rows = fitted(width, height, size)
    scale = np.array([size / columns, size / rows] * 2, np.float32)
    return np.clip(boxes * scale, np.float32(0), np.float32(1))
