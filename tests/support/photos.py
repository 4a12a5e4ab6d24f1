"""Photos for tests: re-encoded good ones, and bad ones with the reason that each must be answered with."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.stack import ROOT

DATA = Path(os.environ.get("BESTIARY_DATA", ROOT.parent / "shared" / "data"))
"""Photos that are not part of the project; tests with them are added where it exists."""


def encode(path: Path, format: str, mode: str = "RGB", **options: object) -> bytes:
    """A photo in another format or colour mode."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def two_cats(path: Path) -> bytes:
    """Two of the photo side by side on a lawn-green ground, as JPEG: two animals."""
    with Image.open(path) as image:
        cat = image.convert("RGB")
    ground = Image.new("RGB", (1100, 460), (110, 125, 100))
    ground.paste(cat, (30, 80))
    ground.paste(cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (620, 80))
    buffer = io.BytesIO()
    ground.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def lawn() -> bytes:
    """A photo-like picture without any animal: noise in green, as JPEG of 640 x 480."""
    noise = np.random.default_rng(7).normal(0, 18, (480, 640, 1)) + np.array([95, 120, 70])
    buffer = io.BytesIO()
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1024)) + chunk(b"IEND", b"")


def jpeg_header(jpeg: bytes, width: int, height: int) -> bytes:
    """A real JPEG whose frame header claims another size."""
    at = next(jpeg.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in jpeg)
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


@dataclass(frozen=True)
class Bad:
    """How to spoil a good JPEG, the reasons that may be given, and the HTTP status."""

    spoil: Callable[[bytes], bytes]
    reasons: tuple[str, ...]
    http_status: int


BAD_PHOTOS = {
    "truncated": Bad(lambda cat: cat[: len(cat) // 4], ("truncated",), 422),
    "text": Bad(lambda cat: b"This is not a photo.\n" * 50, ("not_an_image",), 415),
    "empty": Bad(lambda cat: b"", ("empty",), 400),
    "too many bytes": Bad(lambda cat: cat + bytes(40_000_000), ("too_many_bytes",), 413),
    "png bomb": Bad(lambda cat: png_header(50_000, 50_000), ("too_many_pixels",), 422),
    "jpeg bomb": Bad(lambda cat: jpeg_header(cat, 50_000, 50_000), ("too_many_pixels",), 422),
    "heic": Bad(lambda cat: b"\0\0\0\x18ftypheic" + bytes(500), ("unsupported_format",), 415),
    "tiny": Bad(lambda cat: png_header(4, 4), ("too_small",), 422),
    "garbled": Bad(lambda cat: cat[:200] + bytes(range(256)) * 20 + cat[-200:], ("corrupt", "truncated"), 422),
}
