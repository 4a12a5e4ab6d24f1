"""Weights in half the bytes are the same weights."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from export.narrow import NARROWED_FROM, narrow_weights, widen_weights  # noqa: E402


def _model(weights: np.ndarray) -> "onnx.ModelProto":
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", weights.shape[1]])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _weights() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(64, 64)).astype(np.float16).astype(np.float32)


def _answer(model: "onnx.ModelProto") -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones((1, 64), np.float32)})[0]


def test_half_the_bytes_answer_the_same() -> None:
    wide, narrow = _model(_weights()), _model(_weights())
    narrow_weights(narrow)
    onnx.checker.check_model(narrow, full_check=True)
    assert narrow.ByteSize() < 0.6 * wide.ByteSize()
    assert np.array_equal(_answer(wide), _answer(narrow))


def test_widening_gives_back_the_file() -> None:
    narrow = _model(_weights())
    narrow_weights(narrow)
    widen_weights(narrow)
    assert narrow == _model(_weights())


def test_weights_that_would_change_stay_wide() -> None:
    exact = _weights() + np.float32(1e-6)
    model = _model(exact)
    narrow_weights(model)
    assert model == _model(exact)


def test_small_constants_stay_as_they_are() -> None:
    weights = _weights()[:, : NARROWED_FROM // 64 - 1]
    model = _model(np.ascontiguousarray(weights))
    narrow_weights(model)
    assert model.graph.initializer[0].data_type == TensorProto.FLOAT
