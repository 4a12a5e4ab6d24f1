"""A folder a class, COCO Camera Traps, CSV: what they say, and what is said of garbled ones."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interchange import coco_ct
from interchange.places import Places
from tests.support.datasets import check, photo, reasons, write, write_coco
from tests.support.sightings import sighting
from training.datasets.check import read_source
from training.datasets.offers import read_time
from training.errors import DataError


def test_a_folder_is_a_class_however_deep_its_photos_lie(tmp_path: Path) -> None:
    names = (
        "lion/a.jpg",
        "lion/2026/camera 3/b.JPG",
        "red fox/c.jpeg",
        "loose.jpg",
        "lion/.hidden.jpg",
        "lion/notes.txt",
    )
    offer = read_source(write(tmp_path / "top", {name: b"x" for name in names}))
    assert {(one.name, one.label) for one in offer.photos} == {
        ("lion/a.jpg", "lion"),
        ("lion/2026/camera 3/b.JPG", "lion"),
        ("red fox/c.jpeg", "red fox"),
    }
    assert [(one.name, one.reason) for one in offer.left_out] == [("loose.jpg", "no_label")]
    assert offer.other_files == {".txt": 1}


def test_a_class_may_be_a_link_to_a_folder(tmp_path: Path) -> None:
    card = write(tmp_path / "card", {"a.jpg": photo(1), "b.MP4": b"a film"})
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "lion").symlink_to(card)
    checked = check(tmp_path / "top")
    assert [one.original for one in checked.photos] == ["lion/a.jpg"]
    assert any("1 .mp4" in problem.text for problem in checked.problems)


def test_camera_traps_keep_their_habits(stills) -> None:
    top = stills(6)
    images = [
        {"id": 1, "file_name": "0.jpg", "location": 12, "seq_id": "s1", "datetime": "2026-05-01 06:30:00"},
        {"id": 2, "file_name": "1.jpg", "location": "north", "seq_id": -1, "datetime": "2026:05:01 06:31:00"},
        {"id": 3, "file_name": "2.jpg", "location": "north", "datetime": "yesterday"},
        {"id": 4, "file_name": "3.jpg"},
        {"id": 5, "file_name": "4.jpg"},
        {"id": 6, "file_name": "5.jpg"},
        {"id": 7, "file_name": "6.jpg"},
    ]
    said = {1: ["lion"], 2: ["empty"], 3: ["lion", "lion"], 4: ["lion", "zebra"], 6: ["human"], 7: ["lion"]}
    checked = check(write_coco(top, images, said), skip=frozenset({"Human"}))
    photos = {one.original: one for one in checked.photos}
    assert (photos["0.jpg"].label, photos["1.jpg"].label, photos["2.jpg"].label) == ("lion", "no_animal", "lion")
    assert (photos["0.jpg"].location, photos["0.jpg"].sequence) == ("12", "s1")
    assert (photos["1.jpg"].location, photos["1.jpg"].sequence) == ("north", "")
    assert photos["0.jpg"].captured_at == datetime(2026, 5, 1, 6, 30)
    assert photos["1.jpg"].captured_at == datetime(2026, 5, 1, 6, 31)
    assert photos["2.jpg"].captured_at is None
    assert photos["1.jpg"].group == photos["2.jpg"].group == "location:north"
    assert reasons(checked) == {
        "3.jpg": "several_labels", "4.jpg": "no_label", "5.jpg": "skipped_label", "6.jpg": "missing",
    }  # fmt: skip
    assert any(problem.code == "odd_time" for problem in checked.problems)


def test_boxes_become_shares_of_the_photo(stills) -> None:
    top = stills(3)
    file = write_coco(top, [{"id": n, "file_name": f"{n}.jpg"} for n in range(3)], {n: ["lion"] for n in range(3)})
    content = json.loads(file.read_text())
    sizes = [{}, {"width": 320, "height": 240}, {"width": 120, "height": 160}]  # as it is, twice as large, turned
    boxes = [[16, 12, 80, 60], [32, 24, 160, 600], [0, 0, 60, 80]]
    for image, size, note, box in zip(content["images"], sizes, content["annotations"], boxes, strict=True):
        image.update(size)
        note["bbox"] = box
    file.write_text(json.dumps(content))
    checked = check(file)
    found = {one.original: one.boxes for one in checked.photos}
    assert found["0.jpg"] == (pytest.approx((0.1, 0.1, 0.6, 0.6)),)
    assert found["1.jpg"] == (pytest.approx((0.1, 0.1, 0.6, 1.0)),)
    assert found["2.jpg"] == ()
    assert [one.code for one in checked.problems if one.code == "odd_boxes"] == ["odd_boxes"]


def test_what_bestiary_exports_can_come_back(stills) -> None:
    top = stills(3)
    stream = io.StringIO()
    records = [sighting("0.jpg", animals=["lion"]), sighting("1.jpg"), sighting("2.jpg", animals=["lion", "tiger"])]
    coco_ct.write(records, stream, places=Places())
    (top / "export.json").write_text(stream.getvalue())
    checked = check(top / "export.json")
    assert {one.original: one.label for one in checked.photos} == {"0.jpg": "lion", "1.jpg": "no_animal"}
    assert reasons(checked) == {"2.jpg": "several_labels"}


TWICE = json.dumps(
    {"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}], "annotations": [], "categories": []}
)


def table(top: Path, text: str, encoding: str = "utf-8") -> Path:
    file = top / "photos.csv"
    file.write_bytes(text.encode(encoding))
    return file


def test_a_csv_says_what_its_columns_say(stills) -> None:
    top = stills(3)
    header = "path,label,location,sequence,captured_at,licence,source,boxes\n"
    rows = [
        '0.jpg,Lion,north,s1,2026-05-01T06:30:00+02:00,CC0,me,"[[0.5, 0.5, 0.2, 0.4]]"',
        "1.jpg,blank,,,,,,",
        "",
        "2.jpg,,,,,,,",
    ]
    checked = check(table(top, header + "\n".join(rows)), source="them", licence="CC-BY-4.0")
    photos = {one.original: one for one in checked.photos}
    lion, blank = photos["0.jpg"], photos["1.jpg"]
    assert lion.boxes == (pytest.approx((0.4, 0.3, 0.6, 0.7)),)
    assert (lion.location, lion.sequence, lion.licence, lion.source) == ("north", "s1", "CC0", "me")
    assert lion.captured_at == datetime(2026, 5, 1, 6, 30)
    assert (blank.label, blank.licence, blank.source) == ("no_animal", "CC-BY-4.0", "them")
    assert reasons(checked) == {"2.jpg": "no_label"}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("file_name;class\n0.jpg;lion\n", "utf-8"),
        ("File\tCategory\tother\n0.jpg\tlion\tx\n", "utf-8-sig"),
        ("label,path\r\nlion,.\\0.jpg\r\n", "utf-8"),
    ],
)
def test_spreadsheets_have_their_own_csv(stills, text: str, encoding: str) -> None:
    assert [one.label for one in check(table(stills(1), text, encoding)).photos] == ["lion"]


def test_photos_may_lie_elsewhere_but_not_outside(stills, tmp_path: Path) -> None:
    top = stills(2)
    file = table(tmp_path, f"path,label\n0.jpg,lion\n{top / '1.jpg'},lion\n../photos.csv,lion\n/etc/hostname,lion\n")
    checked = check(file, photos=top)
    assert len(checked.photos) == 2
    assert set(reasons(checked).values()) == {"outside"}
    with pytest.raises(DataError, match="--photos"):
        check(table(tmp_path / "stills", "path,label\nsub/0.jpg,lion\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no column path and no column label"),
        ("name,what\na,b\n", "header is name, what"),
        ("path,label\n", "offers no photo"),
        ("path,label\n,lion\n", "line 2: the path is empty"),
        ("path,label\n0.jpg,lion\n0.jpg,lion\n", "line 3: 0.jpg stands in line 2 already"),
        ("path,file,label\n0.jpg,0.jpg,lion\n", "two columns for path"),
        ("path,label,boxes\n0.jpg,lion,[[1]]\n", "line 2: boxes are"),
        ('path,label,boxes\n0.jpg,lion,"[[NaN,0,0,0]]"\n', "line 2: boxes are"),
        ("path,label,boxes\n0.jpg,lion,7\n", "line 2: boxes are"),
        ("path,label\nnowhere.jpg,lion\n", "None of the 1 photos"),
        ('path,label\n"0.jpg', "no photo|None of"),
    ],
)
def test_a_garbled_csv_is_told_where(stills, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        check(table(stills(1), text))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is not JSON"),
        ("[1, 2", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "no COCO Camera Traps"),
        ('{"images": {}, "annotations": [], "categories": []}', "no COCO Camera Traps"),
        ('{"images": [3], "annotations": [], "categories": []}', "lacks id or file_name"),
        ('{"images": [{"id": 1, "file_name": 5}], "annotations": [], "categories": []}', "lacks id or file_name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "category lacks"),
        ('{"images": [], "annotations": [7], "categories": []}', "annotation lacks"),
        ('{"images": [], "annotations": [{"image_id": 1, "category_id": 9}], "categories": []}', "which is none"),
        ('{"images": [], "annotations": [], "categories": []}', "offers no photo"),
        (TWICE, "the image a twice"),
    ],
)  # fmt: skip
def test_a_garbled_json_is_told_what(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "camera_traps.json"
    file.write_text(content)
    with pytest.raises(DataError, match=problem):
        read_source(file)


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([".csv", ".json"]))
def test_no_bytes_raise_anything_else(tmp_path_factory, content: bytes, suffix: str) -> None:
    file = tmp_path_factory.getbasetemp() / f"garbled{suffix}"
    file.write_bytes(content)
    with pytest.raises(DataError):
        read_source(file)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["a.jpg", "lion", "\0", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "file_name", "image_id", "category_id", "name", "bbox"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(images=st.lists(json_values, max_size=3), notes=st.lists(json_values, max_size=3), names=st.lists(json_values))
def test_no_json_raises_anything_else(tmp_path_factory, images, notes, names) -> None:
    file = tmp_path_factory.getbasetemp() / "odd.json"
    file.write_text(json.dumps({"images": images, "annotations": notes, "categories": names}))
    with pytest.raises(DataError):
        read_source(file)


@pytest.mark.parametrize("what", ["nowhere", "file.txt", "empty"])
def test_what_is_no_source_is_told_what_is(tmp_path: Path, what: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"\.csv|a folder a class"):
        read_source(tmp_path / what)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-05-01T06:30:00Z", datetime(2026, 5, 1, 6, 30)),
        ("2026:05:01 06:30:00", datetime(2026, 5, 1, 6, 30)),
        ("2026-05-01", datetime(2026, 5, 1)),
        ("0000:00:00 00:00:00", None),
        ("soon", None),
        ("", None),
    ],
)
def test_times_of_cameras(text: str, time: datetime | None) -> None:
    assert read_time(text) == time


def test_a_photo_that_the_system_will_not_open_is_left_out(stills) -> None:
    top = stills(1)
    file = table(top, "path,label\n0.jpg,lion\n" + "x" * 5000 + ".jpg,lion\n")
    assert set(reasons(check(file)).values()) == {"missing"}
    assert photo(0) == (top / "0.jpg").read_bytes()
