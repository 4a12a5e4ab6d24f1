"""Thumbnails: small, upright, with boxes where the animals are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cli.annotate import LONG_SIDE, thumbnail
from contract.record import Box
from tests.support.sightings import box, sighting, whole_photo


def grey(width: int = 2000, height: int = 1000, level: int = 128, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (level,) * 3).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def drawn(photo: bytes, *boxes: Box | str) -> npt.NDArray[np.int16]:
    with Image.open(io.BytesIO(thumbnail(photo, sighting(animals=boxes)))) as image:
        return np.asarray(image, dtype=np.int16)


def changed(pixels: npt.NDArray[np.int16], level: int = 128) -> npt.NDArray[np.bool_]:
    return np.abs(pixels - level).max(axis=2) > 40


def test_the_photo_is_as_small_as_said_with_its_caption_below() -> None:
    pixels = drawn(grey(), "lion")
    assert pixels.shape[1] == LONG_SIDE
    assert 512 < pixels.shape[0] < 560
    assert changed(pixels)[512:].mean() > 0.95, "a strip of its own"


def test_a_small_photo_is_not_blown_up() -> None:
    assert drawn(grey(300, 200)).shape[1] == 300


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_box_is_where_the_animal_is_and_seen_on_light_and_dark(level: int) -> None:
    pixels = drawn(grey(level=level), box("lion", at=(0.25, 0.5, 0.75, 1.0)))
    marked = changed(pixels, level)[:512]
    rows, columns = np.nonzero(marked)
    assert columns.min() == pytest.approx(256, abs=3)
    assert columns.max() == pytest.approx(768, abs=3)
    assert rows.max() == pytest.approx(511, abs=3)
    assert not marked[:200].any()
    assert not marked[300:480, 300:700].any(), "the animal itself is not covered"


def test_a_turned_photo_is_upright() -> None:
    pixels = drawn(grey(orientation=6), box("lion", at=(0.0, 0.5, 0.5, 1.0)))
    assert (pixels.shape[0] - 40 < LONG_SIDE <= pixels.shape[0], pixels.shape[1]) == (True, 512)
    marked = changed(pixels)[:LONG_SIDE]
    assert np.nonzero(marked)[1].max() == pytest.approx(256, abs=3)


def test_labels_do_not_cover_each_other() -> None:
    same = [box("lion", at=(0.4, 0.4, 0.6, 0.6))] * 3
    one, three = (changed(drawn(grey(), *boxes))[:512].sum() for boxes in (same[:1], same))
    assert three > 2 * one - 4 * 2 * 5 * 205, "three labels, one outline"


def test_a_photo_that_was_only_named_gets_a_caption_and_no_box() -> None:
    with Image.open(io.BytesIO(thumbnail(grey(), whole_photo()))) as image:
        pixels = np.asarray(image, dtype=np.int16)
    assert not changed(pixels)[:512].any()
    assert (pixels[512:] > 200).any(), "letters"


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_format_that_is_classified_is_drawn(cat_path: Path, format: str) -> None:
    buffer = io.BytesIO()
    with Image.open(cat_path) as image:
        image.save(buffer, format)
    assert drawn(buffer.getvalue(), "lion").shape[1] == 451


def test_a_photo_that_breaks_off_is_drawn_as_far_as_it_goes(cat: bytes) -> None:
    assert drawn(cat[: len(cat) * 3 // 4], "lion").shape[1] == 451


@pytest.mark.parametrize("bad", [b"", b"text", b"\xff\xd8\xff" + bytes(100)])
def test_what_is_no_photo_is_told(bad: bytes) -> None:
    with pytest.raises(ValueError):
        thumbnail(bad, sighting())


SIDE = st.floats(-1, 2, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SIDE, SIDE, SIDE, SIDE), max_size=12), st.sampled_from([(8, 8), (8, 900), (640, 480)]))
def test_boxes_of_any_kind_can_be_drawn(sides: list[tuple[float, float, float, float]], size: tuple[int, int]) -> None:
    assert drawn(grey(*size), *(box("lion", at=at) for at in sides)).size > 0
