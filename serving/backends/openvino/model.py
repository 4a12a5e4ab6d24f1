"""CPU twin of Triton's native ``openvino`` backend.

A ``config.pbtxt`` with ``backend: "openvino"`` that NVIDIA's image serves natively is served here by the ``openvino``
package with the same observable behaviour, which follows the native backend's public README and source
(github.com/triton-inference-server/openvino_backend):

- the file is ``model.xml``, or what ``default_model_filename`` says (``model.onnx`` is read as well);
- a model with ``max_batch_size`` N is compiled for N rows, and a batch of fewer is refused unless the parameter
  ``ENABLE_BATCH_PADDING`` is ``YES``; with ``max_batch_size: 0`` every request runs alone in the shape it has;
- parameters ``PERFORMANCE_HINT``, ``INFERENCE_NUM_THREADS``, ``COMPILATION_NUM_THREADS``, ``NUM_STREAMS``,
  ``HINT_BF16``, ``RESHAPE_IO_LAYERS``, ``CPU_EXTENSION_PATH``; ``SKIP_OV_DYNAMIC_BATCHSIZE`` changes nothing here.

Two differences, on purpose. Without ``HINT_BF16`` this one computes in FP32, where the native one leaves the choice to
OpenVINO, which takes bfloat16 on processors with AMX: a release's answers should not depend on the processor. And the
instances of a model are processes, each with a compiled model of its own, so give each the threads of one instance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

from contract.engines import import_openvino

openvino = import_openvino()

DEVICE: Final = "CPU"

DATATYPES: Final = {
    "f32": "TYPE_FP32",
    "f16": "TYPE_FP16",
    "f64": "TYPE_FP64",
    "u8": "TYPE_UINT8",
    "i8": "TYPE_INT8",
    "u16": "TYPE_UINT16",
    "i16": "TYPE_INT16",
    "u32": "TYPE_UINT32",
    "i32": "TYPE_INT32",
    "u64": "TYPE_UINT64",
    "i64": "TYPE_INT64",
    "boolean": "TYPE_BOOL",
}

COUNTS: Final = ("INFERENCE_NUM_THREADS", "COMPILATION_NUM_THREADS")
HINTS: Final = ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")


class TritonPythonModel:
    """One instance: one compiled model with one infer request."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in inputs and outputs from the file where the config has none; the batch size stays as it is, since
        files without layouts, as ONNX files are, do not say whether they can batch."""
        config = auto_complete_model_config.as_dict()
        if config.get("input") and config.get("output"):
            return auto_complete_model_config
        model = openvino.Core().read_model(_completed_model_file(config))
        first = 1 if config.get("max_batch_size") else 0
        for tensor in model.inputs if not config.get("input") else ():
            auto_complete_model_config.add_input(_tensor_config(tensor, first))
        for tensor in model.outputs if not config.get("output") else ():
            auto_complete_model_config.add_output(_tensor_config(tensor, first))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model file of this version; raises with a sentence if it or the config cannot be served."""
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] != "CPU":
            kind = args["model_instance_kind"]
            raise _refusal(f"Model {args['model_name']} asks for KIND_{kind}: the openvino backend is for KIND_CPU.")
        path = Path(args["model_repository"]) / args["model_version"] / _file_name(config)
        if not path.is_file():
            raise _refusal(f"{path} is missing: export the model again.")
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        core = openvino.Core()
        if extension := parameters.get("CPU_EXTENSION_PATH"):
            core.add_extension(extension)
        model = core.read_model(path)
        self._rows = int(config["max_batch_size"])
        self._pads = _said(parameters, "ENABLE_BATCH_PADDING")
        _reshape(model, config["input"], self._rows, _said(parameters, "RESHAPE_IO_LAYERS"))
        compiled = core.compile_model(model, DEVICE, properties(parameters))
        self._request = compiled.create_infer_request()
        self._inputs = [tensor.any_name for tensor in compiled.inputs]
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One run for all requests of a batch, padded if allowed; each gets its rows back, in order.

        As in the native backend, a run that fails answers every request of that run with the error.
        """
        groups = [requests] if self._rows else [[request] for request in requests]
        return [response for group in groups for response in self._run(group)]

    def _run(self, requests: list[Any]) -> list[Any]:
        arrays = {
            name: [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            for name in self._inputs
        }
        lengths = [len(rows) for rows in arrays[self._inputs[0]]]
        try:
            results = self._infer({name: self._filled(rows, sum(lengths)) for name, rows in arrays.items()})
        except Exception as error:  # noqa: BLE001  # openvino's errors share no other base
            text = f"openvino: {error}"
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(text)) for _ in requests]
        if not self._rows:
            return [_response(request, results) for request in requests]
        ends = np.cumsum(lengths).tolist()
        return [
            _response(request, {name: rows[end - length : end] for name, rows in results.items()})
            for request, length, end in zip(requests, lengths, ends, strict=True)
        ]

    def _filled(self, rows: list[Any], count: int) -> Any:
        """The rows of all requests as one array of ``max_batch_size`` rows; of one request's shape without batching."""
        if not self._rows or (len(rows) == 1 and count == self._rows):
            return np.ascontiguousarray(rows[0])
        if count != self._rows and not self._pads:
            raise ValueError(
                f"the model is compiled for batches of {self._rows} and got one of {count}: set the parameter "
                "ENABLE_BATCH_PADDING to YES (at a cost), or set max_batch_size to 0 and give the batch among the dims"
            )
        padding = np.zeros((self._rows - count, *rows[0].shape[1:]), rows[0].dtype)
        return np.concatenate([*rows, padding])

    def _infer(self, inputs: dict[str, Any]) -> dict[str, Any]:
        self._request.infer({name: openvino.Tensor(rows, shared_memory=True) for name, rows in inputs.items()})
        return {name: self._request.get_tensor(name).data.copy() for name in self._outputs}


