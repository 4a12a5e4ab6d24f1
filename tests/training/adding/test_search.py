"""A search tries recipes, keeps what it found, and goes on with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")
optuna = pytest.importorskip("optuna")

from training.adding.machine import Machine  # noqa: E402
from training.adding.search import STUDY, search  # noqa: E402

if TYPE_CHECKING:
    from training.adding.add import Task
    from training.adding.recipe import AddRecipe


def test_a_search_goes_on_with_the_trials_that_it_has(task: Task, recipe: AddRecipe, tmp_path: Path) -> None:
    counted: list[int] = []

    def progress(what: str, done: int, total: int) -> None:
        if what == "trials":
            counted.append(done)

    machine = Machine(torch.device("cpu"))
    recipe = dataclasses.replace(recipe, epochs=1)
    search(task, recipe, 2, tmp_path, machine, progress, track=False)
    assert counted == [0, 1]
    found = search(task, recipe, 3, tmp_path, machine, progress, track=False)
    assert counted == [0, 1, 2]
    study = optuna.load_study(study_name=task.key(recipe), storage=f"sqlite:///{tmp_path / STUDY}")
    assert study.trials[0].params["head_rate"] == recipe.head_rate  # the recipe itself is the first
    assert len({trial.params["head_rate"] for trial in study.trials}) == 3
    assert found.head_rate == study.best_params["head_rate"]
    assert (found.epochs, found.name) == (recipe.epochs, recipe.name)
