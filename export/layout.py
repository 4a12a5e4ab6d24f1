"""Where things lie in a release's model repository, and the digests of what lies there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from contract import tensors
from contract.manifest import MANIFEST_NAME

VERSION: Final = 1
"""Version folder of every model."""

MODELS: Final = (tensors.PREPROCESS, tensors.DETECTOR, tensors.CLASSIFIER, tensors.ANIMALS)
CARD: Final = "MODEL_CARD.md"
LABELS: Final = "labels.txt"
LABELS_PATH: Final = f"{tensors.CLASSIFIER}/{LABELS}"
DETECTOR_PATH: Final = f"{tensors.DETECTOR}/{VERSION}/model.onnx"
INT8_NAME: Final = "model.int8.onnx"
INT8_PATH: Final = f"{tensors.CLASSIFIER}/{VERSION}/{INT8_NAME}"
ONNX_PATH: Final = f"{tensors.CLASSIFIER}/{VERSION}/model.onnx"
NETWORKS: Final = {tensors.DETECTOR: tensors.SCENE, tensors.CLASSIFIER: tensors.IMAGE}
"""Models that are networks -> the pictures that they take."""

MANIFEST_PATH: Final = f"{tensors.ANIMALS}/{VERSION}/{MANIFEST_NAME}"


def onnx_path(network: str) -> str:
    """Where the float32 graph of a network lies."""
    return f"{network}/{VERSION}/model.onnx"


def plan_path(network: str) -> str:
    """Where its TensorRT plan is put."""
    return f"{network}/{VERSION}/model.plan"


def gpu_config_path(network: str) -> str:
    """Its configuration in the gpu profile."""
    return f"{network}/configs/gpu.pbtxt"


def file_digests(repository: Path) -> dict[str, str]:
    """Path below the repository, with forward slashes -> SHA-256 of the file in hex.

    The manifest itself, which holds these digests, and what Python caches are left out.
    """
    files = sorted(file for file in repository.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    names = {file.relative_to(repository).as_posix(): file for file in files}
    return {
        path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in names.items() if path != MANIFEST_PATH
    }
