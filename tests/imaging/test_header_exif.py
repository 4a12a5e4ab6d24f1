"""EXIF as cameras write it, and as they should not: what is whole is read, what is garbled is not known."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from contract.record import Camera, Location
from imaging.decode import decode_photo
from imaging.exif import ExifFacts, read_exif, read_orientation
from imaging.header import PhotoHeader, open_checked, read_header

Base, GPS, IFD = ExifTags.Base, ExifTags.GPS, ExifTags.IFD


def photo(
    main: dict[int, object] | None = None,
    details: dict[int, object] | None = None,
    gps: dict[int, object] | None = None,
    format: str = "JPEG",
    pixels: npt.NDArray[np.uint8] | None = None,
) -> bytes:
    """A photo with EXIF written by Pillow; grey, 64 x 32 pixels, where none are given."""
    buffer = io.BytesIO()
    image = Image.new("RGB", (64, 32), "grey") if pixels is None else Image.fromarray(pixels)
    if format == "TIFF":  # where Pillow wants EXIF as tags of the file
        tags = ImageFileDirectory_v2()
        for tag, value in {**(main or {}), IFD.Exif: details or {}, IFD.GPSInfo: gps or {}}.items():
            tags[tag] = value
        image.save(buffer, format, tiffinfo=tags)
    else:
        exif = Image.Exif()
        exif.update(main or {})
        exif.get_ifd(IFD.Exif).update(details or {})
        exif.get_ifd(IFD.GPSInfo).update(gps or {})
        image.save(buffer, format, exif=exif)
    return buffer.getvalue()


def position(latitude: object, north: object, longitude: object, east: object) -> dict[int, object]:
    return {
        GPS.GPSLatitudeRef: north,
        GPS.GPSLatitude: latitude,
        GPS.GPSLongitudeRef: east,
        GPS.GPSLongitude: longitude,
    }


def located(latitude: object, north: object, longitude: object, east: object) -> Location | None:
    return read_header(photo(gps=position(latitude, north, longitude, east))).location


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_time_camera_and_position_are_read_in_every_format_that_holds_them(format: str) -> None:
    header = read_header(
        photo(
            {Base.Make: "RECONYX", Base.Model: "HC550 HYPERFIRE"},
            {Base.DateTimeOriginal: "2016:09:25 18:35:10", Base.BodySerialNumber: "H550FF07"},
            position((48.0, 12.0, 36.0), "N", (11.0, 34.0, 30.0), "E"),
            format,
        )
    )
    assert header.captured_at == datetime(2016, 9, 25, 18, 35, 10)
    assert header.camera == Camera(make="RECONYX", model="HC550 HYPERFIRE", serial="H550FF07")
    assert header.location == Location(latitude=48.21, longitude=11.575)


@pytest.mark.parametrize(
    ("north", "east", "signs"), [("N", "E", (1, 1)), ("S", "E", (-1, 1)), ("N", "W", (1, -1)), ("s", "w", (-1, -1))]
)
def test_hemispheres_are_signs(north: str, east: str, signs: tuple[int, int]) -> None:
    found = located((1.0, 30.0, 0.0), north, (36.0, 45.0, 0.0), east)
    assert found == Location(latitude=1.5 * signs[0], longitude=36.75 * signs[1])


def test_degrees_come_as_rationals_of_any_denominator() -> None:
    seconds = IFDRational(37236, 1000)
    found = located((IFDRational(2, 1), IFDRational(58, 1), seconds), "S", (IFDRational(384321, 10000), 0.0, 0.0), "E")
    assert found is not None
    assert found.latitude == pytest.approx(-(2 + 58 / 60 + 37.236 / 3600), abs=1e-7)
    assert found.longitude == pytest.approx(38.4321, abs=1e-7)


@pytest.mark.parametrize(
    ("latitude", "north", "longitude", "east"),
    [
        ((IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0)), "N", (11.0, 0.0, 0.0), "E"),
        ((IFDRational(48, 0), 0.0, 0.0), "N", (11.0, 0.0, 0.0), "E"),
        ((0.0, 0.0, 0.0), "N", (0.0, 0.0, 0.0), "E"),
        ((91.0, 0.0, 0.0), "N", (11.0, 0.0, 0.0), "E"),
        ((48.0, 0.0, 0.0), "N", (180.0, 0.1, 0.0), "E"),
        ((48.0, 75.0, 0.0), "N", (11.0, 0.0, 0.0), "E"),
        ((48.0, 0.0, 61.0), "N", (11.0, 0.0, 0.0), "E"),
        ((48.0, 0.0), "N", (11.0, 0.0, 0.0), "E"),
        ((48.0, 0.0, 0.0), "", (11.0, 0.0, 0.0), "E"),
        ((48.0, 0.0, 0.0), "E", (11.0, 0.0, 0.0), "N"),
        ((48.0, 0.0, 0.0), "NS", (11.0, 0.0, 0.0), "E"),
    ],
)
def test_a_garbled_position_is_none(latitude: object, north: str, longitude: object, east: str) -> None:
    assert located(latitude, north, longitude, east) is None


def test_a_garbled_position_costs_neither_time_nor_camera() -> None:
    header = read_header(
        photo(
            {Base.Make: "Bushnell", Base.DateTime: "2020:01:02 03:04:05"},
            {},
            {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: 48.0},
        )
    )
    assert header.location is None
    assert header.camera == Camera(make="Bushnell")
    assert header.captured_at == datetime(2020, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("original", "changed", "expected"),
    [
        ("2020:01:02 03:04:05", "2024:01:02 03:04:05", datetime(2020, 1, 2, 3, 4, 5)),
        ("0000:00:00 00:00:00", "2024:01:02 03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
        ("    :  :     :  :  ", "2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
        ("2020:13:02 03:04:05", "2020:01:02 24:00:00", None),
        ("2020:01:02 03:04:05\0\0junk", "", datetime(2020, 1, 2, 3, 4, 5)),
    ],
)
def test_the_first_time_that_is_one_counts(original: str, changed: str, expected: datetime | None) -> None:
    data = photo({Base.DateTime: changed}, {Base.DateTimeOriginal: original})
    assert read_header(data).captured_at == expected


@pytest.mark.parametrize(
    ("fraction", "microseconds"),
    [("12", 120_000), ("0", 0), ("123456789", 123_456), ("\0\0\0", 0), (" 5", 500_000), ("x", 0)],
)
def test_bursts_within_a_second_keep_their_fractions(fraction: str, microseconds: int) -> None:
    data = photo({}, {Base.DateTimeOriginal: "2020:01:02 03:04:05", Base.SubsecTimeOriginal: fraction})
    assert read_header(data).captured_at == datetime(2020, 1, 2, 3, 4, 5, microseconds)


def test_names_that_are_padding_are_no_camera() -> None:
    assert read_header(photo({Base.Make: "\0" * 7, Base.Model: "   "})).camera is None
    assert read_header(photo({Base.Make: "\0" * 7, Base.Model: "E8\0\0\0"})).camera == Camera(model="E8")


def test_names_of_any_length_stay_short_and_printable() -> None:
    camera = read_header(photo({Base.Make: "a\x1b[31mb\nc" * 1000})).camera
    assert camera is not None
    assert len(camera.make) <= 64
    assert camera.make.isprintable()


def test_a_photo_without_exif_says_nothing(cat: bytes) -> None:
    header = read_header(cat)
    assert (header.orientation, header.captured_at, header.camera, header.location) == (1, None, None, None)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_turned_photo_is_decoded_upright_in_every_format(format: str, orientation: int) -> None:
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32] = 250  # bright where the sensor's first corner is
    data = photo({Base.Orientation: orientation}, format=format, pixels=pixels)
    upright = decode_photo(data, 64).pixels
    corner = {1: (8, 8), 3: (56, 56), 6: (8, 56)}[orientation]
    assert [upright[row, column, 0] > 125 for row in (8, 56) for column in (8, 56)] == [
        (row, column) == corner for row in (8, 56) for column in (8, 56)
    ]
    header = read_header(data)
    assert (header.width, header.height) == ((32, 64) if orientation == 6 else (64, 32))


@pytest.mark.parametrize("orientation", [0, 1, 6, 8, 9, 4000])
def test_the_orientation_alone_is_the_same(orientation: int) -> None:
    with open_checked(photo({Base.Orientation: orientation})) as image:
        assert read_orientation(image) == (orientation if 1 <= orientation <= 8 else 1)


def test_reading_a_few_tags_says_what_reading_all_of_them_says(photos: Path) -> None:
    for path in sorted(photos.iterdir()):
        with Image.open(path) as image:
            mine, exif = read_exif(image), image.getexif()
            details = exif.get_ifd(IFD.Exif)
        make = str(exif.get(Base.Make, "")).partition("\0")[0]
        assert (mine.camera.make if mine.camera else "") == make.strip()
        assert mine.orientation == exif.get(Base.Orientation, 1)
        taken = details.get(Base.DateTimeOriginal)
        assert (mine.captured_at.strftime("%Y:%m:%d %H:%M:%S") if mine.captured_at else None) == taken
        assert mine.location is ExifFacts().location


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """``jpeg`` with another EXIF block in front of what it has."""
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]


GREY = photo()
WHOLE = photo(
    {Base.Make: "RECONYX", Base.Model: "PC800", Base.Orientation: 3},
    {Base.DateTimeOriginal: "2014:09:26 14:21:04", Base.SubsecTimeOriginal: "50", Base.BodySerialNumber: "P800"},
    position((48.0, 12.0, 36.0), "N", (11.0, 34.0, 30.0), "E"),
)
BLOCK = WHOLE[WHOLE.index(b"Exif\0\0") : WHOLE.index(b"\xff\xdb")]


def sane(header: PhotoHeader) -> bool:
    names = (header.camera.make, header.camera.model, header.camera.serial) if header.camera else ()
    return header.width * header.height == 2048 and all(len(name) <= 64 and name.isprintable() for name in names)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_in_place_of_exif_are_survived(junk: bytes) -> None:
    assert sane(read_header(with_exif(GREY, b"Exif\0\0" + junk)))


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.tuples(st.integers(6, len(BLOCK) - 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_any_damage_to_a_real_block_is_survived(damage: list[tuple[int, int]]) -> None:
    block = bytearray(BLOCK)
    for at, value in damage:
        block[at] = value
    header = read_header(with_exif(GREY, bytes(block)))
    assert sane(header)
    assert header.location is None or abs(header.location.latitude) <= 90


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-90, 90, allow_nan=False).filter(lambda value: abs(value) > 1e-4),
    st.floats(-180, 180, allow_nan=False),
)
def test_a_position_comes_back_as_it_was_written(latitude: float, longitude: float) -> None:
    def dms(value: float) -> tuple[int, int, IFDRational]:
        hundredths = round(abs(value) * 3600 * 100)
        minutes, rest = divmod(hundredths, 6000)
        return minutes // 60, minutes % 60, IFDRational(rest, 100)

    found = located(dms(latitude), "N" if latitude >= 0 else "S", dms(longitude), "E" if longitude >= 0 else "W")
    assert found is not None
    assert found.latitude == pytest.approx(latitude, abs=2e-6)
    assert found.longitude == pytest.approx(longitude, abs=2e-6)


@pytest.mark.parametrize(
    ("name", "camera", "captured_at"),
    [
        ("blank.jpg", Camera(make="RECONYX", model="HC550 HYPERFIRE"), datetime(2016, 9, 25, 18, 35, 10)),
        ("blank2.jpg", None, datetime(2016, 7, 31, 15, 16, 34)),
        ("human.jpg", Camera(model="E8"), datetime(2024, 1, 21, 15, 19, 15)),
        (
            "owl.jpg",
            Camera(make="OLYMPUS IMAGING CORP.", model="E-M1", serial="BHP233159"),
            datetime(2014, 1, 15, 16, 31, 41),
        ),
    ],
)
def test_real_cameras_are_read(photos: Path, name: str, camera: Camera | None, captured_at: datetime) -> None:
    header = read_header((photos / name).read_bytes())
    assert (header.camera, header.captured_at, header.location) == (camera, captured_at, None)
