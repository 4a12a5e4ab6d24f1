"""What EXIF says that matters here: which way is up, when, with which camera, where.

Cameras write half of it wrong: each fact is read by itself, and one that is garbled is simply not known. It never
costs the photo, nor another fact. Tags and their forms: Exif 2.32 (CIPA DC-008-2019), sections 4.6.4 to 4.6.6.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Final, TypeVar

from PIL import ExifTags, Image

from contract.record import Camera, Location
from imaging.tags import Tags, read_tags

GARBLED: Final = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error,
)  # fmt: skip
"""What Pillow's parsers raise on garbled bytes, tried with thousands of mutated photos."""

MAX_NAME: Final = 64
"""Characters kept of a camera's make, model or serial number."""

_TIMES: Final = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized),
    (ExifTags.Base.DateTime, ExifTags.Base.SubsecTime),
)
"""When it was taken, stored, last changed; each with the tag of its fraction of a second."""

_TIME: Final = re.compile(r"(\d{4})[:\-/](\d\d)[:\-/](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
"""The standard has colons in the date; some cameras write dashes."""

_MAIN: Final = frozenset(
    int(tag)
    for tag in (
        ExifTags.Base.Orientation, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.DateTime, ExifTags.IFD.Exif,
        ExifTags.IFD.GPSInfo,
    )
)  # fmt: skip
_TURN: Final = frozenset({int(ExifTags.Base.Orientation)})
_DETAILS: Final = frozenset(int(tag) for pair in _TIMES for tag in pair) | {int(ExifTags.Base.BodySerialNumber)}
_POSITION: Final = frozenset(
    int(tag)
    for tag in (
        ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef,
    )
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What a photo's EXIF says; a default is what is taken for granted where it says nothing."""

    orientation: int = 1
    """How Pillow's pixels are to be turned: 1 for every TIFF, which it turns upright itself."""
    captured_at: datetime | None = None
    camera: Camera | None = None
    location: Location | None = None


def read_exif(image: Image.Image) -> ExifFacts:
    """Orientation 1..8, the camera's local time, camera and position, WGS 84. Decodes no pixel."""
    main, details, position = _directories(image)
    return ExifFacts(
        orientation=1 if image.format == "TIFF" else _orientation(main),
        captured_at=_captured_at({**main, **details}),
        camera=_known(lambda: _camera(main, details), None),
        location=_known(lambda: _location(position), None),
    )


def read_orientation(image: Image.Image) -> int:
    """Orientation 1..8 alone, for whoever turns pixels; see :class:`ExifFacts`."""
    return 1 if image.format == "TIFF" else _orientation(read_tags(_block(image), None, _TURN))


def _known(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except GARBLED:
        return otherwise


def _directories(image: Image.Image) -> tuple[Tags, Tags, Tags]:
    """The tags of the image, of EXIF proper and of GPS; empty where they are not there or garbled."""
    if image.format == "TIFF":
        return _directories_of_tiff(image)
    block = _block(image)
    main = read_tags(block, None, _MAIN)
    details = read_tags(block, main[ExifTags.IFD.Exif], _DETAILS) if ExifTags.IFD.Exif in main else {}
    position = read_tags(block, main[ExifTags.IFD.GPSInfo], _POSITION) if ExifTags.IFD.GPSInfo in main else {}
    return main, details, position


_NOTHING: Final[Tags] = {}


def _directories_of_tiff(image: Image.Image) -> tuple[Tags, Tags, Tags]:
    """Tags are the header of a TIFF file: Pillow has read them to open it."""
    try:
        exif = image.getexif()
    except GARBLED:
        return _NOTHING, _NOTHING, _NOTHING
    details = _known(lambda: exif.get_ifd(ExifTags.IFD.Exif), _NOTHING)
    return exif, details, _known(lambda: exif.get_ifd(ExifTags.IFD.GPSInfo), _NOTHING)


def _block(image: Image.Image) -> bytes:
    block = image.info.get("exif")
    return block.removeprefix(b"Exif\0\0") if isinstance(block, bytes) else b""


def _orientation(tags: Tags) -> int:
    value = tags.get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _captured_at(tags: Tags) -> datetime | None:
    for moment, fraction in _TIMES:
        with suppress(ValueError):  # the thirteenth month
            match = _TIME.fullmatch(_text(tags.get(moment)))
            if match:
                year, month, day, hour, minute, second = map(int, match.groups())
                return datetime(year, month, day, hour, minute, second, _microseconds(tags.get(fraction)))
    return None


def _microseconds(fraction: Any) -> int:
    """``"12"`` is twelve hundredths of a second. Garbled fractions are none."""
    digits = _text(fraction)
    return int(f"{digits:0<6}"[:6]) if digits.isascii() and digits.isdecimal() else 0


def _camera(main: Tags, details: Tags) -> Camera | None:
    camera = Camera(
        make=_text(main.get(ExifTags.Base.Make)),
        model=_text(main.get(ExifTags.Base.Model)),
        serial=_text(details.get(ExifTags.Base.BodySerialNumber)),
    )
    return camera if camera.make or camera.model or camera.serial else None


def _text(value: Any) -> str:
    """What is printable before the first NUL: fields have a fixed length, and what follows is rubbish."""
    if not isinstance(value, str):
        return ""
    kept = "".join(char if char.isprintable() else " " for char in value.partition("\0")[0])
    return " ".join(kept.split())[:MAX_NAME].strip()


def _location(position: Mapping[int, Any]) -> Location | None:
    latitude = _degrees(position, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS", 90)
    longitude = _degrees(position, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None  # a receiver without a fix writes zeros; no animal was ever photographed on that spot of sea
    return Location(latitude=latitude, longitude=longitude)


def _degrees(position: Mapping[int, Any], tag: int, reference: int, signs: str, limit: int) -> float | None:
    """Degrees, minutes and seconds with N or S, E or W as decimal degrees; seven decimals, which is a centimetre."""
    side = _text(position.get(reference)).upper()
    parts = position.get(tag)
    if len(side) != 1 or side not in signs or not isinstance(parts, Sequence) or len(parts) != 3:
        return None
    numbers = [float(part) for part in parts]  # n/0 is not finite
    degrees, minutes, seconds = numbers
    if not all(isfinite(number) and number >= 0 for number in numbers) or minutes > 60 or seconds > 60:
        return None
    value = degrees + minutes / 60 + seconds / 3600
    return round(-value if side == signs[1] else value, 7) if value <= limit else None
