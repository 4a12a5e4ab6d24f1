"""Which photos are learned from, how they are split and what their labels mean."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np

from training.augment import random_view
from training.classes import accepted_leaves
from training.dataset import Photo, read_manifest, trainable
from training.errors import DataError
from training.network import load_taxonomy
from training.split import near_duplicates, split_photos


def test_only_clean_photos_are_learned_from(data: Path) -> None:
    split = split_photos(data, trainable(read_manifest(data)), seed=7)
    photos = [*split.train, *split.validation]
    assert {photo.set for photo in photos} == {"species", "no_animal", "boxes"}
    assert {photo.licence for photo in photos} == {"CC-BY-4.0", "CC-BY-SA-4.0"}
    assert "blank" not in {photo.cls for photo in photos}, "they show lions that nobody marked, and toys"


def test_a_folders_part_does_not_depend_on_other_folders(data: Path) -> None:
    photos = read_manifest(data)
    alone = [photo for photo in photos if photo.cls in ("emu", "tick")]
    among = split_photos(data, [*trainable(photos), *alone], seed=7)
    assert split_photos(data, alone, seed=7).test == tuple(p for p in among.test if p.cls in ("emu", "tick"))


def test_a_photo_of_unclear_licence_stops_training() -> None:
    with pytest.raises(DataError, match="licence"):
        trainable([Photo("species/ant/x.jpg", "species", "ant", "somewhere", "unclear")])


def test_parts_are_disjoint_complete_and_keep_near_duplicates_together(data: Path) -> None:
    photos = trainable(read_manifest(data))
    split = split_photos(data, photos, seed=7)
    parts = [{photo.path for photo in part} for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(photos) == len(set.union(*parts))
    for group in near_duplicates(data, photos):
        assert sum(any(photo.path in part for photo in group) for part in parts) == 1


def test_a_fifth_of_every_class_is_held_back(data: Path) -> None:
    photos = trainable(read_manifest(data))
    test = split_photos(data, photos, seed=7).test
    for folder in {(photo.set, photo.cls) for photo in photos if photo.set == "species"}:
        share = sum((p.set, p.cls) == folder for p in test) / sum((p.set, p.cls) == folder for p in photos)
        assert 0.12 < share < 0.28, folder


def test_the_same_seed_gives_the_same_split(data: Path) -> None:
    photos = [photo for photo in trainable(read_manifest(data)) if photo.cls in ("ant", "tick")]
    assert split_photos(data, photos, seed=3) == split_photos(data, photos, seed=3)
    assert split_photos(data, photos, seed=3) != split_photos(data, photos, seed=4)


@pytest.mark.parametrize(
    ("folder", "right", "wrong"),
    [("dog", "beagle", "grey_wolf"), ("panda", "giant_panda", "red_panda"), ("butterfly", "lycaenid", "dragonfly")],
)
def test_a_folder_means_a_set_of_leaves(folder: str, right: str, wrong: str) -> None:
    taxonomy = load_taxonomy()
    leaves = accepted_leaves(Photo("", "species", folder, "", ""), taxonomy)
    assert taxonomy.by_key(right).index in leaves
    assert taxonomy.by_key(wrong).index not in leaves


def test_every_folder_has_a_right_leaf(data: Path) -> None:
    taxonomy = load_taxonomy()
    assert all(accepted_leaves(photo, taxonomy) for photo in trainable(read_manifest(data)))


def test_a_folder_without_a_leaf_is_an_error() -> None:
    with pytest.raises(DataError, match="unicorn"):
        accepted_leaves(Photo("", "species", "unicorn", "", ""), load_taxonomy())


def test_views_are_square_pixels_and_repeat_with_the_seed() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    views = [random_view(photo, np.random.default_rng(seed)) for seed in range(20)]
    assert {(view.shape, view.dtype.name) for view in views} == {((224, 224, 3), "uint8")}
    assert np.array_equal(views[5], random_view(photo, np.random.default_rng(5)))
