"""Networks as functions from pixels to probabilities, however their weights are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from contract.engines import read_for_one
from contract.taxonomy import Taxonomy
from contract.tensors import CLASSIFIER, IMAGE
from imaging.decode import Pixels
from training.errors import CheckpointError
from training.evaluate import Predict, Probabilities
from training.mobilenet import MobileNetV2
from training.network import AnimalClassifier, Fold, count_rows, normalised

ONNX_IN_RELEASE = Path(CLASSIFIER) / "1" / "model.onnx"


def torch_predictor(classifier: AnimalClassifier) -> Predict:
    """UINT8 [N, 224, 224, 3] -> FP32 [N, leaves]."""

    def predict(pixels: Pixels) -> Probabilities:
        with torch.inference_mode():
            return np.asarray(classifier(torch.from_numpy(pixels)).numpy(), np.float32)

    return predict


def logits_predictor(network: MobileNetV2) -> Predict:
    """UINT8 [N, 224, 224, 3] -> FP32 [N, rows]: what a network says before its softmax."""

    def predict(pixels: Pixels) -> Probabilities:
        with torch.inference_mode():
            return np.asarray(network(normalised(torch.from_numpy(pixels))).numpy(), np.float32)

    return predict


def base_predictor(base: MobileNetV2) -> Predict:
    """UINT8 [N, 224, 224, 3] -> FP32 [N, 1001]: the base network's own softmax."""
    logits = logits_predictor(base)
    return lambda pixels: np.asarray(torch.from_numpy(logits(pixels)).softmax(dim=1).numpy(), np.float32)


def folded(logits: Probabilities, taxonomy: Taxonomy, temperature: float) -> Probabilities:
    """Logits FP32 [N, rows] as probabilities FP32 [N, leaves] at a temperature."""
    with torch.inference_mode():
        return np.asarray(Fold(taxonomy, temperature)(torch.from_numpy(logits)).numpy(), np.float32)


def onnx_predictor(file: Path) -> Predict:
    """An exported classifier on onnxruntime's CPU provider. Raises CheckpointError if there is no such file."""
    if not file.is_file():
        raise CheckpointError(f"No classifier at {file}. Build a release with `python -m export build`.")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def predict(pixels: Pixels) -> Probabilities:
        return np.asarray(session.run(None, {IMAGE.name: pixels})[0], np.float32)

    return predict


def openvino_predictor(file: Path, precision: str = "f32") -> Predict:
    """An exported classifier as the ``cpu`` profile serves it: by OpenVINO, picture by picture. ``precision``: f32, or
    bf16, which means nothing to processors without it. Raises CheckpointError if there is no such file."""
    if not file.is_file():
        raise CheckpointError(f"No classifier at {file}. Build a release with `python -m export build`.")
    core, model = read_for_one(file)
    request = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision}).create_infer_request()

    def predict(pixels: Pixels) -> Probabilities:
        rows = [request.infer({IMAGE.name: picture[None]})[0][0].copy() for picture in pixels]
        return np.asarray(rows, np.float32)

    return predict


def load_checkpoint(file: Path, taxonomy: Taxonomy) -> AnimalClassifier:
    """The classifier that ``fit`` saved, in evaluation mode. Raises CheckpointError if it does not fit."""
    if not file.is_file():
        raise CheckpointError(f"No checkpoint at {file}. Make one with `python -m training fit`.")
    network = MobileNetV2(count_rows(taxonomy))
    try:
        saved = torch.load(file, weights_only=True)
        if "backbone" in saved:
            raise CheckpointError(
                f"{file} holds {saved['backbone']}, which cannot be exported: a release's classifier "
                "is a MobileNetV2. Train again without --backbone."
            )
        network.load_state_dict({name: values.float() for name, values in saved["state"].items()})
        return AnimalClassifier(network, taxonomy, saved["temperature"]).eval()
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{file} does not fit this taxonomy of {len(taxonomy)} leaves. Train again.") from error
