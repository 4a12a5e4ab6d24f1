"""CPU twin of Triton's native ``dali`` backend.

Serves a model folder that holds a serialised pipeline (``model.dali``) or its source (``dali.py``
with ``@autoserialize``), as the native backend does, on ``nvidia.dali`` for CPU. Behaviour follows
the backend's public documentation (github.com/triton-inference-server/dali_backend), with one
difference on purpose: where one photo of a batch cannot be decoded, DALI fails the whole run, so the
twin runs the batch again photo by photo and only the bad one is answered with an error.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

SERIALIZED_NAME: Final = "model.dali"
SOURCE_NAME: Final = "dali.py"
DEVICE_VARIABLE: Final = "BESTIARY_DALI_DEVICE"
"""Environment variable by which ``dali.py`` learns that its decoder must be ``cpu``, not ``mixed``."""


class TritonPythonModel:
    """One instance: one DALI pipeline, built again after a failed run (a failed pipeline is unusable)."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the pipeline; raises with a sentence where DALI is not installed or a GPU is asked for."""
        if args["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException(
                f"Model {args['model_name']} asks for KIND_GPU, and this dali backend is the CPU twin: serve the "
                "`cpu` profile here, or use NVIDIA's Triton image on a machine with a GPU."
            )
        config = json.loads(args["model_config"])
        self._batch = max(1, int(config["max_batch_size"]))
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        self._threads = int(parameters.get("num_threads", 1))
        self._serialized = _serialized(Path(args["model_repository"]) / args["model_version"])
        self._pipeline = self._build()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One pipeline run for all requests; if it fails, one run per photo so that only bad ones fail."""
        arrays = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        counts = [len(next(iter(array.values()))) for array in arrays]
        samples = {name: [row for array in arrays for row in array[name]] for name in self._inputs}
        results: dict[str, Any] | None = self._try(samples)
        if results is None and len(requests) > 1:
            return [response for request in requests for response in self.execute([request])]
        if results is None:
            error = pb_utils.TritonError("The photo could not be decoded by DALI.", pb_utils.TritonError.INVALID_ARG)
            return [pb_utils.InferenceResponse(error=error)]
        ends = np.cumsum(counts)
        return [
            pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor(name, results[name][end - count : end]) for name in request.requested_output_names()
                ]
            )
            for request, count, end in zip(requests, counts, ends, strict=True)
        ]

    def _try(self, samples: dict[str, list[Any]]) -> dict[str, Any] | None:
        """Outputs stacked by photo, or None where DALI refused the run."""
        try:
            for name, rows in samples.items():
                self._pipeline.feed_input(name, rows)
            outputs = self._pipeline.run()
        except RuntimeError:  # DALI's only error type for a sample that it cannot process
            self._pipeline = self._build()
            return None
        return {name: np.asarray(output.as_array()) for name, output in zip(self._outputs, outputs, strict=True)}

    def _build(self) -> Any:
        from nvidia.dali import Pipeline

        pipeline = Pipeline.deserialize(
            serialized_pipeline=self._serialized,
            batch_size=self._batch,
            num_threads=self._threads,
            device_id=None,
            prefetch_queue_depth=1,
            exec_pipelined=False,
            exec_async=False,
        )
        pipeline.build()
        return pipeline


def _serialized(folder: Path) -> bytes:
    """The pipeline as DALI's own protobuf, from ``model.dali`` or by running ``dali.py``."""
    try:
        from nvidia.dali._utils.autoserialize_utils import invoke_autoserialize
    except ImportError:
        raise pb_utils.TritonModelException(
            "The dali backend needs NVIDIA DALI: install it (`make install-dali`), or serve the default decoder."
        ) from None
    if (folder / SERIALIZED_NAME).is_file():
        return (folder / SERIALIZED_NAME).read_bytes()
    if not (folder / SOURCE_NAME).is_file():
        raise pb_utils.TritonModelException(f"{folder} holds neither {SERIALIZED_NAME} nor {SOURCE_NAME}.")
    os.environ[DEVICE_VARIABLE] = "cpu"
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / SERIALIZED_NAME
        invoke_autoserialize(_import(folder / SOURCE_NAME), str(target))
        return target.read_bytes()


def _import(path: Path) -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"bestiary_dali_{path.parent.parent.name}", path)
    assert spec is not None and spec.loader is not None  # a .py path always has both
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
