"""CPU twin of Triton's native ``onnxruntime`` backend.

A ``config.pbtxt`` with ``backend: "onnxruntime"`` that NVIDIA's image serves natively is served here
by the ``onnxruntime`` package with the same observable behaviour: auto-completed configuration,
thread counts and graph level from the configuration, one session per instance, one run for all
requests that the dynamic batcher put together. Behaviour follows the backend's public README
(github.com/triton-inference-server/onnxruntime_backend).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

DEFAULT_MAX_BATCH_SIZE: Final = 4
"""What the native backend completes for a model with a dynamic first dimension."""

DATATYPES: Final = {
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(double)": "TYPE_FP64",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int8)": "TYPE_INT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(bool)": "TYPE_BOOL",
    "tensor(string)": "TYPE_STRING",
}

GRAPH_LEVELS: Final = {
    "-1": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "0": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "1": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "2": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
"""``optimization { graph { level } }`` as the native backend reads it."""

_SCHEDULERS = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")


class TritonPythonModel:
    """One instance: one ``onnxruntime.InferenceSession``."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in inputs, outputs, batch size and batching from the ONNX file where the config is silent."""
        config = auto_complete_model_config.as_dict()
        inputs, outputs = config.get("input") or [], config.get("output") or []
        if config.get("max_batch_size") and inputs and outputs:
            return auto_complete_model_config  # nothing to add, and no reason to load the file twice
        session = onnxruntime.InferenceSession(str(_completed_model_file(config)), providers=["CPUExecutionProvider"])
        batched = bool(config.get("max_batch_size"))
        if not batched and not inputs and not outputs and _can_batch(session):
            batched = True
            auto_complete_model_config.set_max_batch_size(DEFAULT_MAX_BATCH_SIZE)
            if not any(config.get(scheduler) for scheduler in _SCHEDULERS):
                auto_complete_model_config.set_dynamic_batching()
        for tensor in session.get_inputs() if not inputs else ():
            auto_complete_model_config.add_input(_tensor_config(tensor, batched))
        for tensor in session.get_outputs() if not outputs else ():
            auto_complete_model_config.add_output(_tensor_config(tensor, batched))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model file of this version; raises with a sentence if it or the config cannot be served."""
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException(
                f"Model {args['model_name']} asks for KIND_GPU, and this onnxruntime backend is the CPU twin: "
                "serve the `cpu` profile here, or use NVIDIA's Triton image on a machine with a GPU."
            )
        path = Path(args["model_repository"]) / args["model_version"] / _file_name(config)
        if not path.is_file():
            raise pb_utils.TritonModelException(f"{path} is missing: export the model again.")
        self._session = onnxruntime.InferenceSession(
            str(path), session_options(config), providers=["CPUExecutionProvider"]
        )
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        self._batched = int(config["max_batch_size"]) > 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """One ``run`` for all requests of a batch; each gets its rows back, in order.

        As in the native backend, a run that fails answers every request of that run with the error.
        """
        groups = [requests] if self._batched else [[request] for request in requests]
        return [response for group in groups for response in self._execute_group(group)]

    def _execute_group(self, requests: list[Any]) -> list[Any]:
        arrays = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            for name in self._inputs
        ]
        feed = {
            name: rows[0] if len(rows) == 1 else np.concatenate(rows)
            for name, rows in zip(self._inputs, arrays, strict=True)
        }
        wanted = {name for request in requests for name in request.requested_output_names()}
        names = [name for name in self._outputs if name in wanted]
        try:
            results = dict(zip(names, self._session.run(names, feed), strict=True))
        except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no other base
            text = f"onnxruntime: {error}"
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(text)) for _ in requests]
        ends = np.cumsum([len(rows) for rows in arrays[0]])
        return [
            _response(request, results, slice(end - len(rows), end) if len(requests) > 1 else slice(None))
            for request, rows, end in zip(requests, arrays[0], ends, strict=True)
        ]


def _response(request: Any, results: dict[str, Any], rows: slice) -> Any:
    return pb_utils.InferenceResponse(
        output_tensors=[
            pb_utils.Tensor(name, np.ascontiguousarray(results[name][rows]))
            for name in request.requested_output_names()
        ]
    )


def session_options(config: dict[str, Any]) -> onnxruntime.SessionOptions:
    """Session options from the parameters and the optimisation block that the native backend reads."""
    options = onnxruntime.SessionOptions()
    parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 0))
    if parameters.get("execution_mode") == "1":
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    if "enable_mem_arena" in parameters:
        options.enable_cpu_mem_arena = parameters["enable_mem_arena"] == "1"
    if "enable_mem_pattern" in parameters:
        options.enable_mem_pattern = parameters["enable_mem_pattern"] == "1"
    level = str(config.get("optimization", {}).get("graph", {}).get("level", "0"))
    options.graph_optimization_level = GRAPH_LEVELS.get(level, GRAPH_LEVELS["0"])
    # An idle instance must not spin: on a small machine it would take the cores of the decoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _file_name(config: dict[str, Any]) -> str:
    return config.get("default_model_filename") or "model.onnx"


def _completed_model_file(config: dict[str, Any]) -> Path:
    """The file that is being completed. Triton does not pass its path to the hook, but the stub's own
    command line names a file in the version folder as its first argument."""
    arguments = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    path = Path(arguments[1].decode()).parent / _file_name(config)
    if not path.is_file():
        raise pb_utils.TritonModelException(f"{path} is missing: export the model again.")
    return path


def _can_batch(session: onnxruntime.InferenceSession) -> bool:
    tensors = (*session.get_inputs(), *session.get_outputs())
    return all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in tensors)


def _tensor_config(tensor: Any, batched: bool) -> dict[str, Any]:
    shape = tensor.shape[1:] if batched else tensor.shape
    dims = [side if isinstance(side, int) else -1 for side in shape]
    return {"name": tensor.name, "data_type": DATATYPES[tensor.type], "dims": dims}
