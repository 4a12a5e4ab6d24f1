"""What a check finds, and what it leaves out with which reason."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.datasets import UAKARI, check, codes, jpeg, photo, picture, reasons, write
from tests.support.photos import BAD_PHOTOS
from tests.support.stack import ROOT
from training.datasets.labels import read_species
from training.datasets.outcome import Severity


def test_a_good_source_is_taken_whole(animals: Path) -> None:
    checked = check(animals, UAKARI)
    assert not checked.refused
    assert not checked.left_out
    assert {label: sum(parts.values()) for label, parts in checked.balance().items()} == {
        "bald_uakari": 12, "lion": 12, "no_animal": 4,
    }  # fmt: skip
    assert checked.species == [UAKARI]
    assert [photo.sha256 for photo in checked.photos] == sorted(photo.sha256 for photo in checked.photos)
    assert all(part.read_bytes() for part in checked.files)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("truncated", "truncated"),
        ("text", "undecodable"),
        ("empty", "undecodable"),
        ("too many bytes", "too_large"),
        ("png bomb", "too_large"),
        ("jpeg bomb", "too_large"),
        ("heic", "undecodable"),
        ("tiny", "tiny"),
        ("garbled", "undecodable"),
    ],
)
def test_a_bad_photo_is_left_out_and_costs_no_other(animals: Path, cat: bytes, spoilt: str, reason: str) -> None:
    write(animals, {"lion/bad.jpg": BAD_PHOTOS[spoilt].spoil(cat)})
    checked = check(animals, UAKARI)
    allowed = {reason, "truncated"} if spoilt == "garbled" else {reason}
    assert set(reasons(checked)) == {"lion/bad.jpg"}
    assert reasons(checked)["lion/bad.jpg"] in allowed
    assert len(checked.photos) == 28
    assert (animals / "lion/bad.jpg").exists()


def test_a_photo_that_lacks_its_last_rows_is_not_learned_from(animals: Path, cat: bytes) -> None:
    write(animals, {"lion/cut.jpg": cat[: len(cat) * 9 // 10]})
    assert reasons(check(animals, UAKARI)) == {"lion/cut.jpg": "truncated"}


def test_a_photo_of_few_pixels_is_left_out(animals: Path) -> None:
    write(animals, {"lion/small.jpg": jpeg(picture(900, 40, 31)), "lion/enough.jpg": jpeg(picture(901, 40, 32))})
    checked = check(animals, UAKARI)
    assert reasons(checked) == {"lion/small.jpg": "tiny"}
    assert "small" in codes(checked)


def test_of_copies_one_is_kept(animals: Path) -> None:
    write(animals, {"lion/copy of 3.jpg": photo(3), "Panthera leo/3.jpg": photo(3)})
    checked = check(animals, UAKARI)
    assert reasons(checked) == {"lion/3.jpg": "duplicate", "lion/copy of 3.jpg": "duplicate"}
    assert len(checked.photos) == 28


def test_one_file_under_two_labels_is_left_out_under_both(animals: Path) -> None:
    write(animals, {"tench/3.jpg": photo(3)})
    checked = check(animals, UAKARI)
    assert reasons(checked) == {"lion/3.jpg": "label_conflict", "tench/3.jpg": "label_conflict"}
    assert "lion and tench" in checked.left_out[0].detail


@pytest.mark.parametrize("how", ["saved again", "smaller", "mirrored", "brighter"])
def test_near_duplicates_share_a_group(animals: Path, how: str) -> None:
    pixels = picture(5)
    other = {
        "saved again": jpeg(pixels, quality=40),
        "smaller": jpeg(np.asarray(Image.fromarray(pixels).resize((100, 76)))),
        "mirrored": jpeg(pixels[:, ::-1]),
        "brighter": jpeg((pixels * 0.8 + 50).astype(np.uint8)),
    }[how]
    write(animals, {"lion/other.jpg": other})
    checked = check(animals, UAKARI)
    photos = {one.original: one for one in checked.photos}
    assert photos["lion/other.jpg"].group == photos["lion/5.jpg"].group
    assert len(checked.pairs) == 1
    assert "near_duplicate" in codes(checked)
    assert len({one.group for one in checked.photos}) == 28


def test_near_duplicates_of_two_labels_are_a_warning(animals: Path) -> None:
    write(animals, {"bald uakari/lion.jpg": jpeg(picture(5), quality=40)})
    checked = check(animals, UAKARI)
    assert len(checked.conflicts()) == 1
    (problem,) = (problem for problem in checked.problems if problem.code == "near_conflict")
    assert problem.severity is Severity.WARNING
    assert "bald uakari/lion.jpg" in problem.text


def test_unknown_labels_refuse_with_the_nearest_name(animals: Path) -> None:
    checked = check(animals)
    assert checked.refused
    assert checked.problems[0].code == "unknown_label"
    assert "(12 photos)" in checked.problems[0].text
    write(animals, {"lyon/a.jpg": photo(300)})
    assert any("Did you mean" in problem.text and "lion" in problem.text for problem in check(animals).problems)
    assert not check(animals, UAKARI, skip=frozenset({"LYON"})).refused


def test_what_is_thin_or_lopsided_is_told(tmp_path: Path) -> None:
    many = {f"lion/{n}.jpg": photo(n) for n in range(22)}
    few = {"tench/1.jpg": photo(800), "tench/2.jpg": jpeg(picture(801, 400, 100))}
    found = codes(check(write(tmp_path / "top", many | few)))
    assert found >= {"few_photos", "unbalanced", "no_validation", "odd_aspect", "no_time", "no_licence"}


def test_nothing_left_is_refused(tmp_path: Path) -> None:
    checked = check(write(tmp_path / "top", {"lion/a.jpg": b"no photo"}))
    assert checked.refused
    assert "no_photos" in codes(checked)


def test_a_burst_is_one_group(tmp_path: Path) -> None:
    start = datetime(2026, 5, 1, 6)
    files = {
        f"lion/{n}.jpg": photo(n, taken=start + timedelta(seconds=s)) for n, s in enumerate((0, 30, 80, 200, 900, 910))
    }
    checked = check(write(tmp_path / "top", files))
    group = {one.original: one.group for one in checked.photos}
    assert group["lion/0.jpg"] == group["lion/1.jpg"] == group["lion/2.jpg"] != group["lion/3.jpg"]
    assert group["lion/4.jpg"] == group["lion/5.jpg"]
    assert len(set(group.values())) == 3
    assert checked.photos[0].captured_at is not None


def test_a_position_in_exif_is_a_location(tmp_path: Path) -> None:
    files = {f"lion/{n}.jpg": photo(n, where=(-2.0 + n // 3 * 10 if n >= 3 else 2.0, 34.0)) for n in range(6)}
    checked = check(write(tmp_path / "top", files))
    assert {one.group for one in checked.photos} == {"location:2.000,34.000", "location:8.000,34.000"}
    assert {one.location for one in checked.photos} == {"2.000,34.000", "8.000,34.000"}


def test_nothing_that_is_alike_straddles_parts(data: Path) -> None:
    checked = check(data / "new_species", *read_species(ROOT / "docs" / "examples" / "new_species.csv"))
    assert (len(checked.photos), len(checked.species), checked.refused) == (897, 8, False)
    assert checked.pairs
    assert not checked.conflicts()
    for pair in checked.pairs:
        assert checked.photos[pair.first].part == checked.photos[pair.second].part
    for label, parts in checked.balance().items():
        assert 0.17 < parts["test"] / sum(parts.values()) < 0.23, label
        assert parts["validation"], label
