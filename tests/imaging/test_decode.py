"""The decoder: right pixels in every format and orientation, and a typed error for everything else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from contract.photo_status import PhotoError, PhotoStatus
from contract.preprocessing import IMAGE_SIZE
from imaging.decode import decode_photo, decode_picture, upright
from imaging.header import read_header
from tests.support.photos import BAD_PHOTOS, encode

MEAN_DIFFERENCE_LIMIT = 6.0
"""Grey levels of 255: what another resize filter or JPEG quantisation may change on average."""


def reference(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        size = (IMAGE_SIZE, IMAGE_SIZE)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), dtype=np.float32)


@pytest.mark.parametrize(
    ("format", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("WEBP", "RGB"),
        ("BMP", "RGB"),
        ("TIFF", "RGB"),
    ],
)
def test_every_format_gives_the_same_picture(cat_path: Path, format: str, mode: str) -> None:
    decoded = decode_photo(encode(cat_path, format, mode))
    assert decoded.pixels.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.width, decoded.height) == (451, 300)
    assert np.abs(decoded.pixels - reference(cat_path)).mean() < MEAN_DIFFERENCE_LIMIT


def test_shrink_on_load_gives_the_same_picture_as_a_full_decode(cat_path: Path) -> None:
    buffer = io.BytesIO()
    with Image.open(cat_path) as image:
        image.convert("RGB").resize((451 * 8, 300 * 8), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    decoded = decode_photo(buffer.getvalue())
    assert (decoded.width, decoded.height) == (451 * 8, 300 * 8)
    assert np.abs(decoded.pixels - reference(cat_path)).mean() < MEAN_DIFFERENCE_LIMIT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_exif(orientation: int) -> None:
    pixels = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=image.getexif())
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    assert np.array_equal(upright(pixels, orientation), expected)


@pytest.mark.parametrize("name", [name for name in BAD_PHOTOS if name != "too many bytes"])
def test_a_bad_photo_has_its_reason(cat: bytes, name: str) -> None:
    bad = BAD_PHOTOS[name]
    with pytest.raises(PhotoError) as caught:
        decode_photo(bad.spoil(cat))
    assert caught.value.status.code in bad.reasons


def test_stray_bytes_of_camera_firmware_do_not_cost_the_photo(cat: bytes) -> None:
    padded = cat + bytes(1000)
    assert decode_photo(padded).width == 451
    at = cat.index(b"\xff\xda")
    assert decode_photo(cat[:at] + b"\0\0\0" + cat[at:]).width == 451


def test_sixteen_bit_grey_is_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64, dtype=np.uint16).reshape(64, 64)
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    pixels = decode_photo(buffer.getvalue()).pixels
    assert pixels.min() < 10
    assert pixels.max() > 245
    assert len(np.unique(pixels)) > 100


def test_the_header_tells_when_the_photo_was_taken(cat_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2024:05:06 07:08:09"
    buffer = io.BytesIO()
    with Image.open(cat_path) as image:
        image.convert("RGB").save(buffer, "JPEG", exif=exif)
    header = read_header(buffer.getvalue())
    assert header.captured_at is not None
    assert header.captured_at.isoformat() == "2024-05-06T07:08:09"


@settings(max_examples=300, deadline=None)
@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=64), cut=st.floats(0.01, 1))
def test_damage_of_any_kind_ends_in_a_picture_or_a_typed_error(
    cat: bytes, position: float, junk: bytes, cut: float
) -> None:
    at = int(position * len(cat))
    damaged = (cat[:at] + junk + cat[at + len(junk) :])[: int(cut * len(cat)) + 1]
    try:
        assert decode_photo(damaged).pixels.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    except PhotoError as error:
        assert not error.status.answered


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_cut_off_photo_that_shows_most_of_its_picture_is_partial(cat_path: Path, options: dict[str, object]) -> None:
    whole = encode(cat_path, "JPEG", quality=92, **options)
    decoded = decode_photo(whole[: len(whole) * 4 // 5])
    assert decoded.status is PhotoStatus.PARTIAL
    assert np.abs(decoded.pixels[:100].astype(int) - decode_photo(whole).pixels[:100]).mean() < 2
    assert decode_photo(whole).status is PhotoStatus.OK


def test_a_photo_cut_off_early_is_refused(cat: bytes) -> None:
    with pytest.raises(PhotoError) as caught:
        decode_photo(cat[: len(cat) // 4])
    assert caught.value.status is PhotoStatus.TRUNCATED


@pytest.mark.parametrize(
    ("short", "long", "expected"), [(1, 1, (57, 38)), (224, 1, (451, 300)), (100, 200, (226, 150))]
)
def test_a_photo_is_decoded_no_larger_than_it_has_to_be(
    cat: bytes, short: int, long: int, expected: tuple[int, int]
) -> None:
    picture = decode_picture(cat, short=short, long=long)
    assert picture.pixels.shape[1::-1] == expected
    assert (picture.width, picture.height) == (451, 300)


def spoiled_pngs(path: Path) -> dict[str, bytes]:
    png = encode(path, "PNG")
    middle = png.index(b"IDAT") + 1000
    return {
        "cut": png[: len(png) // 2],
        "flipped": png[:middle] + bytes([png[middle] ^ 0xFF]) + png[middle + 1 :],
    }


@pytest.mark.parametrize("name", ["cut", "flipped"])
def test_a_damaged_png_has_a_header_and_a_typed_decode_error(cat_path: Path, name: str) -> None:
    data = spoiled_pngs(cat_path)[name]
    assert (read_header(data).width, read_header(data).height) == (451, 300)
    with pytest.raises(PhotoError) as caught:
        decode_photo(data)
    assert caught.value.status in {PhotoStatus.TRUNCATED, PhotoStatus.CORRUPT}


@pytest.mark.parametrize(
    "junk", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(60)]
)
def test_garbled_exif_never_costs_the_photo(cat: bytes, junk: bytes) -> None:
    segment = b"\xff\xe1" + (len(junk) + 2).to_bytes(2, "big") + junk
    photo = cat[:2] + segment + cat[2:]
    assert read_header(photo).orientation == 1
    assert decode_photo(photo).width == 451


def test_the_multi_picture_jpeg_of_phones_is_a_jpeg(cat_path: Path) -> None:
    buffer = io.BytesIO()
    with Image.open(cat_path) as image:
        first = image.convert("RGB")
        first.save(buffer, "MPO", save_all=True, append_images=[first.resize((64, 64))])
    assert read_header(buffer.getvalue()).format == "JPEG"
    assert decode_photo(buffer.getvalue()).width == 451


def test_formats_without_reduced_decoding_have_a_lower_limit() -> None:
    from tests.support.photos import png_header

    with pytest.raises(PhotoError) as caught:
        read_header(png_header(8000, 8000))
    assert caught.value.status is PhotoStatus.TOO_MANY_PIXELS
