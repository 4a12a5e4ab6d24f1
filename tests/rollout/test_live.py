"""The folder that Triton loads from holds whole, verified releases side by side, or nothing of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.rollout import tag_of
from rollout.errors import ReleaseBroken
from rollout.live import LiveRepository
from rollout.ports import ModelStore
from rollout.store import open_model_store
from tests.support.releases import REPOSITORY, make_release


@pytest.fixture
def live(tmp_path: Path) -> LiveRepository:
    return LiveRepository(tmp_path / "run" / "repository")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return open_model_store(tmp_path / "models")


def names(live: LiveRepository) -> set[str]:
    return {entry.name for entry in live.folder.iterdir()}


async def test_releases_stand_side_by_side(live: LiveRepository, store: ModelStore, tmp_path: Path) -> None:
    one = await store.put(REPOSITORY)
    make_release(tmp_path / "two", "two")
    two = await store.put(tmp_path / "two")
    for identity in (one, two):
        await live.add(store, identity)
    models = ("animals", "classifier", "detector", "preprocess")
    assert names(live) == {f"{model}.{tag_of(identity)}" for model in models for identity in (one, two)}
    live.remove(one)
    assert names(live) == {f"{model}.{tag_of(two)}" for model in models}


async def test_what_was_changed_or_is_half_there_is_fetched_again(live: LiveRepository, store: ModelStore) -> None:
    one = await store.put(REPOSITORY)
    await live.add(store, one)
    labels = live.folder / f"classifier.{tag_of(one)}" / "labels.txt"
    right = labels.read_text()
    labels.write_text("changed")
    await live.add(store, one)
    assert labels.read_text() == right
    labels.unlink()
    await live.add(store, one)
    assert labels.read_text() == right


async def test_files_of_this_machine_are_added_before_triton_sees_a_release_and_at_every_start(
    tmp_path: Path, store: ModelStore
) -> None:
    one = await store.put(REPOSITORY)
    seen: list[Path] = []

    def adapt(model: Path) -> None:
        seen.append(model)
        (model / "configs" / "tuned.pbtxt").write_text(f"{len(seen)}")

    for _ in range(2):
        await LiveRepository(tmp_path / "run" / "repository", adapt).add(store, one)
    placed = tmp_path / "run" / "repository" / f"animals.{tag_of(one)}"
    assert seen[0] != placed, "before it is moved to where Triton looks"
    assert seen[1:] == [placed], "whole as it was, so not fetched again"
    assert (placed / "configs" / "tuned.pbtxt").read_text() == "2"


async def test_a_release_that_was_changed_in_the_store_does_not_come_here(
    live: LiveRepository, store: ModelStore, tmp_path: Path
) -> None:
    one = await store.put(REPOSITORY)
    (tmp_path / "models" / "releases" / one / "classifier" / "labels.txt").write_text("changed")
    with pytest.raises(ReleaseBroken, match="digest"):
        await live.add(store, one)
    live.folder.mkdir(parents=True, exist_ok=True)
    assert names(live) == set()


async def test_a_sweep_leaves_what_is_wanted(live: LiveRepository, store: ModelStore) -> None:
    one = await store.put(REPOSITORY)
    await live.add(store, one)
    live.calm(one, gently=True)
    (live.folder / "animals.0123456789ab").mkdir()
    (live.folder.parent / "incoming" / "half").mkdir(parents=True)
    live.sweep([one])
    assert names(live) == {f"{model}.{tag_of(one)}" for model in ("animals", "classifier", "detector", "preprocess")}
    assert not (live.folder.parent / "incoming").exists()
