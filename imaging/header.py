"""Cheap checks on a photo's header: format, size, orientation, capture time. No pixel is decoded."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from datetime import datetime

from PIL import ExifTags, Image, UnidentifiedImageError

from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import FORMATS, MAX_PIXELS, MIN_SIDE

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below with a typed error instead

_TRANSPOSED_FROM = 5
"""EXIF orientations 5..8 swap width and height (EXIF 2.32, tag 0x0112)."""

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
        exif = image.getexif()
        orientation = _orientation(exif)
        width, height = image.size
        if orientation >= _TRANSPOSED_FROM:
            width, height = height, width
        return PhotoHeader(image.format or "", width, height, orientation, _capture_time(exif))


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
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError, IndexError, KeyError, TypeError):
        # Pillow's header parsers raise any of these on garbled bytes.
        raise PhotoError(PhotoStatus.CORRUPT) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(PhotoStatus.TOO_MANY_PIXELS)
    if min(width, height) < MIN_SIDE:
        raise PhotoError(PhotoStatus.TOO_SMALL)
    return image


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1..8; 1 where it is absent or nonsense."""
    return _orientation(image.getexif())


def _orientation(exif: Image.Exif) -> int:
    value = exif.get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _capture_time(exif: Image.Exif) -> datetime | None:
    """DateTimeOriginal, else DateTime, as the camera's local time (EXIF has no zone)."""
    try:
        details = exif.get_ifd(ExifTags.IFD.Exif)
        text = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S") if text else None
    except (ValueError, OSError, SyntaxError, KeyError, TypeError):
        return None  # a garbled date never costs the photo


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
