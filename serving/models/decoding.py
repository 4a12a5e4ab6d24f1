"""Encoded photos to the pixels that each task needs, here or by the model ``preprocess``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from contract.options import Task
from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import IMAGE_SIZE, SCENE_SIZE, VIEW_SIZE
from contract.tensors import ENCODED, IMAGE, IMAGE_WIDTH_HEIGHT, PREPROCESS, SCENE, VIEW
from imaging.decode import Pixels, decode_picture, has_end_marker, stretched
from imaging.header import format_of, open_checked
from imaging.letterbox import fitted, letterbox
from serving.models.errors import ModelCallError

Call = Callable[[str, Mapping[str, Any], tuple[str, ...]], dict[str, Any]]
"""Ask a model beside ``animals`` and wait: its name, inputs by name, wanted outputs -> outputs as arrays. May be
called from several threads at once. Raises ModelCallError."""


@dataclass(slots=True)
class Opened:
    """One photo: its status, the upright original's size, and the pixels that its task needs."""

    status: PhotoStatus
    width: int = 0
    height: int = 0
    image: Pixels | None = None
    """The whole photo as the classifier takes it; for ``Task.SPECIES``."""
    scene: Pixels | None = None
    """The whole photo as the detector takes it; for the other tasks."""
    view: Pixels | None = None
    """What animals are cut out of; for ``Task.FULL``."""


class Decoder(Protocol):
    """Makes what a task needs out of a photo. Several threads may call ``open`` at once."""

    elsewhere: bool
    """Whether decoding happens in another process, so that waiting for several photos at once pays."""

    def open(self, photo: bytes, task: Task) -> Opened:
        """Never raises for what is wrong with the photo: that is its status. Raises ModelCallError."""
        ...


class InlineDecoder:
    """Shrink-on-load decoding in the process of ``animals``: no hop, and pixels are copied to nobody."""

    elsewhere = False

    def open(self, photo: bytes, task: Task) -> Opened:
        """See :class:`Decoder`."""
        return opened(photo, task)


class PreprocessDecoder:
    """The model ``preprocess`` (DALI) for what it decodes well, and our own decoder for the rest.

    DALI answers for a whole batch and knows only failure, so what is cut off, damaged or odd is not sent to it,
    and what it refuses all the same is looked at again here. So both decoders say the same of a bad photo.
    """

    elsewhere = True

    def __init__(self, call: Call) -> None:
        self._call = call

    def open(self, photo: bytes, task: Task) -> Opened:
        """See :class:`Decoder`."""
        if not _is_plain_jpeg(photo):
            return opened(photo, task)
        try:
            answer = self._call(PREPROCESS, {ENCODED.name: np.frombuffer(photo, np.uint8)[None]}, _WANTED[task])
        except ModelCallError as error:
            if "decode" in str(error).lower():  # Triton makes every error of a called model INTERNAL: only text tells
                return opened(photo, task)
            raise
        width, height = map(int, answer[IMAGE_WIDTH_HEIGHT.name][0])
        found = Opened(PhotoStatus.OK, width, height)
        if task is Task.SPECIES:
            found.image = answer[IMAGE.name][0]
        else:
            found.scene = answer[SCENE.name][0]
        if task is Task.FULL:
            columns, rows = fitted(width, height, VIEW_SIZE)
            found.view = answer[VIEW.name][0][:rows, :columns]
        return found


def opened(photo: bytes, task: Task) -> Opened:
    """Decode one photo here."""
    if not photo:
        return Opened(PhotoStatus.EMPTY)
    try:
        if task is Task.SPECIES:
            picture = decode_picture(photo, short=IMAGE_SIZE)
        else:
            picture = decode_picture(photo, long=VIEW_SIZE if task is Task.FULL else SCENE_SIZE)
    except PhotoError as error:
        return Opened(error.status)
    except MemoryError:
        return Opened(PhotoStatus.TOO_MANY_PIXELS)
    found = Opened(picture.status, picture.width, picture.height)
    if task is Task.SPECIES:
        found.image = stretched(picture.pixels, IMAGE_SIZE)
    else:
        found.scene = letterbox(picture.pixels, SCENE_SIZE)
        found.view = picture.pixels if task is Task.FULL else None
    return found


def _is_plain_jpeg(photo: bytes) -> bool:
    """Whole by its markers, three or one channels, and no larger than may be decoded."""
    try:
        with open_checked(photo) as image:
            return format_of(image) == "JPEG" and image.mode in ("RGB", "L") and has_end_marker(photo)
    except PhotoError:
        return False


_WANTED = {
    Task.SPECIES: (IMAGE.name, IMAGE_WIDTH_HEIGHT.name),
    Task.COUNT: (SCENE.name, IMAGE_WIDTH_HEIGHT.name),
    Task.FULL: (SCENE.name, VIEW.name, IMAGE_WIDTH_HEIGHT.name),
}
