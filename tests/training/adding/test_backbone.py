"""Another image classifier is taught the same, here one of a few thousand random weights and no network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training.adding.add import Task, write  # noqa: E402
from training.adding.backbone import Rows, Views, add, load_backbone  # noqa: E402
from training.adding.machine import Machine  # noqa: E402
from training.errors import CheckpointError  # noqa: E402
from training.fit import CHECKPOINT  # noqa: E402
from training.predict import load_checkpoint  # noqa: E402

if TYPE_CHECKING:
    from training.adding.recipe import AddRecipe

CPU = Machine(torch.device("cpu"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A vision transformer of one layer, in a folder as the hub has them."""
    folder = tmp_path_factory.mktemp("tiny")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    torch.manual_seed(1)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    return str(folder)


def silent(*_: object) -> None:
    """Nobody watches."""


def test_it_is_trained_measured_and_kept_with_its_name(
    task: Task, recipe: AddRecipe, tiny: str, tmp_path: Path
) -> None:
    short = dataclasses.replace(recipe, epochs=2, block_rate=1e-3)
    added = add(task, tiny, short, tmp_path, CPU, silent, silent)
    assert len(added.history.epochs) == 3
    assert added.history.epochs[-1]["train.loss"] < added.history.epochs[1]["train.loss"]
    assert "new.top1" in added.figures
    write(added, tmp_path)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert saved["backbone"] == tiny
    assert len(saved["row_of_leaf"]) == len(task.taxonomy)
    with pytest.raises(CheckpointError, match="cannot be exported"):
        load_checkpoint(tmp_path / CHECKPOINT, task.taxonomy)


def test_its_rows_are_the_bases_leaves_and_then_the_new_ones(task: Task) -> None:
    rows = Rows.of(task.base.taxonomy, task.taxonomy)
    known = len(task.base.taxonomy)
    assert sorted(rows.of_leaf) == list(range(known + 2))
    assert rows.of_leaf[-1] == known - 1  # no_animal moved to the end of the leaves, not of the rows
    logits = np.zeros((1, known + 2), np.float32)
    logits[0, known] = 30.0
    assert task.taxonomy[int(rows.fold(logits, 1.0).argmax())].key == "blue_monkey"


def test_a_view_depends_on_seed_epoch_and_photo_alone(task: Task) -> None:
    photos = [(source.root, photo) for source in task.sources for photo in source.train]
    first, again = (Views(photos, 7, 1)[3][0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, Views(photos, 7, 2)[3][0])


def test_a_model_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no Hugging Face image classifier"):
        load_backbone(str(tmp_path / "nowhere"), 5)
