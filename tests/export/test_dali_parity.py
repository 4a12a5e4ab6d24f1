"""DALI's pictures are the shrink-on-load decoder's, where DALI is installed (make install-dali)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.decode import decode_photo, decode_picture
from imaging.letterbox import letterbox

pytest.importorskip("nvidia.dali")

from export.dali_parity import DaliDecoder


@pytest.fixture(scope="module")
def decoder() -> DaliDecoder:
    return DaliDecoder()


def resized(path: Path, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(451, 300), (223, 500), (224, 224), (640, 480), (1400, 300), (2048, 1536), (97, 61)])
def test_pictures_of_any_size_agree(decoder: DaliDecoder, cat_path: Path, size: tuple[int, int]) -> None:
    photo = resized(cat_path, *size)
    both = decoder(photo)
    assert both is not None
    image, scene, view = both
    assert np.abs(image.astype(int) - decode_photo(photo).pixels).mean() < 1.0
    for theirs, side in ((scene, 416), (view, 768)):
        ours = letterbox(decode_picture(photo, long=side).pixels, side)
        assert np.abs(theirs.astype(int) - ours).mean() < 2.0


def test_a_small_photo_agrees_to_a_grey_level(decoder: DaliDecoder, cat_path: Path) -> None:
    photo = resized(cat_path, 300, 260)
    both = decoder(photo)
    assert both is not None
    assert np.abs(both[0].astype(int) - decode_photo(photo).pixels).max() <= 1


def test_a_photo_that_dali_refuses_does_not_end_it(decoder: DaliDecoder, cat: bytes) -> None:
    assert decoder(b"\xff\xd8\xff nothing") is None
    assert decoder(cat) is not None
