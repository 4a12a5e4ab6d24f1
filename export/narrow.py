"""Weights of an ONNX file in half the bytes, and back."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

NARROWED_FROM: Final = 1024
"""Numbers in an initialiser: smaller ones are not worth a node."""

_NARROW: Final = ".fp16"


def narrow_weights(model: onnx.ModelProto) -> None:
    """Store large FP32 initialisers as FP16 behind a Cast, where all their numbers are the same in FP16.

    onnxruntime computes such a Cast once, when it loads the file; the graph itself stays FP32.
    """
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) < NARROWED_FROM:
            continue
        values = numpy_helper.to_array(tensor)
        narrow = values.astype(np.float16)
        if np.array_equal(narrow.astype(np.float32), values):
            casts.append(helper.make_node("Cast", [tensor.name + _NARROW], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(narrow, tensor.name + _NARROW))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def widen_weights(model: onnx.ModelProto) -> None:
    """The inverse of :func:`narrow_weights`, for tools that want weights to be plain FP32 initialisers."""
    graph = model.graph
    narrow = {tensor.name: tensor for tensor in graph.initializer if tensor.name.endswith(_NARROW)}
    for tensor in narrow.values():
        wide = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name.removesuffix(_NARROW)))
    nodes = [node for node in graph.node if node.op_type != "Cast" or not node.input[0].endswith(_NARROW)]
    del graph.node[:]
    graph.node.extend(nodes)
