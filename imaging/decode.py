"""Photo bytes to upright pixels: decoded once, at the smallest scale that is enough.

JPEG is decoded by libjpeg-turbo at a reduced DCT scale (shrink-on-load), which on a 12-megapixel photo
costs a sixth of a full decode. CMYK JPEGs and all other formats go through Pillow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import IMAGE_SIZE
from imaging.exif import GARBLED, read_orientation
from imaging.header import TRANSPOSED_FROM, format_of, open_checked

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, RGB, 0..255."""

DCT_SCALES: Final = (8, 4, 2)
"""Divisors that are tried, largest first. libjpeg-turbo has SIMD code for these; 7/8 costs more than no scaling
at all (small photos: 0.65 ms against 0.33 ms, measured with libjpeg-turbo 3 on AVX2)."""

MOST: Final = 0.5
"""A truncated JPEG is answered if at least this share of its rows is there."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright photo at some scale, the original's size in pixels, and OK or PARTIAL."""

    pixels: Pixels
    width: int
    height: int
    status: PhotoStatus


@dataclass(frozen=True, slots=True)
class Decoded:
    """Upright square pixels, ``size`` x ``size`` x 3 UINT8, the upright original's size, and OK or PARTIAL."""

    pixels: Pixels
    width: int
    height: int
    status: PhotoStatus


def decode_photo(data: bytes, size: int = IMAGE_SIZE) -> Decoded:
    """Decode one photo and stretch it to ``size`` x ``size``. Raises as :func:`decode_picture`.

    The whole photo is kept (stretched, not cropped): a camera-trap animal often stands at the edge.
    """
    picture = decode_picture(data, short=size)
    return Decoded(stretched(picture.pixels, size), picture.width, picture.height, picture.status)


def decode_picture(data: bytes, *, short: int = 1, long: int = 1) -> Picture:
    """Decode one photo at a scale that leaves its shorter side at least ``short`` pixels and its longer side at
    least ``long``, where the original has so many.

    Raises PhotoError with any status but OK, PARTIAL and TOO_MANY_BYTES.
    """
    with open_checked(data) as image:
        orientation = read_orientation(image)
        width, height = image.size
        status = PhotoStatus.OK
        divisor = _divisor(width, height, short, long)
        if format_of(image) == "JPEG" and image.mode in ("RGB", "L"):
            pixels, status = _decode_jpeg(data, image, divisor)
        else:
            pixels = _decode_with_pillow(image, divisor)
    if orientation >= TRANSPOSED_FROM:
        width, height = height, width
    return Picture(upright(pixels, orientation), width, height, status)


def stretched(pixels: Pixels, size: int) -> Pixels:
    """``size`` x ``size`` x 3, contiguous. A side is halved (the mean of two pixels) until it is at most twice
    ``size``; the rest needs two taps a pixel. Any toolkit can do the same, so DALI's pipeline does."""
    height, width = pixels.shape[:2]
    while height > 2 * size or width > 2 * size:
        height, width = (-(-side // 2) if side > 2 * size else side for side in (height, width))
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1..8, EXIF 2.32 tag 0x0112) to pixels; contiguous result."""
    if orientation >= TRANSPOSED_FROM:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def has_end_marker(data: bytes) -> bool:
    """Whether a JPEG's EOI marker stands near the end; cameras pad files with zeros or append metadata."""
    return b"\xff\xd9" in data[-65536:]


def _divisor(width: int, height: int, short: int, long: int) -> int:
    """The largest of ``DCT_SCALES`` that leaves enough pixels, or 1. libjpeg rounds scaled sides up."""
    least, most = min(width, height), max(width, height)
    return next((scale for scale in DCT_SCALES if -(-least // scale) >= short and -(-most // scale) >= long), 1)


_DAMAGE = ("premature end of data segment", "huffman", "found marker")
"""libjpeg's warnings that mean a damaged picture (jerror.h); others, such as stray bytes between markers,
are habits of camera firmware."""

_MISSING_GREY: Final = 128
"""What libjpeg leaves where data ended (jdhuff.c: blocks stay zero, which is mid grey)."""


def _decode_jpeg(data: bytes, image: Image.Image, divisor: int) -> tuple[Pixels, PhotoStatus]:
    try:
        return _simplejpeg(data, image, divisor, strict=True), PhotoStatus.OK
    except ValueError as error:
        warning = str(error).lower()
    if "premature end of jpeg file" in warning or not has_end_marker(data):
        return _truncated(data, image, divisor), PhotoStatus.PARTIAL
    if any(damage in warning for damage in _DAMAGE):
        raise PhotoError(PhotoStatus.CORRUPT)
    try:
        return _simplejpeg(data, image, divisor, strict=False), PhotoStatus.OK
    except ValueError:
        return _decode_with_pillow(image, divisor), PhotoStatus.OK  # more patient with odd headers


def _truncated(data: bytes, image: Image.Image, divisor: int) -> Pixels:
    """What is there of a cut-off JPEG. Raises PhotoError (TRUNCATED) if that is too little."""
    try:
        pixels = _simplejpeg(data, image, divisor, strict=False)
    except ValueError:
        raise PhotoError(PhotoStatus.TRUNCATED) from None
    if _rows_there(pixels) < MOST * len(pixels):
        raise PhotoError(PhotoStatus.TRUNCATED)
    return pixels


def _rows_there(pixels: Pixels) -> int:
    """Rows above the grey that libjpeg fills in. A cut-off progressive JPEG is blurred instead, and is all there."""
    told = np.abs(pixels.astype(np.int16) - _MISSING_GREY).max(axis=(1, 2)) > 1
    return int(told.nonzero()[0][-1]) + 1 if told.any() else 0


def _simplejpeg(data: bytes, image: Image.Image, divisor: int, *, strict: bool) -> Pixels:
    width, height = image.size
    pixels: Pixels = simplejpeg.decode_jpeg(
        data,
        colorspace="RGB",  # with the accurate transform and upsampling: no dearer on AVX2, and what DALI does
        min_height=-(-height // divisor),
        min_width=-(-width // divisor),
        strict=strict,
    )
    return pixels


def _decode_with_pillow(image: Image.Image, divisor: int) -> Pixels:
    try:
        if divisor > 1:  # shrink-on-load where the format can (CMYK JPEG)
            image.draft(None, (-(-image.width // divisor), -(-image.height // divisor)))
        image.load()
    except GARBLED as error:
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise PhotoError(PhotoStatus.TRUNCATED if cut else PhotoStatus.CORRUPT) from None
    except Image.DecompressionBombError:
        raise PhotoError(PhotoStatus.TOO_MANY_PIXELS) from None
    return np.asarray(_to_rgb(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        # 16-bit and floating grey: stretch to the range in use, as Pillow's own conversion would clip.
        grey = np.asarray(image, dtype=np.float32)
        low, high = float(grey.min()), float(grey.max())
        return Image.fromarray(((grey - low) * (255 / max(high - low, 1))).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
