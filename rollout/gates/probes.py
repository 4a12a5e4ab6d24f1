"""Pictures that every release is asked about before it is published."""

from __future__ import annotations

from importlib import resources
from typing import Final

import cv2
import numpy as np

from imaging.decode import Pixels

CAT: Final = "cat.jpg"
"""Chelsea the cat, 451 x 300, by Stefan van der Walt, who waived all rights (CC0); scikit-image bundles it too."""

_SEED: Final = 20240517


def probe_photos() -> tuple[bytes, ...]:
    """Encoded photos: an animal, two animals, noise, a flat one, stripes upright and grey. The same bytes each time
    where OpenCV is the same."""
    cat = resources.files("rollout.gates").joinpath(CAT).read_bytes()
    random = np.random.default_rng(_SEED)
    noise = random.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    flat = np.full((480, 640, 3), (70, 120, 95), np.uint8)
    stripes = np.repeat(np.arange(0, 250, 5, dtype=np.uint8), 16)[None, :, None].repeat(1100, axis=0)
    return (cat, _jpeg(_two(cat)), _jpeg(noise), _jpeg(flat), _jpeg(stripes))


def _two(cat: bytes) -> Pixels:
    """The cat twice on a plain ground, once mirrored and larger."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(cat, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    larger = cv2.resize(pixels[:, ::-1], None, fx=1.5, fy=1.5)
    ground = np.full((620, 1300, 3), (100, 125, 110), np.uint8)
    ground[100 : 100 + len(pixels), 40 : 40 + pixels.shape[1]] = pixels
    ground[120 : 120 + len(larger), 560 : 560 + larger.shape[1]] = larger
    return ground


def _jpeg(pixels: Pixels) -> bytes:
    """Blue, green and red, or grey, as a JPEG."""
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
