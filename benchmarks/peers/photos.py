"""The photo sets: small uploads, camera-trap photos as their cameras wrote them, and 12 megapixels."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Final

from PIL import Image

from benchmarks.photos import JPEG_QUALITY, NoPhotos, PhotoSet
from benchmarks.photos import load as load_folder

SMALL: Final = "small"
CAMERA: Final = "camera"
LARGE: Final = "12mp"
SETS: Final = (SMALL, CAMERA, LARGE)

SMALL_NUMBER: Final = 64
BUNDLED_NUMBER: Final = 2
CAMERA_SIZE: Final = (2048, 1536)
LARGE_SIZE: Final = (4000, 3000)
SEED: Final = 6


def load(name: str, data: Path) -> PhotoSet:
    """One of ``SETS`` from the folder of test data, or from the bundled cat where that is missing. Raises NoPhotos."""
    if name == SMALL:
        return _small(data / "species")
    if name not in SETS:
        raise NoPhotos(f"There is no photo set {name}: give one of {', '.join(SETS)}.")
    camera, source = _camera(data / "photos")
    if name == CAMERA:
        return PhotoSet(f"camera traps: {len(camera)} JPEGs of {_text(CAMERA_SIZE)}, {source}", camera)
    large = tuple(_resampled(photo, LARGE_SIZE) for photo in camera)
    return PhotoSet(f"12 MP: the same resampled to {_text(LARGE_SIZE)}, quality {JPEG_QUALITY}", large)


def _small(folder: Path) -> PhotoSet:
    files = sorted(folder.rglob("*.jpg"))
    if not files:
        return load_folder(None)
    chosen = random.Random(SEED).sample(files, min(SMALL_NUMBER, len(files)))
    photos = tuple(file.read_bytes() for file in chosen)
    return PhotoSet(f"small: {len(photos)} photos of animals, short side 256 or less", photos)


def _camera(folder: Path) -> tuple[tuple[bytes, ...], str]:
    found = [file.read_bytes() for file in sorted(folder.glob("*.jpg"))]
    whole = tuple(photo for photo in found if _as_camera(photo))
    if whole:
        return whole, "as the cameras wrote them"
    views = load_folder(None).photos[:BUNDLED_NUMBER]
    return tuple(_resampled(photo, CAMERA_SIZE) for photo in views), "resampled from a small cat"


def _as_camera(photo: bytes) -> bool:
    """Whether it is upright, in colour, whole and of the size."""
    with Image.open(io.BytesIO(photo)) as image:
        if image.size != CAMERA_SIZE or image.mode != "RGB" or image.getexif().get(0x0112, 1) != 1:
            return False
        try:
            image.load()
        except OSError:
            return False
    return True


def _resampled(photo: bytes, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as image:
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
