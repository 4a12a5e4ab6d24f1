"""Photos made here, for machines where there are none: what a photo costs is in its size, not in its animal."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SMALL_SIZES: Final = ((640, 480), (640, 427), (500, 375), (480, 640))
"""Width and height in pixels, as in the data sets of uploads that species models are trained on."""

TRAP_SIZES: Final = ((2048, 1536), (2592, 1944), (4000, 3000))
"""3, 5 and 12 megapixels: what camera traps are set to."""

SMALL_NUMBER: Final = 8
JPEG_QUALITY: Final = 90
TRAP_NOISE: Final = 6.0
"""Standard deviation of a sensor's noise, of 255: it, and not the scene, fills a camera trap's file."""

NOISE_TILE: Final = 509
"""Pixels. Not a multiple of JPEG's blocks, so that no two blocks are alike."""


def small_photos() -> tuple[bytes, ...]:
    """Scenes of grass, sky and a dark four-legged shape, as JPEG."""
    return tuple(_jpeg(_scene(SMALL_SIZES[number % len(SMALL_SIZES)], number)) for number in range(SMALL_NUMBER))


def trap_photos(small: Sequence[bytes]) -> tuple[bytes, ...]:
    """One photo of each camera-trap size out of small ones, enlarged and with a sensor's noise, as JPEG."""
    noise = np.random.default_rng(0).normal(0, TRAP_NOISE, (NOISE_TILE, NOISE_TILE)).astype(np.int16)
    made = []
    for number, (width, height) in enumerate(TRAP_SIZES):
        with Image.open(io.BytesIO(small[number % len(small)])) as image:
            large = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR), np.int16)
        tiled = np.tile(noise, (-(-height // NOISE_TILE), -(-width // NOISE_TILE)))[:height, :width, None]
        made.append(_jpeg(Image.fromarray((large + tiled).clip(0, 255).astype(np.uint8))))
    return tuple(made)


def shrunk(photo: bytes) -> bytes:
    """A photo at the size of an upload, as JPEG."""
    with Image.open(io.BytesIO(photo)) as image:
        image.thumbnail(SMALL_SIZES[0])
        return _jpeg(image.convert("RGB"))


def bad_photos(good: bytes) -> tuple[bytes, ...]:
    """Ways in which uploads are spoiled: cut off, overwritten, no photo, an empty body, a bomb, an icon."""
    return (
        good[: len(good) // 4],
        good[:200] + bytes(range(256)) * 20 + good[-200:],
        b"This is not a photo.\n" * 64,
        b"",
        _png_header(50_000, 50_000),
        _png_header(4, 4),
    )


def _scene(size: tuple[int, int], seed: int) -> Image.Image:
    chance = np.random.default_rng(seed)
    width, height = size
    rows = np.linspace(0, 1, height)[:, None, None]
    sky, grass = chance.uniform(120, 220, 3), chance.uniform(40, 130, 3)
    ground = np.where(rows < chance.uniform(0.3, 0.5), sky, grass) * np.ones((1, width, 1))
    coarse = Image.fromarray(chance.integers(0, 255, (height // 16, width // 16), np.uint8)).resize(size)
    texture = np.asarray(coarse, np.float64)[..., None] - 128 + chance.normal(0, 30, (height, width, 1))
    image = Image.fromarray((ground + 0.35 * texture).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    left, top = int(chance.uniform(0.2, 0.4) * width), int(chance.uniform(0.4, 0.55) * height)
    long, tall = width // 3, height // 5
    fur = tuple(int(channel) for channel in chance.integers(30, 110, 3))
    draw.ellipse((left, top, left + long, top + tall), fill=fur)
    draw.ellipse((left + long - tall // 2, top - tall // 2, left + long + tall // 2, top + tall // 2), fill=fur)
    for leg in (0.15, 0.3, 0.7, 0.85):
        at = left + int(leg * long)
        draw.rectangle((at, top + tall // 2, at + long // 20, top + 2 * tall), fill=fur)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing (RFC 2083, 11)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 256)) + chunk(b"IEND", b"")
