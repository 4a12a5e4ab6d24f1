"""The starting weights, an ONNX file of YOLOX-nano for COCO's 80 classes, into :class:`YoloxNano`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from training.detector.yolox import YoloxNano
from training.errors import CheckpointError

START_WEIGHTS: Final = Path("weights") / "yolox_nano_coco80.onnx"

COCO_CLASSES: Final = 80
COCO_ANIMALS: Final = range(14, 24)
"""bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe (Lin et al., "Microsoft COCO", 2014)."""


def load_start(path: Path) -> YoloxNano:
    """The starting network with all of COCO's classes, in evaluation mode.

    The head's last convolutions are found by their names; the names of the others were lost when
    normalisation was folded in, so they are taken in the order of computation. Every shape is checked.
    Raises CheckpointError if the file is missing or is no such network.
    """
    if not path.is_file():
        raise CheckpointError(f"No starting weights at {path}. Point --data to the directory that holds weights/.")
    graph = onnx.load(path).graph
    values = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    files = [node for node in graph.node if node.op_type == "Conv"]
    network = YoloxNano(COCO_CLASSES)
    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    if len(files) != len(convolutions):
        raise CheckpointError(f"{path} has {len(files)} convolutions; YOLOX-nano has {len(convolutions)}.")
    with torch.no_grad():
        for node, (name, module) in zip(files, convolutions.items(), strict=True):
            weight, bias = values[node.input[1]], values[node.input[2]]
            if weight.shape != module.weight.shape or not _named_alike(node.input[1], name):
                raise CheckpointError(f"{path}: {node.input[1]} {list(weight.shape)} is not what {name} needs.")
            module.weight.copy_(weight)
            if module.bias is None:
                raise AssertionError("Every convolution of YOLOX-nano has a bias.")
            module.bias.copy_(bias)
    return network.eval()


def animals_only(network: YoloxNano) -> YoloxNano:
    """A copy with the class logits of ``COCO_ANIMALS`` alone, in their order."""
    rows = list(COCO_ANIMALS)
    state = network.state_dict()
    for name in state:
        if ".classes." in name:
            state[name] = state[name][rows]
    result = YoloxNano(len(rows))
    result.load_state_dict(state)
    return result.eval()


_FILE_PARTS: Final = {"classes": "cls_preds", "box": "reg_preds", "objectness": "obj_preds"}


def _named_alike(in_file: str, ours: str) -> bool:
    """Whether the file's name of a weight, where it has kept one (``head.cls_preds.0.weight``), means ``ours``."""
    if ours.startswith("heads.") and ours.count(".") == 2:
        _, number, part = ours.split(".")
        return in_file == f"head.{_FILE_PARTS[part]}.{number}.weight"
    return not in_file.startswith("head.")
