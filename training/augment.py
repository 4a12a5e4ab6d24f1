"""Random views of a photo for training, each as the classifier would see it: square UINT8 RGB pixels."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from contract.preprocessing import IMAGE_SIZE
from imaging.decode import Pixels

WHOLE_SHARE: Final = 0.3
"""Views that keep the whole photo, as serving does."""

CROP_AREA: Final = (0.35, 1.0)
CROP_ASPECT: Final = (0.75, 1.33)
MAX_ROTATION_DEG: Final = 12.0

_ROTATED_SHARE = 0.3
_GREY_SHARE = 0.1
_DEGRADED_SHARE = 0.2
_FRAMED_SHARE = 0.08


def random_view(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """One view, ``IMAGE_SIZE`` x ``IMAGE_SIZE`` x 3 UINT8, of an upright RGB photo of any size.

    Plain borders are drawn on all classes alike, because some classes of Caltech-101 have them
    (black frames, rotated corners) and a network would learn the border instead of the animal.
    """
    view = photo if rng.random() < WHOLE_SHARE else _crop(photo, rng)
    if rng.random() < _ROTATED_SHARE:
        view = _rotate(view, rng)
    interpolation = cv2.INTER_AREA if min(view.shape[:2]) > IMAGE_SIZE else cv2.INTER_LINEAR
    view = np.asarray(cv2.resize(view, (IMAGE_SIZE, IMAGE_SIZE), interpolation=interpolation), np.uint8)
    if rng.random() < 0.5:
        view = view[:, ::-1]
    if rng.random() < _FRAMED_SHARE:
        view = _frame(view, rng)
    view = _recolour(view, rng)
    if rng.random() < _DEGRADED_SHARE:
        view = _degrade(view, rng)
    return np.ascontiguousarray(view)


def _crop(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """A part of random area; its aspect ratio is relative to the photo's, as serving stretches photos."""
    height, width = photo.shape[:2]
    area = rng.uniform(*CROP_AREA)
    aspect = np.exp(rng.uniform(*np.log(CROP_ASPECT)))
    crop_height = max(8, int(height * min(1.0, np.sqrt(area / aspect))))
    crop_width = max(8, int(width * min(1.0, np.sqrt(area * aspect))))
    top = int(rng.integers(0, max(1, height - crop_height + 1)))
    left = int(rng.integers(0, max(1, width - crop_width + 1)))
    return photo[top : top + crop_height, left : left + crop_width]


def _rotate(view: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = view.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG), 1.0)
    border = int(rng.choice([cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT]))
    fill = (int(rng.choice([0, 255])),) * 3
    return np.asarray(cv2.warpAffine(view, turn, (width, height), borderMode=border, borderValue=fill), np.uint8)


def _frame(view: Pixels, rng: np.random.Generator) -> Pixels:
    framed = np.full_like(view, int(rng.choice([0, 255])))
    top, bottom, left, right = (int(edge) for edge in rng.integers(0, IMAGE_SIZE // 10, 4))
    framed[top : IMAGE_SIZE - bottom, left : IMAGE_SIZE - right] = view[
        top : IMAGE_SIZE - bottom, left : IMAGE_SIZE - right
    ]
    return framed


def _recolour(view: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness, contrast and saturation within 30 %; sometimes grey, as infrared camera traps are."""
    pixels = view.astype(np.float32)
    grey = np.average(pixels, axis=2, weights=(0.299, 0.587, 0.114)).astype(np.float32)  # luma of ITU-R BT.601
    saturation = 0.0 if rng.random() < _GREY_SHARE else rng.uniform(0.7, 1.3)
    pixels = grey[..., None] + (pixels - grey[..., None]) * saturation
    mean = float(grey.mean())
    pixels = (mean + (pixels - mean) * rng.uniform(0.7, 1.3)) * rng.uniform(0.7, 1.3)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def _degrade(view: Pixels, rng: np.random.Generator) -> Pixels:
    """A distant, blurred or heavily compressed look: fewer pixels, then a coarse JPEG."""
    side = int(rng.integers(56, 160))
    small = cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 70))])
    coarse = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if coarse is None:
        raise AssertionError("OpenCV cannot read the JPEG that it has just written.")
    return np.asarray(cv2.resize(coarse, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
