"""A TensorRT plan from an exported ONNX file, where TensorRT is installed."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.tensors import MAX_BATCH, TensorSpec
from export.configs import OPT_BATCH
from export.errors import TensorRTError
from imaging.decode import Pixels


def check_installed() -> None:
    """Raises TensorRTError if TensorRT or polygraphy is not installed."""
    for package in ("tensorrt", "polygraphy"):
        if importlib.util.find_spec(package) is None:
            raise TensorRTError(
                f"The package {package} is not installed. Build the plan in NVIDIA's TensorRT or Triton image,"
                " on a GPU of the kind that will serve it."
            )


def build_plan(onnx_file: Path, plan_file: Path, pictures: TensorSpec) -> None:
    """Build an FP16 engine of a network that takes ``pictures`` in batches of 1 to ``MAX_BATCH``, fastest at
    ``OPT_BATCH``, for this GPU.

    Raises TensorRTError if TensorRT or polygraphy is not installed or the ONNX file is not there.
    """
    check_installed()
    if not onnx_file.is_file():
        raise TensorRTError(f"No network at {onnx_file}. Build a release first with `python -m export build`.")
    import onnx
    from polygraphy.backend.trt import CreateConfig, Profile, engine_from_network, network_from_onnx_bytes, save_engine

    from export.narrow import widen_weights

    model = onnx.load(onnx_file)
    widen_weights(model)  # TensorRT wants the weights of a convolution as constants
    sizes = {
        "min": (1, *pictures.shape),
        "opt": (OPT_BATCH, *pictures.shape),
        "max": (MAX_BATCH, *pictures.shape),
    }
    config = CreateConfig(fp16=True, profiles=[Profile().add(pictures.name, **sizes)])
    engine = engine_from_network(network_from_onnx_bytes(model.SerializeToString()), config=config)
    save_engine(engine, path=str(plan_file))


def plan_predictor(onnx_file: Path, pictures: TensorSpec) -> Callable[[Pixels], npt.NDArray[np.float32]]:
    """The answers of an FP16 engine that is built for this GPU and not kept: UINT8 [N, ...] -> FP32 [N, ...].

    Raises TensorRTError as :func:`build_plan`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plan = Path(scratch) / "model.plan"
        build_plan(onnx_file, plan, pictures)
        engine = plan.read_bytes()
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    runner = TrtRunner(EngineFromBytes(engine))
    runner.activate()

    def predict(pixels: Pixels) -> npt.NDArray[np.float32]:
        (answer,) = runner.infer({pictures.name: pixels}).values()
        return np.array(answer, np.float32)  # the runner writes over its own buffer

    return predict
