"""Looks at every offered photo once: can it be decoded, how large is it, what does it look like, when was it taken."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import MAX_PHOTO_BYTES
from imaging.decode import decode_picture
from imaging.header import read_header
from training.datasets.offers import LeftOut, Offered, Reason
from training.split import perceptual_hash

LOOK_SIDE: Final = 256
"""Photos are decoded at a scale that leaves their shorter side at least this, pixels."""

TINY_SIDE: Final = 32
"""A photo with a shorter side is left out: a seventh of the network's input shows no features of an animal."""

SKETCH_SIDE: Final = 32
"""Side of the grey picture in which near-duplicates are compared."""

SUFFIX_OF: Final = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"}

_REASONS: Final = {
    PhotoStatus.TRUNCATED: Reason.TRUNCATED,
    PhotoStatus.PARTIAL: Reason.TRUNCATED,
    PhotoStatus.TOO_SMALL: Reason.TINY,
    PhotoStatus.TOO_MANY_PIXELS: Reason.TOO_LARGE,
}

Sketch = npt.NDArray[np.float32]
"""``SKETCH_SIDE`` squared grey values, mean 0, length 1: the product of two is their correlation."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a photo is by itself."""

    offered: Offered
    sha256: str
    suffix: str
    width: int
    height: int
    """Pixels, upright."""
    captured_at: datetime | None
    """From the source, or else from EXIF."""
    camera: str
    """Make, model and serial number as EXIF has them; '' if it has none."""
    position: str
    """'latitude,longitude' in thousandths of a degree (about 100 m), from EXIF; ''."""
    bits: npt.NDArray[np.bool_]
    mirrored_bits: npt.NDArray[np.bool_]
    """Perceptual hashes of the photo and of its mirror image, 63 each."""
    sketch: Sketch


def look_at_all(photos: Sequence[Offered], tick: Callable[[], None]) -> tuple[list[Looked], list[LeftOut]]:
    """Look at every photo, on all cores; ``tick`` is called after each. The order is that of ``photos``."""
    looked: list[Looked] = []
    left_out: list[LeftOut] = []
    with ThreadPoolExecutor(os.cpu_count(), "look") as pool:  # decoders let go of the interpreter's lock
        try:
            for result in pool.map(look_at, photos):
                tick()
                if isinstance(result, Looked):
                    looked.append(result)
                else:
                    left_out.append(result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return looked, left_out


def look_at(offered: Offered) -> Looked | LeftOut:
    """Read and decode one photo; why it is left out where that fails."""

    def leave_out(reason: Reason, detail: str) -> LeftOut:
        return LeftOut(offered.name, offered.label, reason, detail, offered.file)

    try:
        if offered.file.stat().st_size > MAX_PHOTO_BYTES:
            return leave_out(Reason.TOO_LARGE, f"It has more than {MAX_PHOTO_BYTES >> 20} MiB. Re-encode it as JPEG.")
        data = offered.file.read_bytes()
    except OSError as error:
        return leave_out(Reason.UNREADABLE, f"The file cannot be read: {error.strerror}.")
    try:
        header = read_header(data)
        picture = decode_picture(data, short=LOOK_SIDE)
        if picture.status is PhotoStatus.PARTIAL:
            raise PhotoError(PhotoStatus.PARTIAL)
    except PhotoError as error:
        return leave_out(_REASONS.get(error.status, Reason.UNDECODABLE), _SENTENCES[error.status])
    width, height = picture.width, picture.height
    if min(width, height) < TINY_SIDE:
        return leave_out(Reason.TINY, f"{width} x {height} pixels are too few: a side needs {TINY_SIDE} at least.")
    grey = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    camera, place = header.camera, header.location
    return Looked(
        offered=offered,
        sha256=hashlib.sha256(data).hexdigest(),
        suffix=SUFFIX_OF[header.format],
        width=width,
        height=height,
        captured_at=offered.captured_at or header.captured_at,
        camera=" ".join(filter(None, (camera.make, camera.model, camera.serial))) if camera else "",
        position=f"{place.latitude:.3f},{place.longitude:.3f}" if place else "",
        bits=perceptual_hash(grey),
        mirrored_bits=perceptual_hash(np.ascontiguousarray(grey[:, ::-1])),
        sketch=sketch(grey),
    )


_SENTENCES: Final = {
    PhotoStatus.EMPTY: "The file is empty.",
    PhotoStatus.NOT_AN_IMAGE: "The file is not an image.",
    PhotoStatus.UNSUPPORTED_FORMAT: "This image format is not read here. Convert it to JPEG, PNG or WebP.",
    PhotoStatus.TRUNCATED: "The file ends before its picture does. Copy it again from the card.",
    PhotoStatus.PARTIAL: "The file ends before its picture does. Copy it again from the card.",
    PhotoStatus.CORRUPT: "The file is damaged and cannot be decoded. Copy it again from the card.",
    PhotoStatus.TOO_MANY_PIXELS: "It has more pixels than the service takes (100 million; 40 million if not JPEG).",
    PhotoStatus.TOO_SMALL: "It is smaller than 8 x 8 pixels.",
}


def sketch(grey: npt.NDArray[np.uint8]) -> Sketch:
    """A grey picture as a unit vector; all 0 if it has one brightness everywhere."""
    small = cv2.resize(grey, (SKETCH_SIDE, SKETCH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return np.asarray(small / length if length > 1e-3 else small * 0, np.float32)
