"""What the figures of a detector mean, and which thresholds follow from them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from typer.testing import CliRunner  # noqa: E402

from training.cli import app  # noqa: E402
from training.dataset import Corners, Photo  # noqa: E402
from training.detector.evaluate import Answers, Thresholds, matches, measure, mistakes  # noqa: E402
from training.detector.fit import DetectorEvaluation, saved_thresholds  # noqa: E402
from training.detector.predict import Candidates, as_served, in_many_ways, served_scene  # noqa: E402
from training.detector.report import shown  # noqa: E402
from training.detector.thresholds import choose  # noqa: E402
from training.errors import CheckpointError  # noqa: E402

LEFT: Corners = (0.1, 0.1, 0.4, 0.6)
RIGHT: Corners = (0.6, 0.2, 0.9, 0.8)
Row = tuple[Corners, float]
SERVED = Thresholds(detect_from=0.3, overlap=0.5)


def photo(name: str, kind: str, cls: str, *boxes: Corners) -> Photo:
    return Photo(name, kind, cls, "", "CC-BY-4.0", 416, 416, boxes)


def answers(*given: tuple[Photo, Sequence[Row]]) -> Answers:
    candidates = np.zeros((len(given), 300, 5), np.float32)
    for rows, (_, boxes) in zip(candidates, given, strict=True):
        for row, (box, score) in zip(rows, boxes, strict=False):
            row[:] = [*box, score]
    return Answers(tuple(photo for photo, _ in given), candidates)


def test_counts_and_boxes_are_judged_by_number_of_animals() -> None:
    figures = measure(
        answers(
            (photo("a", "boxes", "lion", LEFT), [(LEFT, 0.9)]),
            (photo("b", "boxes", "lion", LEFT), [(LEFT, 0.9), (RIGHT, 0.4)]),
            (photo("c", "boxes", "lion", LEFT, RIGHT), [(LEFT, 0.9), (RIGHT, 0.2)]),
            (photo("d", "boxes", "lion", LEFT, RIGHT), []),
        ),
        SERVED,
    )
    assert figures["exact_count"] == 0.25
    assert figures["exact_count.1_animals"] == 0.5
    assert figures["exact_count.2_animals"] == 0
    assert figures["count_error.2_animals"] == 1.5
    assert figures["count_bias.1_animals"] == 0.5
    assert figures["any_found.lions"] == 0.75
    assert figures["precision"] == 0.75
    assert figures["recall"] == 0.5


def test_finding_any_animal_and_false_alarms_are_judged_by_photo() -> None:
    figures = measure(
        answers(
            (photo("a", "species", "cat"), [(LEFT, 0.9)]),
            (photo("b", "species", "dog"), [(LEFT, 0.2)]),
            (photo("c", "no_animal", "chair"), [(LEFT, 0.4)]),
            (photo("d", "no_animal", "lamp"), []),
            (photo("e", "boxes", "blank"), [(LEFT, 0.4)]),
        ),
        SERVED,
    )
    assert figures["any_found.species"] == 0.5
    assert figures["any_found.class.cat"] == 1
    assert figures["false_alarm.no_animal"] == 0.5
    assert figures["false_alarm.marked_empty"] == 1
    assert "exact_count" not in figures


def test_each_found_box_stands_for_one_animal_at_most() -> None:
    marked = np.array([LEFT, LEFT], np.float32)
    assert matches(np.array([LEFT], np.float32), marked) == 1
    assert matches(np.array([LEFT, LEFT], np.float32), marked) == 2
    assert matches(np.array([RIGHT], np.float32), marked) == 0
    assert matches(np.empty((0, 4), np.float32), marked) == 0


def test_mistakes_name_the_photo_and_both_numbers() -> None:
    wrong = mistakes(
        answers(
            (photo("a", "boxes", "lion", LEFT), []),
            (photo("b", "species", "cat"), [(LEFT, 0.9), (RIGHT, 0.9)]),
            (photo("c", "no_animal", "chair"), [(LEFT, 0.4)]),
        ),
        SERVED,
    )
    assert [(mistake.path, mistake.there, mistake.found) for mistake in wrong] == [("a", 1, 0), ("c", 0, 1)]


def test_a_quiet_blend_that_counts_well_is_chosen_with_thresholds_that_keep_it_so() -> None:
    kinds = [photo("a", "boxes", "lion", LEFT), photo("b", "species", "cat"), photo("c", "no_animal", "chair")]

    def shown(lion: Sequence[Row], cat: Sequence[Row], chair: Sequence[Row]) -> Candidates:
        return answers(*zip(kinds, (lion, cat, chair), strict=True)).candidates[None]

    quiet = shown([(LEFT, 0.9), (RIGHT, 0.3)], [(LEFT, 0.55)], [(LEFT, 0.2)])
    loud = shown([(LEFT, 0.9)], [(LEFT, 0.55)], [(LEFT, 0.9)])
    before = shown([], [(LEFT, 0.25)], [])
    choice = choose({0.5: loud, 1.0: quiet}, before, kinds)
    assert choice.share == 1.0
    assert 0.3 < choice.thresholds.detect_from <= 0.55


def test_thresholds_stand_beside_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"evaluation\.json"):
        saved_thresholds(tmp_path / "checkpoint.pt")
    evaluation = DetectorEvaluation(7, {}, 1.0, {"detect_from": 0.3, "overlap": 0.6}, {}, {}, [])
    (tmp_path / "evaluation.json").write_text(evaluation.to_json())
    assert saved_thresholds(tmp_path / "checkpoint.pt") == Thresholds(0.3, 0.6)


def test_a_photo_is_seen_in_many_ways_the_first_as_served(cat: bytes) -> None:
    views = in_many_ways(cat)
    assert views.shape == (5, 416, 416, 3)
    assert np.array_equal(views[0], served_scene(cat))
    assert np.array_equal(views[:1], as_served(cat))
    assert (views[2][..., 0] == views[2][..., 1]).all()


def test_errors_of_counts_are_shown_in_animals() -> None:
    assert shown("count_error.2_animals", 0.4) == "0.40"
    assert shown("exact_count", 0.85) == "85.0 %"


@pytest.mark.parametrize("options", [[], ["--start", "--onnx", "x.onnx"], ["--onnx", "x.onnx"]])
def test_the_command_wants_one_detector_and_its_thresholds(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate-detector", "--data", ".", *options])
    assert result.exit_code == 2


def test_a_missing_data_set_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["fit-detector", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "manifest.csv" in result.output
