"""Versions on disk: written whole, never changed, found again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.datasets import UAKARI, check, photo, write
from tests.support.stack import ROOT
from training.datasets import Dataset, read_dataset
from training.datasets.store import damaged, earlier_parts, find_version, list_versions
from training.datasets.write import write_version
from training.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


def add(root: Path, source: Path, name: str = "cats") -> tuple[Dataset, bool]:
    return write_version(root, name, check(source, UAKARI, earlier=earlier_parts(root, name)), 7, "<html>")


def files(top: Path) -> dict[str, bytes]:
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


def test_what_is_written_is_read(root: Path, animals: Path) -> None:
    written, new = add(root, animals)
    read = read_dataset(root / "cats" / written.digest)
    checked = check(animals, UAKARI)
    assert new
    assert read == written
    assert read.photos == tuple(checked.photos)
    assert read.species == (UAKARI,)
    assert read.identity == f"cats@{read.digest}"
    for one, file in zip(checked.photos, checked.files, strict=True):
        assert (read.root / one.path).read_bytes() == file.read_bytes()
    assert sum(len(read.of_part(part)) for part in ("train", "validation", "test")) == len(read.photos)


def test_boxes_times_and_names_survive(root: Path, tmp_path: Path) -> None:
    top = write(tmp_path / "card", {'a,"b\n.jpg': photo(1)})
    text = 'path,label,location,captured_at,boxes\n"a,""b\n.jpg",lion,"über, alles",2026-05-01 06:30:00.25,'
    (top / "card.csv").write_text(text + '"[[0.1234567, 0.3, 0.1, 0.2]]"\n', "utf-8")
    checked = check(top / "card.csv")
    dataset, _ = write_version(root, "x", checked, 7)
    assert list(dataset.photos) == checked.photos
    assert dataset.photos[0].location == "über, alles"
    assert dataset.photos[0].boxes[0][0] == 0.1234567 - 0.05


def test_the_same_content_is_the_same_version(root: Path, animals: Path, tmp_path: Path) -> None:
    first, _ = add(root, animals)
    before = files(root)
    again, new = add(root, animals)
    assert (again, new) == (first, False)
    moved = tmp_path / "elsewhere"
    shutil.copytree(animals, moved)
    (moved / "lion").rename(moved / "Panthera leo")
    assert add(root, moved)[0].digest == first.digest
    assert files(root) == before


def test_another_label_is_another_version(root: Path, animals: Path) -> None:
    first, _ = add(root, animals)
    (animals / "lion" / "3.jpg").rename(animals / "blank" / "3.jpg")
    second, new = add(root, animals)
    assert new
    assert second.digest != first.digest
    assert len(files(root / "photos")) == 28


def test_photos_keep_their_part_as_a_data_set_grows_and_shrinks(root: Path, animals: Path) -> None:
    first, _ = add(root, animals)
    parts = {one.sha256: one.part for one in first.photos}
    write(animals, {f"lion/new{n}.jpg": photo(n + 400) for n in range(30)})
    for n in range(6):
        (animals / "bald uakari" / f"{n}.jpg").unlink()
    second, _ = add(root, animals)
    assert len(second.photos) == 52
    assert all(parts.get(one.sha256, one.part) == one.part for one in second.photos)
    write(animals, {f"bald uakari/{n}.jpg": photo(n + 50) for n in range(6)})
    third, _ = add(root, animals)
    assert all(parts.get(one.sha256, one.part) == one.part for one in third.photos)


def test_versions_are_listed_and_found(root: Path, animals: Path) -> None:
    assert list_versions(root) == []
    first, _ = add(root, animals)
    write(animals, {"lion/late.jpg": photo(500)})
    second, _ = add(root, animals)
    other, _ = add(root, animals, "other")
    assert [one.identity for one in list_versions(root)] == [first.identity, second.identity, other.identity]
    assert find_version(root, "cats") == root / "cats" / second.digest
    assert find_version(root, first.identity) == find_version(root, f"cats@{first.digest[:6]}")
    assert list_versions(root)[0].photos == 28
    with pytest.raises(DataError, match="There are cats, other"):
        find_version(root, "cat")
    with pytest.raises(DataError, match="No version begins so"):
        find_version(root, "cats@zzz")


def test_a_version_that_was_edited_is_refused_and_written_again(root: Path, animals: Path) -> None:
    dataset, _ = add(root, animals)
    folder = root / "cats" / dataset.digest
    text = (folder / "photos.csv").read_text("utf-8")
    (folder / "photos.csv").write_text(text.replace(",test,", ",train,"), "utf-8")
    with pytest.raises(DataError, match="was changed"):
        read_dataset(folder)
    again, new = add(root, animals)
    assert (again, new) == (dataset, True)
    assert len(list((root / "cats").glob(".*.damaged-*"))) == 1
    assert len(list_versions(root)) == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dataset.json", "{"),
        ("dataset.json", "[]"),
        ("dataset.json", '{"format": 99, "name": "x", "digest": "y", "species": []}'),
        ("dataset.json", '{"format": 1, "name": "x", "digest": "y", "species": [3]}'),
        ("photos.csv", "path\nx\n"),
        ("photos.csv", ""),
        ("photos.csv", "\0"),
    ],
)
def test_a_garbled_version_is_one_sentence(root: Path, animals: Path, file: str, content: str) -> None:
    dataset, _ = add(root, animals)
    folder = root / "cats" / dataset.digest
    (folder / file).write_text(content)
    with pytest.raises(DataError):
        read_dataset(folder)
    list_versions(root)
    assert add(root, animals)[0] == dataset


def test_no_version_at_all(root: Path, tmp_path: Path) -> None:
    for folder in (root, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="bestiary data list"):
            read_dataset(folder)
    with pytest.raises(DataError, match="bestiary data add"):
        find_version(root, "cats")


def test_missing_and_cut_photos_are_put_back(root: Path, animals: Path) -> None:
    dataset, _ = add(root, animals)
    lost, cut, spoilt = (root / one.path for one in dataset.photos[:3])
    lost.unlink()
    cut.write_bytes(b"")
    with pytest.raises(DataError, match="1 of 28 photos"):
        read_dataset(root / "cats" / dataset.digest)
    assert add(root, animals) == (dataset, False)
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    assert damaged(dataset) == [dataset.photos[2]]


@pytest.mark.parametrize("name", ["photos", "", "A", "../x", ".x", "x" * 65, "a b"])
def test_names_that_no_folder_should_have(root: Path, animals: Path, name: str) -> None:
    with pytest.raises(DataError, match="no name for a data set"):
        write_version(root, name, check(animals, UAKARI), 7)
    assert not root.exists()


def test_what_was_refused_is_not_written(root: Path, animals: Path) -> None:
    with pytest.raises(DataError, match="put right first"):
        write_version(root, "cats", check(animals), 7)
    assert not root.exists()


def test_a_photo_that_changes_meanwhile_stops_it(root: Path, animals: Path) -> None:
    checked = check(animals, UAKARI)
    (animals / "lion" / "3.jpg").write_bytes(photo(999))
    with pytest.raises(DataError, match="changed while it was added"):
        write_version(root, "cats", checked, 7)
    assert list_versions(root) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(root: Path, animals: Path) -> None:
    root.write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        write_version(root, "cats", check(animals, UAKARI), 7)


def test_what_a_killed_run_left_is_in_nobodys_way(root: Path, animals: Path) -> None:
    dataset, _ = add(root, animals)
    folder = root / "cats" / dataset.digest
    folder.rename(folder.with_name(f".{folder.name}.{os.getpid()}"))
    (folder.with_name(f".{folder.name}.{os.getpid()}") / "dataset.json").unlink()
    assert list_versions(root) == []
    assert add(root, animals) == (dataset, True)


def test_reading_a_data_set_needs_no_torch() -> None:
    code = "import sys, training.datasets.check, training.datasets.report, cli.data; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_facts_are_json_that_others_can_read(root: Path, animals: Path) -> None:
    dataset, _ = add(root, animals)
    facts = json.loads((root / "cats" / dataset.digest / "dataset.json").read_text("utf-8"))
    assert facts["digest"].startswith(dataset.digest)
    assert facts["classes"]["lion"] == {"train": 9, "validation": 1, "test": 2}
    assert facts["species"][0]["leaf"] == "bald_uakari"
