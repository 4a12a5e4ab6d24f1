"""Cheap checks on a photo's header: format, size, orientation, capture time. No pixel is decoded."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from datetime import datetime

from PIL import ExifTags, Image, UnidentifiedImageError

from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import FORMATS, MAX_PIXELS, MAX_PIXELS_FULL_DECODE, MIN_SIDE

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below with a typed error instead
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # grumbling about garbled EXIF, read as none

TRANSPOSED_FROM = 5
"""EXIF orientations 5..8 swap width and height (EXIF 2.32, tag 0x0112)."""

GARBLED = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error,
)  # fmt: skip
"""What Pillow's parsers raise on garbled bytes, tried with thousands of mutated photos."""

_ISO_MEDIA_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"jxl ")
_KNOWN_BUT_UNREAD = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ", b"8BPS", b"%PDF", b"<svg", b"FUJIFILMCCD-RAW")


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """What the header claims. ``width`` and ``height`` are those of the upright photo, pixels."""

    format: str
    width: int
    height: int
    orientation: int
    captured_at: datetime | None


def read_header(data: bytes) -> PhotoHeader:
    """Parse and check the header of an encoded photo.

    Raises PhotoError: EMPTY, NOT_AN_IMAGE, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS, TOO_SMALL, CORRUPT.
    """
    with open_checked(data) as image:
        exif = read_exif(image)
        width, height = image.size
        if exif.orientation >= TRANSPOSED_FROM:
            width, height = height, width
        return PhotoHeader(format_of(image), width, height, exif.orientation, exif.captured_at)


def open_checked(data: bytes) -> Image.Image:
    """Open an encoded photo lazily with Pillow after the checks of :func:`read_header`."""
    if not data:
        raise PhotoError(PhotoStatus.EMPTY)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise PhotoError(PhotoStatus.TOO_MANY_PIXELS) from None
    except UnidentifiedImageError:
        raise PhotoError(_unidentified(data)) from None
    except GARBLED:
        raise PhotoError(PhotoStatus.CORRUPT) from None
    width, height = image.size
    if width * height > (MAX_PIXELS if format_of(image) == "JPEG" else MAX_PIXELS_FULL_DECODE):
        raise PhotoError(PhotoStatus.TOO_MANY_PIXELS)
    if min(width, height) < MIN_SIDE:
        raise PhotoError(PhotoStatus.TOO_SMALL)
    return image


def format_of(image: Image.Image) -> str:
    """Pillow's name of the format; the multi-picture JPEGs of phones and some cameras (MPO) are JPEG."""
    return "JPEG" if image.format == "MPO" else image.format or ""


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What EXIF says that matters here. A garbled block never costs the photo: it says nothing."""

    orientation: int = 1
    captured_at: datetime | None = None


def read_exif(image: Image.Image) -> ExifFacts:
    """Orientation 1..8 and capture time. Reads the header only: Pillow's ``getexif`` would decode a whole PNG."""
    try:
        if image.format == "TIFF":
            exif = image.getexif()  # its tags are the header
        else:
            exif = Image.Exif()
            exif.load(image.info.get("exif") or b"")
        return ExifFacts(_orientation(exif), _capture_time(exif))
    except GARBLED:
        return ExifFacts()


def _orientation(exif: Image.Exif) -> int:
    value = exif.get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _capture_time(exif: Image.Exif) -> datetime | None:
    """DateTimeOriginal, else DateTime, as the camera's local time (EXIF has no zone)."""
    try:
        details = exif.get_ifd(ExifTags.IFD.Exif)
        text = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S") if text else None
    except GARBLED:
        return None  # the orientation may be whole all the same


def _unidentified(data: bytes) -> PhotoStatus:
    """Tell an image format that is not read here, or a damaged one, from bytes that are no image at all."""
    if data[4:8] == b"ftyp" and data[8:12] in _ISO_MEDIA_BRANDS:
        return PhotoStatus.UNSUPPORTED_FORMAT
    if data.startswith(_KNOWN_BUT_UNREAD):
        return PhotoStatus.UNSUPPORTED_FORMAT
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    ):
        return PhotoStatus.TRUNCATED if len(data) < 256 else PhotoStatus.CORRUPT
    return PhotoStatus.NOT_AN_IMAGE
