"""A whole addition on pictures of colours: what is written, what is refused, what a kill costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")

from contract.taxonomy import parse_taxonomy  # noqa: E402
from training.adding.add import Added, Task, add, make_task, tuned, write  # noqa: E402
from training.adding.figures import OTHER, confusion  # noqa: E402
from training.adding.machine import Machine  # noqa: E402
from training.adding.report import REPORT, mistakes, write_report  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.fit import CHECKPOINT, EVALUATION, Evaluation  # noqa: E402
from training.predict import load_checkpoint  # noqa: E402

if TYPE_CHECKING:
    from training.adding.base_release import BaseRelease
    from training.adding.material import Material
    from training.adding.recipe import AddRecipe
    from training.datasets import Dataset
    from training.evaluate import Figures

CPU = Machine(torch.device("cpu"))


def silent(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def written(task: Task, recipe: AddRecipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Added, Path]:
    out = tmp_path_factory.mktemp("added")
    added = add(task, recipe, out, CPU, silent, silent)
    write(added, out)
    write_report(added, out / REPORT)
    return added, out


def test_new_species_are_learned(written: tuple[Added, Path]) -> None:
    figures = written[0].figures
    assert figures["new.top1.unnameable"] == 1.0
    assert figures["photos.new.unnameable"] == 6
    assert figures["new.top1.before"] < figures["new.top1"]


def test_the_checkpoint_is_what_an_export_takes(written: tuple[Added, Path], release: BaseRelease) -> None:
    added, out = written
    saved = torch.load(out / CHECKPOINT, weights_only=True)
    assert (saved["base_release"], saved["dataset"]) == (release.identity, added.task.dataset.identity)
    assert {values.dtype for values in saved["state"].values()} == {torch.float16}
    taxonomy = parse_taxonomy(saved["taxonomy"])
    assert len(taxonomy) == len(release.taxonomy) + 2
    load_checkpoint(out / CHECKPOINT, taxonomy)
    evaluation = Evaluation.from_json((out / EVALUATION).read_text())
    assert evaluation == added.evaluation
    assert evaluation.calibration.temperature == saved["temperature"]


def test_few_photos_change_no_threshold(written: tuple[Added, Path], release: BaseRelease) -> None:
    calibration = written[0].evaluation.calibration
    assert calibration.temperature == release.temperature
    assert calibration.sure_from == release.manifest.thresholds.sure_from


def test_the_report_is_one_file_that_names_all(written: tuple[Added, Path]) -> None:
    page = (written[1] / REPORT).read_text()
    for text in ("red monkey", "blue monkey", written[0].task.dataset.identity, "no old photos were given"):
        assert text in page
    assert 'src="http' not in page
    assert "<script" not in page
    assert "<link" not in page


def test_mistakes_are_shown_with_what_they_are_and_were_called(written: tuple[Added, Path]) -> None:
    added = written[0]
    wrong = dataclasses.replace(added, judged=dataclasses.replace(added.judged, after=added.judged.after[::-1].copy()))
    shown = mistakes(wrong, added=True)
    assert len(shown) == int((~wrong.judged.right_after).sum()) > 0
    assert all(one.thumbnail.startswith("data:image/jpeg;base64,") for one in shown)
    assert {one.truth for one in shown} <= {"red_monkey", "blue_monkey", "patas"}
    assert mistakes(wrong, added=False) == []


def test_the_confusion_matrix_counts_every_photo_once(written: tuple[Added, Path]) -> None:
    names, matrix = confusion(written[0].judged)
    assert names == ["blue_monkey", "patas", "red_monkey", OTHER]
    assert matrix.sum(axis=1).tolist() == [3, 3, 3, 0]


def test_a_killed_training_ends_with_the_same_weights(
    task: Task, material: Material, recipe: AddRecipe, tmp_path: Path
) -> None:
    whole, expected = tuned(task, material, recipe, None, CPU, silent)

    def killed(epoch: int, figures: Figures) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(task, material, recipe, tmp_path / "state.pt", CPU, killed)
    again, found = tuned(task, material, recipe, tmp_path / "state.pt", CPU, silent)
    assert found.epochs == expected.epochs
    theirs = whole.state_dict()
    assert all(torch.equal(values, theirs[name]) for name, values in again.state_dict().items())


def test_the_frozen_trunk_stays_the_releases(task: Task, written: tuple[Added, Path]) -> None:
    state = written[0].checkpoint["state"]
    for name, values in task.base.network.state_dict().items():
        if name.startswith(("blocks.0.", "blocks.14.")):
            assert torch.equal(state[name].float(), values.half().float()), name


def test_new_species_are_not_added_unasked(release: BaseRelease, dataset: Dataset, recipe: AddRecipe) -> None:
    with pytest.raises(DataError, match="--add-species"):
        make_task(release, dataset, None, recipe, 7, add_species=False)


def test_a_data_set_without_held_back_photos_is_refused(
    release: BaseRelease, dataset: Dataset, recipe: AddRecipe
) -> None:
    bare = dataclasses.replace(dataset, photos=dataset.of_part("train"))
    with pytest.raises(DataError, match="no validation photos"):
        make_task(release, bare, None, recipe, 7, add_species=True)
