"""What is sent."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from contract.photo_status import PhotoError
from imaging.decode import decode_photo
from imaging.header import read_header
from loadtest.photos import Kind, MixError, draw, load_photos, read_mix, read_weights
from loadtest.scenes import TRAP_SIZES

ALL = {Kind.SMALL: 0.8, Kind.TRAP: 0.15, Kind.BAD: 0.05}


def test_a_mix_is_shares_that_sum_to_one() -> None:
    assert read_mix("small=8,trap=1.5,bad=0.5") == pytest.approx(ALL)
    assert read_mix("trap") == {Kind.TRAP: 1.0}
    assert read_mix("small,bad=0") == {Kind.SMALL: 1.0}


@pytest.mark.parametrize("text", ["", "large", "small=x", "small=-1", "small=0", "small,small", "small=nan"])
def test_another_mix_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(MixError):
        read_weights(text, ["small", "bad"])


def test_made_photos_are_what_they_stand_for() -> None:
    made = load_photos(ALL, None).of
    for small in made[Kind.SMALL]:
        assert decode_photo(small)
        assert len(small) < 200_000
    sizes = {(header.width, header.height) for header in map(read_header, made[Kind.TRAP])}
    assert sizes == set(TRAP_SIZES)
    assert b"" in made[Kind.BAD]
    for bad in made[Kind.BAD]:
        with pytest.raises(PhotoError):
            decode_photo(bad)


def test_a_folder_is_told_apart_by_pixels(tmp_path: Path, cat: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(cat)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "b.jpg").write_bytes(cat[:100])
    found = load_photos({Kind.SMALL: 0.9, Kind.BAD: 0.1}, tmp_path)
    assert found.of == {Kind.SMALL: (cat,), Kind.BAD: (cat[:100],)}
    assert found.source == tmp_path.name


def test_folders_with_the_names_of_kinds_decide(tmp_path: Path, cat: bytes) -> None:
    for kind in Kind:
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "photo").write_bytes(cat + kind.encode())
    assert load_photos(ALL, tmp_path).of == {kind: (cat + kind.encode(),) for kind in Kind}


def test_small_photos_come_out_of_large_ones_if_there_are_no_others(tmp_path: Path) -> None:
    Image.new("RGB", (2048, 1536), "green").save(tmp_path / "trap.jpg")
    small = load_photos({Kind.SMALL: 1.0}, tmp_path).of[Kind.SMALL]
    with Image.open(io.BytesIO(small[0])) as image:
        assert image.size == (640, 480)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MixError, match="photo"):
        load_photos(ALL, tmp_path)
    with pytest.raises(MixError, match="folder"):
        load_photos(ALL, tmp_path / "nowhere")


def test_kinds_are_drawn_by_their_shares() -> None:
    drawn = Counter(draw([0.8, 0.15, 0.05], 20_000, 4).tolist())
    assert [drawn[place] / 20_000 for place in range(3)] == pytest.approx([0.8, 0.15, 0.05], abs=0.01)
