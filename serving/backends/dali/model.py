"""CPU twin of Triton's native ``dali`` backend.

Serves a model folder that holds a serialised pipeline (``model.dali``) or its source (``dali.py``
with ``@autoserialize``), as the native backend does, on ``nvidia.dali`` for CPU. Behaviour follows
the backend's public documentation (github.com/triton-inference-server/dali_backend), with one
difference on purpose: where one photo of a batch cannot be decoded, DALI fails the whole run, so the
twin runs the batch again photo by photo and only the bad one is answered with an error.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

SERIALIZED_NAME: Final = "model.dali"
SOURCE_NAME: Final = "dali.py"
DECODER_DEVICE: Final = "decoder_device"
"""Parameter of a pipeline in ``dali.py`` that chooses its decoder's device: the twin passes ``cpu`` for it."""


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
        self._folder = Path(args["model_repository"]) / args["model_version"]
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
            error = pb_utils.TritonError("The photo could not be decoded by DALI.")
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
        pipeline = _load(self._folder, batch_size=self._batch, num_threads=self._threads)
        pipeline.build()
        return pipeline


def _load(folder: Path, **sizes: int) -> Any:
    """The pipeline of a version folder for this CPU, not built yet."""
    try:
        from nvidia.dali import Pipeline
    except ImportError:
        raise pb_utils.TritonModelException(
            "The dali backend needs NVIDIA DALI: install it (`make install-dali`), or serve the default decoder."
        ) from None
    # One run at a time, answered at once: nothing is prefetched that nobody has asked for.
    options = {**sizes, "prefetch_queue_depth": 1, "exec_async": False, "exec_pipelined": False}
    if (folder / SERIALIZED_NAME).is_file():
        return Pipeline.deserialize(filename=str(folder / SERIALIZED_NAME), device_id=None, **options)
    if not (folder / SOURCE_NAME).is_file():
        raise pb_utils.TritonModelException(f"{folder} holds neither {SERIALIZED_NAME} nor {SOURCE_NAME}.")
    module = _import(folder / SOURCE_NAME)
    found = [item for item in vars(module).values() if getattr(item, "_is_autoserialize", False)]
    if len(found) != 1:
        raise pb_utils.TritonModelException(f"{folder / SOURCE_NAME} must hold exactly one @autoserialize pipeline.")
    device = {DECODER_DEVICE: "cpu"} if DECODER_DEVICE in inspect.signature(found[0]).parameters else {}
    return found[0](device_id=None, **device, **options)


def _import(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"dali_source_of_{path.parent.parent.name}", path)
    if spec is None or spec.loader is None:
        raise pb_utils.TritonModelException(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
