"""Networks as functions from pixels to probabilities, however their weights are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from contract.taxonomy import Taxonomy
from contract.tensors import CLASSIFIER, IMAGE
from imaging.decode import Pixels
from training.errors import CheckpointError
from training.evaluate import Predict, Probabilities
from training.mobilenet import MobileNetV2
from training.network import AnimalClassifier, count_rows, normalised

ONNX_IN_RELEASE = Path(CLASSIFIER) / "1" / "model.onnx"


def torch_predictor(classifier: AnimalClassifier) -> Predict:
    """UINT8 [N, 224, 224, 3] -> FP32 [N, leaves]."""

    def predict(pixels: Pixels) -> Probabilities:
        with torch.inference_mode():
            return np.asarray(classifier(torch.from_numpy(pixels)).numpy(), np.float32)

    return predict


def base_predictor(base: MobileNetV2) -> Predict:
    """UINT8 [N, 224, 224, 3] -> FP32 [N, 1001]: the base network's own softmax."""

    def predict(pixels: Pixels) -> Probabilities:
        with torch.inference_mode():
            return np.asarray(base(normalised(torch.from_numpy(pixels))).softmax(dim=1).numpy(), np.float32)

    return predict


def onnx_predictor(file: Path) -> Predict:
    """An exported classifier on onnxruntime's CPU provider. Raises CheckpointError if there is no such file."""
    if not file.is_file():
        raise CheckpointError(f"No classifier at {file}. Build a release with `python -m export build`.")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def predict(pixels: Pixels) -> Probabilities:
        return np.asarray(session.run(None, {IMAGE.name: pixels})[0], np.float32)

    return predict


def load_checkpoint(file: Path, taxonomy: Taxonomy) -> AnimalClassifier:
    """The classifier that ``fit`` saved, in evaluation mode. Raises CheckpointError if it does not fit."""
    if not file.is_file():
        raise CheckpointError(f"No checkpoint at {file}. Make one with `python -m training fit`.")
    network = MobileNetV2(count_rows(taxonomy))
    try:
        network.load_state_dict(torch.load(file, weights_only=True)["state"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{file} does not fit this taxonomy of {len(taxonomy)} leaves. Train again.") from error
    return AnimalClassifier(network, taxonomy).eval()
