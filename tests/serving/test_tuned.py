from __future__ import annotations

from pathlib import Path

from contract.tensors import ANIMALS
from serving.repository import models_to_load, needs_completion, read_config
from serving.tuned import CONFIG_NAME, instances_of, overlay, write_tuned
from tests.support.stack import ROOT

REPOSITORY = ROOT / "model_repository"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_overlay_differs_from_its_release_in_the_number_of_instances_alone(tmp_path):
    before = files(REPOSITORY / ANIMALS)
    folder = overlay(REPOSITORY, tmp_path / "tuned", "", 5)
    own, tuned = read_config(REPOSITORY / ANIMALS, ""), read_config(folder / ANIMALS, CONFIG_NAME)
    assert instances_of(folder / ANIMALS, CONFIG_NAME) == 5 != instances_of(REPOSITORY / ANIMALS, "")
    tuned.instance_group[0].count = own.instance_group[0].count
    assert tuned == own
    assert files(REPOSITORY / ANIMALS) == before


def test_an_overlay_loads_the_same_models(tmp_path):
    folder = overlay(REPOSITORY, tmp_path / "tuned", "", 1)
    assert models_to_load(folder, CONFIG_NAME) == models_to_load(REPOSITORY, "")
    assert not needs_completion(folder, CONFIG_NAME)


def test_the_overlay_of_a_profile_has_its_configuration(tmp_path):
    folder = overlay(REPOSITORY, tmp_path / "tuned", "cpu-models", 2)
    assert models_to_load(folder, CONFIG_NAME) == models_to_load(REPOSITORY, "cpu-models")


def test_an_overlay_takes_the_place_of_an_older_one(tmp_path):
    overlay(REPOSITORY, tmp_path / "tuned", "", 5)
    folder = overlay(REPOSITORY, tmp_path / "tuned", "", 2)
    assert instances_of(folder / ANIMALS, CONFIG_NAME) == 2


def test_a_configuration_that_cannot_be_read_is_left_to_triton(tmp_path):
    (tmp_path / "config.pbtxt").write_text("nonsense {")
    write_tuned(tmp_path, "", 4)
    assert instances_of(tmp_path, "") is None
    assert [path.name for path in tmp_path.iterdir()] == ["config.pbtxt"]
