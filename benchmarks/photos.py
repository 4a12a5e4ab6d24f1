"""The photos of a run: decodable ones, each sent with bytes that no other has."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from contract.photo_status import PhotoError
from contract.preprocessing import MAX_PHOTO_BYTES
from contract.tensors import PHOTO
from imaging.decode import decode_photo

JPEG_QUALITY: Final = 90
MAX_INPUT_BYTES: Final = 192 << 20
"""Photo bytes in one input file; perf_analyzer holds them in memory several times over."""

_SERIAL = count()


class NoPhotos(ValueError):
    """There is nothing to send; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Encoded photos that decode, and how many were left out because they do not."""

    name: str
    photos: tuple[bytes, ...]
    left_out: int = 0

    @property
    def mean_bytes(self) -> float:
        """Encoded size, mean over the photos."""
        return sum(map(len, self.photos)) / len(self.photos)


def load(folder: Path | None) -> PhotoSet:
    """The photos of ``folder``, or the bundled small ones if it is None. Raises NoPhotos."""
    return _bundled() if folder is None else _of_folder(folder)


def _bundled() -> PhotoSet:
    """scikit-image's cat (451 x 300) as JPEG: whole, mirrored and cropped, which are eight different photos."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise NoPhotos("scikit-image, whose cat is the photo of this run, is not installed: give --photos.")
    with Image.open(Path(spec.origin).parent / "data" / "chelsea.png") as image:
        cat = image.convert("RGB")
    width, height = cat.size
    views = [cat.crop((left, top, width - left, height - top)) for left, top in ((0, 0), (16, 8), (32, 0), (0, 16))]
    views += [ImageOps.mirror(view) for view in views]
    return PhotoSet(f"small: {len(views)} views of a cat, {width}x{height} and a little less", tuple(map(_jpeg, views)))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _of_folder(folder: Path) -> PhotoSet:
    if not folder.is_dir():
        raise NoPhotos(f"{folder} is no folder: give --photos a folder of images.")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [path.read_bytes() for path in files if path.stat().st_size <= MAX_PHOTO_BYTES]
    photos = tuple(data for data in found if _decodes(data))
    if not photos:
        raise NoPhotos(f"Nothing in {folder} decodes: give --photos a folder of images.")
    return PhotoSet(f"{folder.name}: {len(photos)} photos", photos, len(files) - len(photos))


def _decodes(data: bytes) -> bool:
    try:
        decode_photo(data)
    except PhotoError:
        return False
    return True


def different(photos: Sequence[bytes]) -> Iterator[bytes]:
    """The photos in turn without end, no two with the same bytes, within this process.

    A serial number follows the picture's end marker, where decoders do not look. So the gateway, which names
    blobs by content, has to store each photo, as it has to with photos from cameras.
    """
    while True:
        for photo in photos:
            yield photo + struct.pack("<Q", next(_SERIAL))


@dataclass(frozen=True, slots=True)
class InputFile:
    """An ``--input-data`` file of perf_analyzer and the SHA-256 (hex) of each photo in it."""

    path: Path
    digests: frozenset[str]


def write_input(path: Path, photos: PhotoSet, wanted: int) -> InputFile:
    """Write an input file of ``wanted`` photos with different bytes, fewer if they are large."""
    room = max(len(photos.photos), int(MAX_INPUT_BYTES / photos.mean_bytes))
    source = different(photos.photos)
    sent = [next(source) for _ in range(min(wanted, room))]
    rows = [{PHOTO.name: {"b64": base64.b64encode(bytes_element(photo)).decode()}} for photo in sent]
    path.write_text(json.dumps({"data": rows}))
    return InputFile(path, frozenset(hashlib.sha256(photo).hexdigest() for photo in sent))


def bytes_element(photo: bytes) -> bytes:
    """A BYTES element as KServe v2 carries it raw: little-endian length, then the bytes. perf_analyzer
    sends what ``b64`` decodes to as it is, so the length has to be in the file."""
    return struct.pack("<I", len(photo)) + photo
