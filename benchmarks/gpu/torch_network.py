"""A release's ONNX file as a PyTorch function, node by node, for the operators that the release's networks have.

Operators as in the ONNX specification (onnx.ai/onnx/operators), opset 20. Convolutions compute in the precision that is
asked for, channels last; everything before, between and after them that mixes in a FP32 constant is FP32, so that boxes
are not rounded to the 8 bits of a bfloat16 mantissa.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

Attributes = dict[str, Any]
Operator = Callable[[list[Any], Attributes], Any]

CONVOLUTION: Final = "Conv"


class UnknownOperator(ValueError):
    """The file has an operator that is not among ``OPERATORS``."""


class OnnxNetwork:
    """Called with UINT8 [N, ...] on ``device``; returns the first output, FP32 [N, ...], on ``device``."""

    def __init__(self, file: Path, device: str, precision: torch.dtype) -> None:
        """Raises UnknownOperator."""
        graph = onnx.load(str(file)).graph
        unknown = {node.op_type for node in graph.node} - OPERATORS.keys() - {CONVOLUTION}
        if unknown:
            raise UnknownOperator(f"{file} has operators that are not known here: {', '.join(sorted(unknown))}.")
        self._precision = precision
        self._constants = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()).to(device)
            for tensor in graph.initializer
        }
        self._widened(graph)
        whole = {tensor.name for tensor in graph.initializer}  # sizes, axes and bounds are wanted as numbers
        self._numbers = {name: self._constants[name].tolist() for name in whole if self._constants[name].numel() < 16}
        self._nodes = [
            (node.op_type, list(node.input), list(node.output), _attributes(node))
            for node in graph.node
            if not all(name in self._constants for name in node.output)
        ]
        for kind, inputs, _, _ in self._nodes:
            if kind == CONVOLUTION:
                weight, bias = (self._constants[name].to(precision) for name in inputs[1:])
                self._constants[inputs[1]] = weight.contiguous(memory_format=torch.channels_last)
                self._constants[inputs[2]] = bias
        self._input, self._output = graph.input[0].name, graph.output[0].name

    def _widened(self, graph: Any) -> None:
        """Weights that are stored in half precision behind a Cast (export/narrow.py) are widened once."""
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in self._constants:
                self._constants[node.output[0]] = self._constants[node.input[0]].float()

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """See the class."""
        values: dict[str, Any] = {**self._constants, self._input: pictures}
        for kind, inputs, outputs, attributes in self._nodes:
            if kind == CONVOLUTION:
                found = self._convolution([values[name] for name in inputs], attributes)
            else:
                arguments = [
                    self._numbers.get(name, values.get(name)) if at else values[name] for at, name in enumerate(inputs)
                ]
                if kind in TENSORS_ONLY:
                    arguments = [values[name] for name in inputs]
                found = OPERATORS[kind](arguments, attributes)
            values.update(zip(outputs, found if isinstance(found, tuple) else (found,), strict=False))
        answer: torch.Tensor = values[self._output]
        return answer.float()

    def _convolution(self, arguments: list[torch.Tensor], attributes: Attributes) -> torch.Tensor:
        pictures, weight, bias = arguments
        pictures = pictures.to(self._precision, memory_format=torch.channels_last)
        top, left, bottom, right = attributes["pads"]
        if (top, left) != (bottom, right):
            pictures = functional.pad(pictures, (left, right, top, bottom))
            top = left = 0
        return functional.conv2d(
            pictures, weight, bias, attributes["strides"], (top, left), groups=attributes.get("group", 1)
        )


def _attributes(node: Any) -> Attributes:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _cast(arguments: list[Any], attributes: Attributes) -> torch.Tensor:
    wanted = helper.tensor_dtype_to_np_dtype(attributes["to"])
    result: torch.Tensor = arguments[0].to(torch.from_numpy(np.empty(0, wanted)).dtype)
    return result


def _gather(arguments: list[Any], attributes: Attributes) -> torch.Tensor:
    data, indices = arguments
    axis = attributes.get("axis", 0)
    chosen = data.index_select(axis, indices.flatten())
    result: torch.Tensor = chosen.reshape(*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    return result


def _slice(arguments: list[Any], _: Attributes) -> torch.Tensor:
    data, starts, ends, axes, steps = arguments
    where = [slice(None)] * data.dim()
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where[axis] = slice(start, end, step)
    result: torch.Tensor = data[tuple(where)]
    return result


def _pooled(arguments: list[Any], attributes: Attributes) -> torch.Tensor:
    top, left, *_ = attributes.get("pads", (0, 0, 0, 0))
    return functional.max_pool2d(arguments[0], attributes["kernel_shape"], attributes["strides"], (top, left))


def _resized(arguments: list[Any], _: Attributes) -> torch.Tensor:
    """Nearest, floor and asymmetric, by whole numbers: every pixel is repeated."""
    scales = arguments[2]
    return arguments[0].repeat_interleave(int(scales[2]), 2).repeat_interleave(int(scales[3]), 3)  # type: ignore[no-any-return]


def _reduced(by: Callable[..., Any]) -> Operator:
    def reduce(arguments: list[Any], attributes: Attributes) -> Any:
        return by(arguments[0].float(), dim=tuple(arguments[1]), keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _gemm(arguments: list[Any], attributes: Attributes) -> torch.Tensor:
    data, weight, bias = arguments
    return functional.linear(data.float(), weight if attributes.get("transB") else weight.T, bias)


def _top(arguments: list[Any], attributes: Attributes) -> tuple[torch.Tensor, torch.Tensor]:
    values, indices = arguments[0].topk(int(arguments[1][0]), dim=attributes.get("axis", -1))
    return values, indices


def _expanded(arguments: list[Any], _: Attributes) -> torch.Tensor:
    data, shape = arguments
    sides = [int(side) for side in shape]
    return data.expand(np.broadcast_shapes(tuple(data.shape), tuple(sides)))  # type: ignore[no-any-return]


def _reshaped(arguments: list[Any], _: Attributes) -> torch.Tensor:
    return arguments[0].reshape([int(side) for side in arguments[1]])  # type: ignore[no-any-return]


OPERATORS: Final[dict[str, Operator]] = {
    "Add": lambda a, _: a[0] + a[1],
    "Cast": _cast,
    "Clip": lambda a, _: a[0].clamp(a[1], a[2]),
    "Concat": lambda a, attributes: torch.cat(a, dim=attributes["axis"]),
    "Div": lambda a, _: a[0] / a[1],
    "Exp": lambda a, _: a[0].float().exp(),
    "Expand": _expanded,
    "Gather": _gather,
    "GatherElements": lambda a, attributes: a[0].gather(attributes["axis"], a[1]),
    "Gemm": _gemm,
    "MaxPool": _pooled,
    "Mul": lambda a, _: a[0] * a[1],
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Reshape": _reshaped,
    "Resize": _resized,
    "Sigmoid": lambda a, _: a[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda a, attributes: a[0].float().softmax(dim=attributes["axis"]),
    "Sub": lambda a, _: a[0] - a[1],
    "TopK": _top,
    "Transpose": lambda a, attributes: a[0].permute(attributes["perm"]),
    "Unsqueeze": lambda a, _: a[0].unsqueeze(a[1][0]),
}
"""All but the convolution. Sizes, axes and bounds come as plain numbers, the first argument always as a tensor."""

TENSORS_ONLY: Final = {"Add", "Concat", "Div", "Gather", "GatherElements", "Gemm", "Mul", "Sub"}
"""Operators whose arguments are all data, however few numbers they hold."""