def _response(request: Any, results: dict[str, Any]) -> Any:
    return pb_utils.InferenceResponse(
        output_tensors=[
            pb_utils.Tensor(name, np.ascontiguousarray(results[name])) for name in request.requested_output_names()
        ]
    )


def properties(parameters: dict[str, str]) -> dict[str, Any]:
    """Properties of the compiled model from the parameters that the native backend reads; raises with a sentence."""
    found: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    for name in COUNTS:
        if name in parameters:
            if not parameters[name].isdigit():
                raise _refusal(f"The parameter {name} has to be a number that is not negative: {parameters[name]!r}.")
            found[name] = int(parameters[name])
    if "NUM_STREAMS" in parameters:
        streams = parameters["NUM_STREAMS"].upper()
        if not streams.isdigit() and streams not in ("AUTO", "NUMA"):
            raise _refusal(f"The parameter NUM_STREAMS has to be AUTO, NUMA or a number: {streams!r}.")
        found["NUM_STREAMS"] = streams
    if "PERFORMANCE_HINT" in parameters:
        hint = parameters["PERFORMANCE_HINT"].upper()
        if hint not in HINTS:
            raise _refusal(f"The parameter PERFORMANCE_HINT has to be one of {', '.join(HINTS)}: {hint!r}.")
        found["PERFORMANCE_HINT"] = hint
    if "HINT_BF16" in parameters:
        if not _said(parameters, "HINT_BF16"):
            raise _refusal(f"The parameter HINT_BF16 has to be YES: {parameters['HINT_BF16']!r}.")
        found["INFERENCE_PRECISION_HINT"] = "bf16"
    return found


def _said(parameters: dict[str, str], name: str) -> bool:
    return parameters.get(name, "").lower() == "yes"


def _reshape(model: Any, inputs: list[dict[str, Any]], rows: int, as_configured: bool) -> None:
    """Give the model ``rows`` rows (0: as in the file), and the configuration's dims if they are to count."""
    dims = {tensor["name"]: [int(side) for side in tensor["dims"]] for tensor in inputs}
    shapes = {}
    for tensor in model.inputs:
        shape = list(tensor.partial_shape)
        if as_configured and tensor.any_name in dims:
            shape[1 if rows else 0 :] = dims[tensor.any_name]
        if rows:
            shape[0] = rows
        shapes[tensor.any_name] = openvino.PartialShape(shape)
    model.reshape(shapes)


def _file_name(config: dict[str, Any]) -> str:
    return config.get("default_model_filename") or "model.xml"


def _completed_model_file(config: dict[str, Any]) -> Path:
    """The file that is being completed: the stub's own command line names a file in the version folder."""
    arguments = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    path = Path(arguments[1].decode()).parent / _file_name(config)
    if not path.is_file():
        raise _refusal(f"{path} is missing: export the model again.")
    return path


def _tensor_config(tensor: Any, first: int) -> dict[str, Any]:
    shape = tensor.partial_shape
    sides = [side.get_length() if shape.is_static else -1 for side in shape]
    return {"name": tensor.any_name, "data_type": DATATYPES[tensor.element_type.to_string()], "dims": sides[first:]}


def _refusal(sentence: str) -> Exception:
    error: Exception = pb_utils.TritonModelException(sentence)
    return error
