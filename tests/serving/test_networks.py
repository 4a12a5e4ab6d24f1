"""Networks in the process of ``animals`` answer as the models that they replace would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from serving.models.errors import ModelCallError
from serving.models.networks import InlineNetworks

ROOT = Path(__file__).parents[2]
CLASSIFIER_FILE = ROOT / "model_repository" / "classifier" / "1" / "model.int8.onnx"
PICTURES = np.random.default_rng(3).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


def refuse(model: str, inputs: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    raise ModelCallError(f"{model} was called")


@pytest.fixture(scope="module")
def networks() -> InlineNetworks:
    return InlineNetworks({"classifier": CLASSIFIER_FILE}, refuse)


def test_what_it_has_it_runs(networks: InlineNetworks) -> None:
    bare = onnxruntime.InferenceSession(str(CLASSIFIER_FILE), providers=["CPUExecutionProvider"])
    answer = networks("classifier", {"IMAGE": PICTURES}, ("PROBABILITIES",))
    assert np.allclose(answer["PROBABILITIES"], bare.run(None, {"IMAGE": PICTURES})[0], atol=1e-6)


def test_what_it_does_not_have_it_hands_on(networks: InlineNetworks) -> None:
    with pytest.raises(ModelCallError, match="detector was called"):
        networks("detector", {"SCENE": PICTURES}, ("DETECTIONS",))


def test_a_failed_run_names_its_network(networks: InlineNetworks) -> None:
    with pytest.raises(ModelCallError, match=r"^classifier: "):
        networks("classifier", {"IMAGE": PICTURES[:, :5]}, ("PROBABILITIES",))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"absent\.onnx"):
        InlineNetworks({"classifier": tmp_path / "absent.onnx"}, refuse)
