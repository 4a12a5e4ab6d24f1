"""Photo bytes to the classifier's input: decode at a reduced scale, resize, turn upright.

JPEG is decoded by libjpeg-turbo at the smallest DCT scale that still covers the target
(shrink-on-load), which on a 12-megapixel photo costs a sixth of a full decode. CMYK JPEGs and all
other formats go through Pillow.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import IMAGE_SIZE
from imaging.header import GARBLED, TRANSPOSED_FROM, format_of, open_checked, read_exif

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, RGB, 0..255."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Upright square pixels, ``size`` x ``size`` x 3 UINT8, and the upright original's size in pixels."""

    pixels: Pixels
    width: int
    height: int


def decode_photo(data: bytes, size: int = IMAGE_SIZE) -> Decoded:
    """Decode one photo and stretch it to ``size`` x ``size``.

    The whole photo is kept (stretched, not cropped): a camera-trap animal often stands at the edge.
    Raises PhotoError with any status but OK and TOO_MANY_BYTES.
    """
    with open_checked(data) as image:
        orientation = read_exif(image).orientation
        width, height = image.size
        if format_of(image) == "JPEG" and image.mode in ("RGB", "L"):
            pixels = _decode_jpeg(data, image, size)
        else:
            pixels = _decode_with_pillow(image, size)
    resized = _resize(pixels, size)
    if orientation >= TRANSPOSED_FROM:
        width, height = height, width
    return Decoded(upright(resized, orientation), width, height)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1..8, EXIF 2.32 tag 0x0112) to pixels; contiguous result."""
    if orientation >= TRANSPOSED_FROM:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


_DAMAGE = ("premature end of data segment", "huffman", "found marker")
"""libjpeg's warnings that mean a damaged picture (jerror.h); others, such as stray bytes between markers,
are habits of camera firmware."""


def _decode_jpeg(data: bytes, image: Image.Image, size: int) -> Pixels:
    try:
        return _simplejpeg(data, size, strict=True)
    except ValueError as error:
        warning = str(error).lower()
    if "premature end of jpeg file" in warning or not _has_end_marker(data):
        raise PhotoError(PhotoStatus.TRUNCATED)
    if any(damage in warning for damage in _DAMAGE):
        raise PhotoError(PhotoStatus.CORRUPT)
    try:
        return _simplejpeg(data, size, strict=False)
    except ValueError:
        return _decode_with_pillow(image, size)  # more patient with odd headers


def _simplejpeg(data: bytes, size: int, *, strict: bool) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(
        data, colorspace="RGB", fastdct=True, fastupsample=True, min_height=size, min_width=size, strict=strict
    )
    return pixels


def _has_end_marker(data: bytes) -> bool:
    """Whether an EOI marker stands near the end; cameras pad files with zeros or append metadata."""
    return b"\xff\xd9" in data[-65536:]


def _decode_with_pillow(image: Image.Image, size: int) -> Pixels:
    try:
        image.draft(None, (size, size))  # shrink-on-load where the format can (CMYK JPEG)
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


def _resize(pixels: Pixels, size: int) -> Pixels:
    height, width = pixels.shape[:2]
    shrinking = height > size or width > size
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=interpolation), dtype=np.uint8)
