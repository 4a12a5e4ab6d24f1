"""The few tags of an EXIF block that somebody asks for, and no more.

Pillow parses every tag there is, which takes a millisecond of a photo's ten; this takes hundredths of one. The
layout is that of a TIFF file: "TIFF Revision 6.0", section 2.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Set
from typing import Any, Final

Tags = Mapping[int, Any]
"""Tag -> text, whole number, or a list of numbers for rationals (``nan`` for n/0)."""

MAX_BYTES: Final = 1024
"""Of a longer text the beginning is read; a longer value of another kind is none of those asked for."""

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8, 129: 1}
"""Bytes of one value by TIFF's number for its type. 129 is UTF-8 (Exif 3.0, 4.6.2)."""

_WHOLE: Final = {1: "B", 3: "H", 4: "L", 9: "l"}
_RATIONAL: Final = {5: "L", 10: "l"}
_TEXT: Final = (2, 129)


def read_tags(block: bytes, offset: Any, wanted: Set[int]) -> dict[int, Any]:
    """Those tags of one directory that are ``wanted`` and whole; ``offset`` None for the first directory.

    Whatever the bytes are, this returns: what lies outside the block or has another form is left out.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return {}
    try:
        start = struct.unpack_from(f"{order}L", block, 4)[0] if offset is None else offset
        count = struct.unpack_from(f"{order}H", block, start)[0]
    except (struct.error, TypeError):
        return {}
    found: dict[int, Any] = {}
    for at in range(start + 2, min(start + 2 + count * 12, len(block) - 11), 12):
        tag, kind, length = struct.unpack_from(f"{order}HHL", block, at)
        if tag in wanted and tag not in found:
            value = _value(block, order, at + 8, kind, length)
            if value is not None:
                found[tag] = value
    return found


def _value(block: bytes, order: str, at: int, kind: int, length: int) -> Any:
    size = _SIZES.get(kind, 0) * length
    if size > 4:  # no room for it in the entry, which says where it is instead
        at = struct.unpack_from(f"{order}L", block, at)[0]
    data = block[at : at + min(size, MAX_BYTES)]
    if kind in _TEXT:
        return _decoded(data)
    if not data or len(data) < size:
        return None
    if kind in _WHOLE:
        return struct.unpack_from(f"{order}{_WHOLE[kind]}", data)[0]
    if kind in _RATIONAL:
        numbers = struct.unpack(f"{order}{2 * length}{_RATIONAL[kind]}", data)
        return [over / under if under else math.nan for over, under in zip(numbers[::2], numbers[1::2], strict=True)]
    return None


def _decoded(data: bytes) -> str:
    """ASCII by the standard; cameras write UTF-8 and Latin-1 there too."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
