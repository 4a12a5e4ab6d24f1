"""The ledger of a folder: whatever ends a run, the next one knows what is done."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.ledger import Entry, Failure, Ledger, LedgerInUse, place, read
from cli.photos import find
from cli.thumbnails import Thumbnails
from cli.work import unchanged

ID = UUID("01a2042d-1ee4-7000-8deb-7a4537eebcf5")
BUSY = Failure("overloaded", "All places are taken.", True)
CUT = Failure("truncated", "The photo ends before its picture does.", False)
URL = "http://127.0.0.1:8080"


def entry(path: str, failure: Failure | None = None) -> Entry:
    return Entry(path, 10, 20, failure=failure) if failure else Entry(path, 10, 20, "ab", ID)


def write(path: Path, *entries: Entry, url: str = URL, asked: dict[str, str] | None = None) -> None:
    with Ledger.open(path, url, asked or {}) as ledger:
        for one in entries:
            ledger.add(one)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return place(tmp_path)


def test_the_next_run_knows_what_this_one_did(path: Path) -> None:
    write(path, entry("a.jpg"), entry("b.jpg", CUT), entry("c.jpg", BUSY))
    with Ledger.open(path, URL, {}) as ledger:
        assert ledger.find("a.jpg") == entry("a.jpg")
        assert ledger.find("b.jpg") == entry("b.jpg", CUT)
        assert ledger.find("d.jpg") is None
    assert [one.settled for one in read(path)] == [True, True, False]


def test_the_last_word_on_a_photo_counts(path: Path) -> None:
    write(path, entry("a.jpg", BUSY), entry("a.jpg"))
    assert read(path) == [entry("a.jpg")]


@pytest.mark.parametrize(("url", "asked"), [("http://elsewhere:8080", {}), (URL, {"tasks": "count"})])
def test_answers_to_another_question_do_not_count(path: Path, url: str, asked: dict[str, str]) -> None:
    write(path, entry("a.jpg"), url=url, asked=asked)
    with Ledger.open(path, URL, {}) as ledger:
        assert ledger.find("a.jpg") is None
    assert read(path) == [entry("a.jpg")], "for an export they do"


def test_two_runs_on_one_folder_are_refused(path: Path) -> None:
    with Ledger.open(path, URL, {}), pytest.raises(LedgerInUse):
        Ledger.open(path, URL, {})
    write(path)


def test_a_ledger_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / ".bestiary").write_text("in the way")
    with pytest.raises(OSError):
        Ledger.open(place(tmp_path), URL, {})


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1))
def test_a_line_that_was_torn_off_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: float) -> None:
    path = place(tmp_path_factory.mktemp("ledger"))
    write(path, entry("a.jpg"), entry("b.jpg", CUT))
    whole = path.read_bytes()
    start = whole.index(b'{"path": "b.jpg"')
    path.write_bytes(whole[: start + int(cut * (len(whole) - start))])
    write(path, entry("c.jpg"))
    found = {one.path for one in read(path)}
    assert {"a.jpg", "c.jpg"} <= found <= {"a.jpg", "b.jpg", "c.jpg"}
    assert all(line.startswith(b"{") for line in path.read_bytes().splitlines())


@settings(max_examples=100, deadline=None)
@given(
    junk=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"null", b"[]", b'{"path": 3}', b'{"run": 1}'])))
)
def test_lines_of_any_bytes_are_passed_over(tmp_path_factory: pytest.TempPathFactory, junk: list[bytes]) -> None:
    path = place(tmp_path_factory.mktemp("ledger"))
    write(path, entry("a.jpg"))
    with path.open("ab") as file:
        file.write(b"\n".join([b"", *junk, b""]))
    write(path, entry("b.jpg"))
    assert [one.path for one in read(path)] == ["a.jpg", "b.jpg"]


@given(st.text(st.characters(exclude_characters="\0/"), min_size=1, max_size=30), st.booleans())
def test_names_of_any_kind_come_back(tmp_path_factory: pytest.TempPathFactory, name: str, latin: bool) -> None:
    path = place(tmp_path_factory.mktemp("ledger"))
    odd = os.fsdecode(os.fsencode("ö") + b"\xf6") if latin else name
    write(path, entry(odd))
    assert read(path) == [entry(odd)]
    assert json.loads(path.read_text().splitlines()[-1])["path"] == odd


def test_a_photo_is_the_same_by_time_or_by_bytes(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"a photo")
    (source,) = find([str(tmp_path)])
    status = photo.stat()
    digest = "4fc9b5aaf2b10fae8ec2d6ff7c1fa2ca4c6c0a4d4f2b3a1f"
    same = Entry("a.jpg", 7, status.st_mtime_ns, digest, ID)
    assert unchanged(source, same)
    os.utime(photo, (1, 1))
    assert not unchanged(source, same), "touched, and its bytes are not those"
    assert unchanged(source, Entry("a.jpg", 7, status.st_mtime_ns, hashlib.sha256(b"a photo").hexdigest(), ID))
    assert not unchanged(source, Entry("a.jpg", 8, status.st_mtime_ns, digest, ID))


def test_links_in_circles_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a" / "x.jpg")
    assert [source.below for source in find([str(tmp_path)])] == ["a/x.jpg", "link.jpg"]


def test_ten_thousand_photos_are_found_by_their_paths(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number:03}").mkdir()
        for photo in range(1000):
            (tmp_path / f"{number:03}" / f"IMG_{photo:04}.JPG").touch()
    found = find([str(tmp_path)])
    assert len(found) == 10_000
    assert found[1].filename == "000/IMG_0001.JPG"


def test_thumbnails_that_would_be_taken_for_photos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "x.jpg").write_bytes(b"x")
    sources = find([str(tmp_path / "card")])
    with pytest.raises(ValueError, match="put them elsewhere"):
        Thumbnails(tmp_path / "card" / "thumbs", sources)
    assert Thumbnails(tmp_path / "thumbs", sources).path(sources[0]) == tmp_path / "thumbs" / "x.jpg.jpg"


def test_thumbnails_of_two_cards_are_told_apart(tmp_path: Path) -> None:
    for name in ("one", "two", "more/one"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.jpg").write_bytes(b"x")
    sources = find([str(tmp_path / "one"), str(tmp_path / "two")])
    thumbnails = Thumbnails(tmp_path / "thumbs", sources)
    assert [thumbnails.path(source).relative_to(tmp_path / "thumbs").as_posix() for source in sources] == [
        "one/x.jpg.jpg",
        "two/x.jpg.jpg",
    ]
    with pytest.raises(ValueError, match="same name"):
        Thumbnails(tmp_path / "thumbs", find([str(tmp_path / "one"), str(tmp_path / "more" / "one")]))
