"""Whether a repository's configurations are whole is known before Triton starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serving.repository import models_to_load, needs_completion
from tests.support.stack import ROOT

REPOSITORY = ROOT / "model_repository"


def test_the_shipped_repository_is_whole_in_every_profile() -> None:
    for name in ("", "cpu-dali", "cpu-models", "gpu"):
        assert not needs_completion(REPOSITORY, name)


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("", ("animals",)),
        ("cpu-dali", ("preprocess", "animals")),
        ("cpu-models", ("classifier", "detector", "animals")),
        ("gpu", ("classifier", "detector", "preprocess", "animals")),
    ],
)
def test_what_animals_does_itself_is_not_loaded_beside_it(name: str, models: tuple[str, ...]) -> None:
    assert models_to_load(REPOSITORY, name) == models


def test_of_several_releases_only_that_of_the_tag_is_loaded(tmp_path: Path) -> None:
    for tag in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
        for model in ("animals", "classifier", "detector", "preprocess"):
            shutil.copytree(REPOSITORY / model, tmp_path / f"{model}.{tag}")
    assert models_to_load(tmp_path, "", "bbbbbbbbbbbb") == ("animals.bbbbbbbbbbbb",)
    assert models_to_load(tmp_path, "cpu-dali", "aaaaaaaaaaaa") == ("preprocess.aaaaaaaaaaaa", "animals.aaaaaaaaaaaa")
    assert not needs_completion(tmp_path, "gpu", "aaaaaaaaaaaa")
    assert models_to_load(tmp_path, "", "cccccccccccc") == ()


def test_what_cannot_be_read_is_left_to_triton(tmp_path: Path) -> None:
    (tmp_path / "animals").mkdir()
    (tmp_path / "preprocess").mkdir()
    assert models_to_load(tmp_path, "") == ("preprocess", "animals")


def test_a_silent_or_broken_configuration_is_left_to_triton(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(REPOSITORY, copy)
    config = copy / "classifier" / "config.pbtxt"
    config.write_text('backend: "onnxruntime"\n')
    assert needs_completion(copy, "cpu-models")
    config.write_text("{ not protobuf")
    assert needs_completion(copy, "cpu-models")
    config.unlink()
    assert needs_completion(copy, "cpu-models")
