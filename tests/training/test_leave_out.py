"""Which classes are left out, and what is answered without roll-up."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from contract.taxonomy import Depth
from contract.tensors import NO_SPECIES
from training.dataset import Photo
from training.leave_out import TURNS, species_only, strangers, turns
from training.network import load_taxonomy

TAXONOMY = load_taxonomy()


def _photo(folder: str, number: int = 0, set_: str = "species") -> Photo:
    return Photo(f"{set_}/{folder}/{number}.jpg", set_, folder, "caltech101", "CC-BY-4.0")


def _material() -> Any:
    return SimpleNamespace(
        train=tuple(map(_photo, ("emu", "okapi", "ant", "butterfly", "gerenuk", "dog"))),
        validation=(_photo("emu", 1), _photo("chair", 1, "no_animal")),
        held_out=(_photo("emu", 2), _photo("ant", 2)),
    )


def test_only_classes_that_the_base_does_not_know_are_left_out_each_once() -> None:
    found = turns(_material(), TAXONOMY)
    assert len(found) == TURNS
    assert sorted(folder for turn in found for folder in turn) == ["emu", "gerenuk", "okapi"]


def test_all_photos_of_a_left_out_class_are_asked_for() -> None:
    asked = strangers(_material(), frozenset({"emu"}))
    assert [photo.path for photo in asked] == [f"species/emu/{number}.jpg" for number in (0, 1, 2)]


def test_without_roll_up_a_species_is_answered_or_nothing() -> None:
    leaves = np.zeros((4, len(TAXONOMY)), np.float32)
    for row, (key, share) in enumerate([("emu", 0.3), ("emu", 0.2), ("no_animal", 0.3), ("no_animal", 0.2)]):
        leaves[row] = (1 - share) / 1000
        leaves[row, TAXONOMY.by_key(key).index] = share
    taxa = species_only(leaves, TAXONOMY)
    assert taxa[:, 1].tolist() == [Depth.SPECIES, Depth.UNKNOWN, Depth.EMPTY, Depth.UNKNOWN]
    assert taxa[:, 0].tolist() == [TAXONOMY.by_key("emu").index, NO_SPECIES, NO_SPECIES, NO_SPECIES]
