"""A photo with what was found on it: boxes, names, scores, and a caption. For people, so it is small and upright."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFile, ImageFont, ImageOps

from contract.record import Record
from imaging.exif import GARBLED
from imaging.header import open_checked
from interchange.findings import Finding, counted, findings, key

LONG_SIDE: Final = 1024
"""Pixels."""

QUALITY: Final = 85
"""Of the JPEG, as libjpeg counts."""

_COLOURS: Final = ("#ffb000", "#56b4e9", "#2fd07f", "#ff6ec7", "#f5e642", "#a58bff", "#ff7a45", "#7fe0d4")
"""One a taxon, told apart by most colour-blind people, light enough for a dark edge to set them off."""

_DARK: Final = (18, 18, 18)
_WHITE: Final = (255, 255, 255)
_PADDING: Final = 4

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom, pixels."""


@dataclass(frozen=True, slots=True)
class _Label:
    text: str
    colour: str
    left: float
    above: float
    """Where its lower edge goes, if there is room."""
    below: float
    """Where its upper edge goes otherwise."""


def thumbnail(photo: bytes, record: Record) -> bytes:
    """An annotated JPEG, the photo on it ``LONG_SIDE`` at most. Raises ValueError if the photo cannot be shown."""
    image = _opened(photo)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(12, max(image.size) // 56))
    found = findings(record)
    colours = {which: _COLOURS[place % len(_COLOURS)] for place, which in enumerate(dict.fromkeys(map(_key, found)))}
    labels = [
        _draw_box(draw, image.size, finding, colours[_key(finding)]) for finding in found if finding.box is not None
    ]
    taken: list[Rectangle] = []
    for label in sorted(labels, key=lambda label: label.above):
        taken.append(_draw_label(draw, image.size, font, label, taken))
    buffer = io.BytesIO()
    _captioned(image, font, _caption(record, found)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


_PATIENT: Final = threading.Lock()
"""Pillow's patience with truncated files is one switch for the whole process."""


def _opened(photo: bytes) -> Image.Image:
    """Upright, small, RGB; of a file that breaks off what is there."""
    with _PATIENT:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            with open_checked(photo) as image:
                image.draft("RGB", (LONG_SIDE, LONG_SIDE))
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except GARBLED as error:
            raise ValueError(f"It cannot be decoded: {error}") from error
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    upright.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return upright


def _key(finding: Finding) -> tuple[str, str]:
    return key(finding.taxon)


def _caption(record: Record, found: Sequence[Finding]) -> str:
    whole = found[0].taxon.score if len(found) == 1 and found[0].box is None else None
    return counted(record) if whole is None else f"{counted(record)}  {whole:.2f}"


def _draw_box(draw: ImageDraw.ImageDraw, size: tuple[int, int], finding: Finding, colour: str) -> _Label:
    """The outline, with a dark edge on both sides of it; the label is drawn when all outlines are."""
    box = finding.box
    assert box is not None
    width, height = size
    x1, x2 = (min(max(side, 0.0), 1.0) * (width - 1) for side in sorted((box.x1, box.x2)))
    y1, y2 = (min(max(side, 0.0), 1.0) * (height - 1) for side in sorted((box.y1, box.y2)))
    draw.rectangle((x1, y1, x2, y2), outline=_DARK, width=5)
    inner = (min(x1 + 1, x2), min(y1 + 1, y2), max(x2 - 1, x1 + 1), max(y2 - 1, y1 + 1))
    draw.rectangle((inner[0], inner[1], max(inner[2], inner[0]), max(inner[3], inner[1])), outline=colour, width=3)
    return _Label(f"{finding.taxon.common_name}  {finding.taxon.score:.2f}", colour, x1, y1, y1 + 6)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    font: Font,
    label: _Label,
    taken: Sequence[Rectangle],
) -> Rectangle:
    """White on dark with a bar of the box's colour: above the box, else in it, moved down while it covers another."""
    width, height = _extent(draw, font, label.text)
    bar = 5
    left = min(max(label.left, 0), max(0, size[0] - width - bar))
    top = label.above - height if label.above >= height else label.below
    place = (left, top, left + width + bar, top + height)
    while any(_overlap(place, other) for other in taken) and place[3] + height < size[1]:
        place = (place[0], place[1] + height, place[2], place[3] + height)
    draw.rectangle(place, fill=_DARK)
    draw.rectangle((place[0], place[1], place[0] + bar - 1, place[3]), fill=label.colour)
    draw.text((place[0] + bar + _PADDING, place[1] + _PADDING), label.text, fill=_WHITE, font=font, anchor="lt")
    return place


def _captioned(image: Image.Image, font: Font, text: str) -> Image.Image:
    """With a strip below the photo: cameras print time and place into the corners."""
    _, height = _extent(ImageDraw.Draw(image), font, text)
    whole = Image.new("RGB", (image.width, image.height + height), _DARK)
    whole.paste(image)
    ImageDraw.Draw(whole).text((_PADDING, image.height + _PADDING), text, fill=_WHITE, font=font, anchor="lt")
    return whole


def _extent(draw: ImageDraw.ImageDraw, font: Font, text: str) -> tuple[int, int]:
    """Width of a text and height of a line, padding included, the same whether letters hang below the line or not."""
    left, _, right, _ = draw.textbbox((0, 0), text, font=font, anchor="lt")
    _, top, _, bottom = draw.textbbox((0, 0), "Ågy(", font=font, anchor="lt")
    return round(right - left) + 2 * _PADDING, round(bottom - top) + 2 * _PADDING


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
