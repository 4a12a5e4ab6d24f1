"""The DALI decoder serves the same release through its CPU twin, where DALI is installed (make install-dali)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.photos import BAD_PHOTOS, two_cats
from tests.support.stack import Stack, running_stack

pytest.importorskip("nvidia.dali")


@pytest.fixture(scope="module")
def dali_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("dali"), "--preprocess", "dali") as running:
        yield running


def post(stack: Stack, photo: bytes, **params: str) -> httpx.Response:
    return httpx.post(f"{stack.url}/v1/classifications", content=photo, params=params, timeout=60)


def test_dali_names_the_cat_as_the_other_decoder_does(stack: Stack, dali_stack: Stack, cat: bytes) -> None:
    ours, dali = (post(running, cat, tasks="species").json() for running in (stack, dali_stack))
    assert dali["species"][0]["key"] == ours["species"][0]["key"]
    assert abs(dali["species"][0]["score"] - ours["species"][0]["score"]) < 0.02
    assert (dali["photo"]["width"], dali["photo"]["height"]) == (451, 300)


@pytest.mark.parametrize("task", ["count", "full"])
def test_dali_finds_the_same_animals(stack: Stack, dali_stack: Stack, cat_path: Path, task: str) -> None:
    photo = two_cats(cat_path)
    ours, dali = (post(running, photo, tasks=task).json() for running in (stack, dali_stack))
    assert dali["count"] == ours["count"] == 2
    assert dali["counts"] == ours["counts"]
    by_side = [sorted(record["boxes"], key=lambda box: box["x1"]) for record in (dali, ours)]
    for theirs, mine in zip(*by_side, strict=True):
        assert all(abs(theirs[corner] - mine[corner]) < 0.05 for corner in ("x1", "y1", "x2", "y2"))


def test_a_bad_photo_costs_only_itself(dali_stack: Stack, cat: bytes) -> None:
    cut = BAD_PHOTOS["truncated"].spoil(cat)
    photos = [cut if number % 4 == 0 else cat for number in range(48)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: post(dali_stack, photos[number], priority="batch"), range(48)))
    assert [answer.status_code for answer in answers] == [422 if number % 4 == 0 else 201 for number in range(48)]
