"""The bytes of a journal segment.

    segment = header frame*
    header  = "BSTJRNL" version:u8
    frame   = length:u32le crc32:u32le payload[length]        crc32 is zlib's, over the payload

A payload is the UTF-8 JSON of one record: never empty, and without NUL bytes. As a length below
``MAX_PAYLOAD_BYTES`` always has a zero as its fourth byte, no place inside a payload looks like a frame:
that is how the frames behind damaged bytes are found again.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"BSTJRNL"
VERSION: Final = 1
HEADER: Final = MAGIC + bytes([VERSION])
MAX_PAYLOAD_BYTES: Final = 4 << 20
"""Far above any record, and below 2**24: see the module's docstring."""

_HEAD: Final = struct.Struct("<II")
FRAME_OVERHEAD: Final = _HEAD.size
"""Bytes that a frame adds to its payload."""


class UnknownVersion(ValueError):
    """The segment was written by another version of the format."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One intact payload and where its frame lies in the segment, bytes from the segment's beginning."""

    payload: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes ``[start, end)`` that belong to no intact frame."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment holds. ``damage`` are the gaps with intact frames behind them, ``torn_tail`` is the one
    at the end: the trace of a write that was cut off, whose records were never acknowledged."""

    frames: tuple[Frame, ...]
    damage: tuple[Gap, ...]
    torn_tail: Gap | None


def encode(payload: bytes) -> bytes:
    """The frame of one payload. Raises ValueError if it is empty or above ``MAX_PAYLOAD_BYTES``."""
    if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
        raise ValueError(f"a journal payload has 1 to {MAX_PAYLOAD_BYTES} bytes, this one has {len(payload)}")
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def scan(data: bytes) -> Scan:
    """Read a whole segment, going on behind damage. Raises UnknownVersion."""
    intact_header = data.startswith(MAGIC)
    if intact_header and len(data) >= len(HEADER) and data[len(MAGIC)] != VERSION:
        raise UnknownVersion(f"journal format {data[len(MAGIC)]}; this program reads format {VERSION}")
    frames: list[Frame] = []
    gaps: list[Gap] = []
    # A damaged header is a gap like any other: the frames after it are still good.
    at = len(HEADER) if intact_header and len(data) >= len(HEADER) else 0
    while at < len(data):
        frame = _frame_at(data, at) or _next_frame(data, at + 1)
        if frame is None:
            return Scan(tuple(frames), tuple(gaps), Gap(at, len(data)))
        if frame.start != at:
            gaps.append(Gap(at, frame.start))
        frames.append(frame)
        at = frame.end
    return Scan(tuple(frames), tuple(gaps), None)


def _frame_at(data: bytes, at: int) -> Frame | None:
    if at + FRAME_OVERHEAD > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, at)
    start, end = at + FRAME_OVERHEAD, at + FRAME_OVERHEAD + length
    if not 0 < length <= MAX_PAYLOAD_BYTES or end > len(data):
        return None
    payload = data[start:end]
    return Frame(payload, at, end) if zlib.crc32(payload) == checksum else None


def _next_frame(data: bytes, at: int) -> Frame | None:
    """The first intact frame that begins at or after ``at``, looking only where a length's zero byte is."""
    zero = data.find(b"\0", at + 3)
    while zero != -1:
        frame = _frame_at(data, zero - 3)
        if frame is not None:
            return frame
        zero = data.find(b"\0", zero + 1)
    return None
