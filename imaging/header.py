"""Cheap checks on a photo's header: format, size, and what EXIF says. No pixel is decoded."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from datetime import datetime

from PIL import Image, UnidentifiedImageError

from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import FORMATS, MAX_PIXELS, MAX_PIXELS_FULL_DECODE, MIN_SIDE
from contract.record import Camera, Location
from imaging.exif import GARBLED, read_exif

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below with a typed error instead
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # grumbling about garbled EXIF, read as none

TRANSPOSED_FROM = 5
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
    """The camera's local clock: EXIF has no zone that cameras fill in."""
    camera: Camera | None
    location: Location | None


def read_header(data: bytes) -> PhotoHeader:
    """Parse and check the header of an encoded photo.

    Raises PhotoError: EMPTY, NOT_AN_IMAGE, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS, TOO_SMALL, CORRUPT.
    """
    with open_checked(data) as image:
        exif = read_exif(image)
        width, height = image.size
        if exif.orientation >= TRANSPOSED_FROM:
            width, height = height, width
        return PhotoHeader(
            format_of(image), width, height, exif.orientation, exif.captured_at, exif.camera, exif.location
        )


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
