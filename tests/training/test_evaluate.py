"""How answers are counted."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from typer.testing import CliRunner

from training.cli import app
from training.dataset import Photo
from training.evaluate import Answers, measure, right
from training.network import load_taxonomy

TAXONOMY = load_taxonomy()


def _answer(**shares: float) -> np.ndarray:
    leaves = np.zeros(len(TAXONOMY), np.float32)
    for key, share in shares.items():
        leaves[TAXONOMY.by_key(key).index] = share
    return leaves


def _photo(folder: str, set_: str = "species") -> Photo:
    return Photo(f"{set_}/{folder}/x.jpg", set_, folder, "caltech101", "CC-BY-4.0")


def test_breeds_count_together_as_their_species() -> None:
    split_over_breeds = _answer(beagle=0.3, whippet=0.3, lion=0.4)
    assert right(np.stack([split_over_breeds]), [_photo("dog")], TAXONOMY).tolist() == [True]


def test_figures_tell_wrong_species_from_false_empties() -> None:
    answers = np.stack([_answer(ant=0.9), _answer(tick=0.9), _answer(no_animal=0.9), _answer(no_animal=0.9)])
    photos = (_photo("ant"), _photo("ant"), _photo("tick"), _photo("chair", "no_animal"))
    base = np.zeros((4, 1001), np.float32)
    base[:, TAXONOMY.by_key("ant").imagenet_row] = 1.0
    figures = measure(Answers(photos, answers, base), TAXONOMY)
    assert figures["top1"] == pytest.approx(1 / 3, abs=1e-4)
    assert figures["false_empty"] == pytest.approx(1 / 3, abs=1e-4)
    assert figures["no_animal"] == 1.0
    assert figures["top1.class.ant"] == 0.5
    assert figures["agreement.species"] == pytest.approx(1 / 3, abs=1e-4)


def test_crops_and_backgrounds_are_counted_apart_from_whole_photos() -> None:
    whole = Photo("boxes/lion/x.jpg", "boxes", "lion", "asiatic-lion", "CC-BY-4.0")
    photos = (
        whole,
        dataclasses.replace(whole, crop=(0, 0, 1, 1)),
        dataclasses.replace(whole, cls="blank", crop=(0, 0, 0.3, 0.3)),
    )
    answers = np.stack([_answer(lion=0.9), _answer(cougar=0.9), _answer(no_animal=0.4, lion=0.3)])
    figures = measure(Answers(photos, answers, np.zeros((3, 1001), np.float32)), TAXONOMY, empty_from=0.5)
    assert (figures["photos.boxes"], figures["top1.boxes"]) == (1, 1.0)
    assert (figures["photos.crops"], figures["top1.crops"]) == (1, 0.0)
    assert (figures["photos.backgrounds"], figures["backgrounds"]) == (1, 0.0)
    assert measure(Answers(photos, answers, np.zeros((3, 1001), np.float32)), TAXONOMY, 0.4)["backgrounds"] == 1.0


def test_a_missing_data_directory_is_one_sentence_and_a_failure() -> None:
    result = CliRunner().invoke(app, ["evaluate", "--data", "nowhere", "--release", "model_repository"])
    assert result.exit_code == 1
    assert "nowhere" in result.output
    assert "Traceback" not in result.output


def test_evaluate_wants_exactly_one_classifier() -> None:
    assert CliRunner().invoke(app, ["evaluate", "--data", "nowhere"]).exit_code == 2
