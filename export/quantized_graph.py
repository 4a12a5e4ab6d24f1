"""A quantised network as an ONNX graph of DequantizeLinear and QuantizeLinear nodes round plain operators.

onnxruntime turns each group (dequantise, operator, quantise) into one integer kernel; another runtime may
compute it in FP32 and gets the same numbers but for rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from contract.preprocessing import MEAN, SCALE
from contract.taxonomy import Taxonomy
from contract.tensors import IMAGE, probabilities
from export.quantize import Grid, QuantisedLayer, QuantisedNetwork
from training.mobilenet import InvertedResidual, MobileNetV2, SameConv
from training.network import AnimalClassifier, leaf_rows, no_animal_rows

OPSET: Final = 20
IR_VERSION: Final = 10

PIXELS: Final = Grid(1 / SCALE, 128)
"""Pixels as they come. Their true zero is 127.5, half a step away: the first bias makes up for it."""


def write_quantised(classifier: AnimalClassifier, quantised: QuantisedNetwork, taxonomy: Taxonomy, file: Path) -> None:
    """Write UINT8 ``IMAGE`` [N, 224, 224, 3] -> FP32 ``PROBABILITIES`` [N, leaves] with integer kernels between."""
    graph = _Graph()
    features = _blocks(graph, classifier.network, quantised)
    logits = _head(graph, quantised, features)
    output = probabilities(len(taxonomy))
    _fold(graph, logits, classifier.fold.temperature, taxonomy, output.name)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "classifier",
            [helper.make_tensor_value_info(IMAGE.name, TensorProto.UINT8, ["batch", *IMAGE.shape])],
            [helper.make_tensor_value_info(output.name, TensorProto.FLOAT, ["batch", *output.shape])],
            graph.initialisers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bestiary",
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(file))


class _Graph:
    """Nodes and initialisers so far. Tensors are called by their node and numbered."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: npt.NDArray[np.generic]) -> str:
        name = f"constant_{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(values, name))
        return name

    def dequantised(self, tensor: str, grid: Grid) -> str:
        return self.node("DequantizeLinear", tensor, *self._grid(grid))

    def quantised(self, tensor: str, grid: Grid) -> str:
        return self.node("QuantizeLinear", tensor, *self._grid(grid))

    def parameters(self, layer: QuantisedLayer, bias: npt.NDArray[np.float32], grid: Grid) -> tuple[str, str]:
        """Dequantised weights and bias of a layer whose input lies on ``grid``: INT8, and INT32 on the product's."""
        steps = (layer.scale.astype(np.float64) * grid.scale).astype(np.float32)
        whole = np.clip(np.round(bias / steps.astype(np.float64)), *_INT32).astype(np.int32)
        weight = self.node(
            "DequantizeLinear", self.constant(layer.weight), self.constant(layer.scale), self._zeros(layer), axis=0
        )
        zero = self.constant(np.zeros(len(steps), np.int32))
        return weight, self.node("DequantizeLinear", self.constant(whole), self.constant(steps), zero, axis=0)

    def _zeros(self, layer: QuantisedLayer) -> str:
        return self.constant(np.zeros(len(layer.scale), np.int8))

    def _grid(self, grid: Grid) -> tuple[str, str]:
        return self.constant(np.array(grid.scale, np.float32)), self.constant(np.array(grid.zero, np.uint8))


_INT32 = (np.iinfo(np.int32).min, np.iinfo(np.int32).max)


def _blocks(graph: _Graph, network: MobileNetV2, quantised: QuantisedNetwork) -> str:
    """All convolutions and residual additions; the dequantised last activations."""
    rest = iter(quantised.layers)
    tensor, grid = graph.dequantised(graph.node("Transpose", IMAGE.name, perm=[0, 3, 1, 2]), PIXELS), PIXELS
    for number, block in enumerate(network.blocks):
        before = tensor
        layers = block.layers if isinstance(block, InvertedResidual) else [block]
        for layer in layers:
            if not isinstance(layer, SameConv):
                raise AssertionError("A block is a convolution or a row of them.")
            tensor, grid = _convolution(graph, layer, next(rest), tensor, grid)
        if number in quantised.sums:
            grid = quantised.sums[number]
            tensor = graph.dequantised(graph.quantised(graph.node("Add", before, tensor), grid), grid)
    return tensor


def _convolution(graph: _Graph, layer: SameConv, numbers: QuantisedLayer, tensor: str, grid: Grid) -> tuple[str, Grid]:
    """One convolution. Its activation is the range of its grid, which ends at 0 and 6 at most."""
    if numbers.out is None:
        raise AssertionError("Only the head's output has no grid.")
    conv = layer.conv
    bias = numbers.bias
    if grid is PIXELS:
        offset = (grid.zero - MEAN) / SCALE
        sums = (numbers.weight * numbers.scale[:, None, None, None]).sum(axis=(1, 2, 3), dtype=np.float32)
        bias = bias + np.float32(offset) * sums
    weight, steps = graph.parameters(numbers, bias, grid)
    side = conv.kernel_size[0]
    strided = conv.stride[0] == 2
    out = graph.node(
        "Conv",
        tensor,
        weight,
        steps,
        kernel_shape=[side, side],
        strides=list(conv.stride),
        group=conv.groups,
        pads=[0, 0, 1, 1] if strided else [side // 2] * 4,  # TensorFlow's SAME, as SameConv pads
    )
    return graph.dequantised(graph.quantised(out, numbers.out), numbers.out), numbers.out


def _head(graph: _Graph, quantised: QuantisedNetwork, tensor: str) -> str:
    """Mean over rows and columns, then the logits [N, rows] FP32."""
    features = graph.quantised(graph.node("GlobalAveragePool", tensor), quantised.features)
    flat = graph.dequantised(graph.node("Flatten", features), quantised.features)
    head = quantised.layers[-1]
    weight, bias = graph.parameters(head, head.bias, quantised.features)
    return graph.node("Gemm", flat, weight, bias, transB=1)


def _fold(graph: _Graph, logits: str, temperature: float, taxonomy: Taxonomy, output: str) -> None:
    """As :class:`training.network.Fold`."""
    cooled = graph.node("Div", logits, graph.constant(np.array(temperature, np.float32)))
    shares = graph.node("Softmax", cooled, axis=1)
    leaves = graph.node("Gather", shares, graph.constant(np.array(leaf_rows(taxonomy))), axis=1)
    others = graph.node("Gather", shares, graph.constant(np.array(no_animal_rows(taxonomy))), axis=1)
    none = graph.node("ReduceSum", others, graph.constant(np.array([1])), keepdims=1)
    graph.node("Concat", leaves, none, axis=1, output=output)
