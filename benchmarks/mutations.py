"""Photos spoiled in every way that cards, cables and strangers know, each from a seed so that it can be made again."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from contract.preprocessing import FORMATS

OPTIONS: Final[Mapping[str, Mapping[str, object]]] = {
    "JPEG": {"quality": 88},
    "WEBP": {"quality": 80},
    "TIFF": {"compression": "tiff_lzw"},
}
"""How photos are written, by Pillow's format name; the others as Pillow does by itself."""

HEADER_BYTES: Final = 700
"""Flips and splices often aim at the first bytes, where formats keep what parsers trust."""

SUFFIXES: Final = ("jpg", "png", "webp", "bmp", "gif", "tif", "txt", "exe", "")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One upload. ``good``: nobody touched it, so it has to be answered."""

    number: int
    kind: str
    filename: str
    data: bytes
    good: bool


class Mutator:
    """Makes the uploads of a run: upload ``n`` of a seed is always the same bytes."""

    def __init__(self, photos: Sequence[bytes], seed: int, good_each: int = 8) -> None:
        """``photos`` decode; one in ``good_each`` uploads is one of them in some format."""
        self._photos = {name: [_encode(photo, name) for photo in photos] for name in FORMATS}
        self._seed = seed
        self._good_each = good_each

    def make(self, number: int) -> Mutant:
        """Upload ``number``."""
        chance = random.Random(f"{self._seed} {number}")
        name = chance.choice(FORMATS)
        photo = chance.choice(self._photos[name])
        if number % self._good_each == 0:
            return Mutant(number, f"good {name}", f"{number}.{chance.choice(SUFFIXES)}", photo, good=True)
        kind = chance.choice(tuple(_KINDS))
        other = chance.choice(self._photos[chance.choice(FORMATS)])
        return Mutant(number, kind, f"{number}.{name.lower()}", _KINDS[kind](photo, other, chance), good=False)


def _encode(photo: bytes, name: str) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as image:
        image.convert("P" if name == "GIF" else "RGB").save(buffer, name, **OPTIONS.get(name, {}))
    return buffer.getvalue()


def _flip_bits(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    spoiled = bytearray(photo)
    end = min(len(spoiled), HEADER_BYTES) if chance.random() < 0.5 else len(spoiled)
    for _ in range(chance.choice((1, 2, 8, 64, 512))):
        spoiled[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


def _truncate(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    return photo[: chance.randrange(len(photo))]


def _splice(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    """The head of one file and the rest of another, perhaps of another format."""
    at = chance.randrange(1, min(HEADER_BYTES, len(photo)))
    return photo[:at] + other[chance.choice((at, chance.randrange(len(other)), 0)) :]


def _overwrite(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    """A stretch of the file is zeros, ones or noise, as on a card that lost a block."""
    at, length = chance.randrange(len(photo)), chance.choice((16, 512, 4096))
    fill = chance.choice((b"\0" * length, b"\xff" * length, chance.randbytes(length)))
    return (photo[:at] + fill + photo[at + length :])[: max(len(photo), 1)]


def _insert(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(photo))
    return photo[:at] + chance.randbytes(chance.choice((1, 3, 100))) + photo[at:]


def _drop(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(photo))
    return photo[:at] + photo[at + chance.choice((1, 512, 4096)) :]


def _bomb(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    """A header that claims a picture of absurd size."""
    width, height = (chance.choice((1, 7, 60_000, 65_500)) for _ in range(2))
    if chance.random() < 0.4:
        return _png(width, height)
    for marker in (b"\xff\xc0", b"\xff\xc2", b"IHDR", b"BM"):
        at = photo.find(marker)
        if at >= 0:
            at += {b"IHDR": 4, b"BM": 18}.get(marker, 5)
            size = struct.pack("<ii", width, height) if marker == b"BM" else (
                struct.pack(">II", width, height) if marker == b"IHDR" else struct.pack(">HH", height, width)
            )  # fmt: skip
            return photo[:at] + size + photo[at + len(size) :]
    return _png(width, height)


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _no_photo(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    return chance.choice((b"", b"\xff\xd8\xff", b"GIF89a", b"%PDF-1.7\n", b"<svg/>", chance.randbytes(4000)))


_KINDS: Final[Mapping[str, Callable[[bytes, bytes, random.Random], bytes]]] = {
    "bits flipped": _flip_bits,
    "truncated": _truncate,
    "spliced": _splice,
    "overwritten": _overwrite,
    "bytes inserted": _insert,
    "bytes dropped": _drop,
    "bomb": _bomb,
    "no photo": _no_photo,
}
