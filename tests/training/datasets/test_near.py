"""Near photos are linked as often as it takes, however the comparison is cut into blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.datasets import jpeg, picture, write
from training.datasets.inspect import Looked, look_at
from training.datasets.near import NEAR_CORRELATION, Pair, near_pairs
from training.datasets.offers import Offered
from training.split import NEAR_BITS


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> list[Looked]:
    """Twelve pictures, each saved four times, every other time mirrored."""
    files = {
        f"{number}-{copy}.jpg": jpeg(picture(number)[:, :: (-1) ** copy], quality=30 + 15 * copy)
        for number in range(12)
        for copy in range(4)
    }
    top = write(tmp_path_factory.mktemp("near"), files)
    results = [look_at(Offered(top / name, name, "")) for name in sorted(files)]
    assert all(isinstance(one, Looked) for one in results)
    return [one for one in results if isinstance(one, Looked)]


def linked(count: int, pairs: list[Pair]) -> list[int]:
    """For each photo the first one that links lead to."""
    root = list(range(count))
    for pair in pairs:
        low, high = sorted((root[pair.first], root[pair.second]))
        root = [low if one == high else one for one in root]
    return root


def near(one: Looked, other: Looked) -> bool:
    """By the definition, pair by pair."""
    bits = min(np.count_nonzero(one.bits != other.bits), np.count_nonzero(one.bits != other.mirrored_bits))
    mirrored = other.sketch.reshape(32, 32)[:, ::-1].ravel()
    return bool(bits <= NEAR_BITS and max(one.sketch @ other.sketch, one.sketch @ mirrored) >= NEAR_CORRELATION)


@pytest.mark.parametrize("block", [5, 48, 2048])
def test_links_join_what_is_near_and_no_more(looked: list[Looked], block: int) -> None:
    count = len(looked)
    everything = [Pair(i, j, 1) for j in range(count) for i in range(j) if near(looked[i], looked[j])]
    assert len(everything) == 12 * 6
    pairs = near_pairs(looked, ["lion"] * count, [""] * count, block=block)
    assert len(pairs) == 12 * 3
    assert linked(count, pairs) == linked(count, everything)
    assert all(pair.first < pair.second and pair.correlation >= NEAR_CORRELATION for pair in pairs)


def test_photos_of_one_place_are_not_linked_and_those_of_two_are(looked: list[Looked]) -> None:
    count = len(looked)
    places = [photo.offered.name.partition("-")[0] for photo in looked]
    assert near_pairs(looked, ["lion"] * count, places) == []
    assert len(near_pairs(looked, ["lion"] * count, [str(at % 2) for at in range(count)])) == 12 * 3


def test_every_photo_that_contradicts_another_is_told(looked: list[Looked]) -> None:
    labels = ["lion" if at % 4 else "tench" for at in range(len(looked))]
    pairs = near_pairs(looked, labels, [""] * len(looked))
    apart = [pair for pair in pairs if labels[pair.first] != labels[pair.second]]
    assert {at for pair in apart for at in (pair.first, pair.second)} == set(range(len(looked)))


def test_a_picture_without_features_is_near_to_nothing(tmp_path: Path) -> None:
    flat = [jpeg(np.full((64, 64, 3), grey, np.uint8)) for grey in (0, 0, 128)]
    top = write(tmp_path, {f"{at}.jpg": data for at, data in enumerate(flat)})
    photos = [look_at(Offered(top / f"{at}.jpg", f"{at}.jpg", "")) for at in range(3)]
    assert near_pairs([one for one in photos if isinstance(one, Looked)], ["lion"] * 3, [""] * 3) == []
    assert near_pairs([], [], []) == []
