"""The base network's ONNX initialisers into :class:`training.mobilenet.MobileNetV2`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from training.errors import CheckpointError
from training.mobilenet import BASE_ROWS, MobileNetV2

Weights = npt.NDArray[np.float32]


def load_base(path: Path) -> MobileNetV2:
    """The base network in evaluation mode with ``BASE_ROWS`` logits.

    The file's convolutions stand in the order of computation, as ours do, so they are taken one by
    one; every shape is checked. Raises CheckpointError if the file is no such network.
    """
    arrays = _convolutions(path)
    network = MobileNetV2(BASE_ROWS)
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    if len(layers) != len(arrays):
        raise CheckpointError(f"{path} has {len(arrays)} convolutions; MobileNetV2 1.0 has {len(layers)}.")
    with torch.no_grad():
        for number, (layer, (weight, bias)) in enumerate(zip(layers, arrays, strict=True)):
            wanted = tuple(layer.weight.shape)
            if weight.shape[: len(wanted)] != wanted or weight.size != layer.weight.numel():
                raise CheckpointError(f"{path}: convolution {number} is {weight.shape}, expected {wanted}.")
            layer.weight.copy_(torch.from_numpy(weight.reshape(wanted)))  # the file's head is a 1x1 convolution
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))
    return network.eval()


def _convolutions(path: Path) -> list[tuple[Weights, Weights]]:
    if not path.is_file():
        raise CheckpointError(f"No base weights at {path}. Point --data to the directory that holds weights/.")
    graph = onnx.load(path).graph
    values = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    return [(values[node.input[1]], values[node.input[2]]) for node in graph.node if node.op_type == "Conv"]
