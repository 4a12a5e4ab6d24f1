"""The network that is read out of a release answers as the release does."""

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.support.stack import ROOT
from training.adding.base_release import BaseRelease, read_base_release
from training.errors import CheckpointError
from training.network import AnimalClassifier
from training.predict import ONNX_IN_RELEASE, onnx_predictor, torch_predictor

REPOSITORY = ROOT / "model_repository"


def test_it_answers_as_its_file(release: BaseRelease) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (3, 224, 224, 3), np.uint8)
    classifier = AnimalClassifier(release.network, release.taxonomy, release.temperature)
    theirs, ours = onnx_predictor(release.classifier)(pixels), torch_predictor(classifier)(pixels)
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert release.temperature != 1.0  # else nobody would notice that it is lost


def test_it_is_known_by_its_manifest(release: BaseRelease) -> None:
    assert release.identity.startswith(f"{release.manifest.name}@")


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Point --base"):
        read_base_release(tmp_path)


def test_another_network_than_the_taxonomys_is_refused(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "animals", tmp_path / "animals")
    file = tmp_path / ONNX_IN_RELEASE
    with pytest.raises(CheckpointError, match="No classifier"):
        read_base_release(tmp_path)
    file.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / "classifier" / "1" / "model.int8.onnx", file)
    with pytest.raises(CheckpointError, match="float32"):
        read_base_release(tmp_path)
