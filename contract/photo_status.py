"""What was wrong with one photo, as a number that travels in a tensor and as a sentence for a person.

One photo's status never touches its neighbours in a batch: models answer ``STATUS`` per photo
instead of failing the request.
"""

from __future__ import annotations

from enum import IntEnum


class PhotoStatus(IntEnum):
    """Per-photo outcome. Values are part of the tensor contract: add at the end, never renumber."""

    OK = 0
    EMPTY = 1
    NOT_AN_IMAGE = 2
    UNSUPPORTED_FORMAT = 3
    TRUNCATED = 4
    CORRUPT = 5
    TOO_MANY_PIXELS = 6
    TOO_SMALL = 7
    TOO_MANY_BYTES = 8
    PARTIAL = 9
    """Cut off, yet most of the picture is there: it is answered all the same."""

    @property
    def answered(self) -> bool:
        """Whether a photo of this status has an answer."""
        return self in (PhotoStatus.OK, PhotoStatus.PARTIAL)

    @property
    def code(self) -> str:
        """The stable lower-case word that APIs use, e.g. ``truncated``."""
        return self.name.lower()


_ADVICE: dict[PhotoStatus, str] = {
    PhotoStatus.OK: "The photo was read.",
    PhotoStatus.EMPTY: "The body is empty. Send the bytes of one photo.",
    PhotoStatus.NOT_AN_IMAGE: "The bytes are not an image. Send a JPEG, PNG, WebP, BMP, GIF or TIFF file.",
    PhotoStatus.UNSUPPORTED_FORMAT: "This image format is not read here. Convert the photo to JPEG, PNG or WebP.",
    PhotoStatus.TRUNCATED: "The photo ends before its picture does. Copy or upload it again from the original.",
    PhotoStatus.CORRUPT: "The photo is damaged and cannot be decoded. Send it again from the original.",
    PhotoStatus.TOO_MANY_PIXELS: "The photo has too many pixels. Send at most 100 megapixels (40 if not JPEG).",
    PhotoStatus.TOO_SMALL: "The photo is too small to show an animal. Send one of at least 8 x 8 pixels.",
    PhotoStatus.PARTIAL: "The photo ends before its picture does; what is there was read. Copy it again for the rest.",
    PhotoStatus.TOO_MANY_BYTES: "The photo has too many bytes. Send a smaller file or re-encode it as JPEG.",
}


def advice(status: PhotoStatus) -> str:
    """One sentence on what is wrong and one on what to do, for the sender of the photo."""
    return _ADVICE[status]


class PhotoError(ValueError):
    """One photo cannot be used. ``status`` says why; ``str()`` is safe to show to its sender."""

    def __init__(self, status: PhotoStatus) -> None:
        super().__init__(advice(status))
        self.status = status
