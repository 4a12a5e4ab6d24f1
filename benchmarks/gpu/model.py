"""A network of the release in Triton, run by an engine of :mod:`benchmarks.gpu.engines`.

Copied into the repository that the script serves: the wheel's Triton has no native backend but ``python``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process


class TritonPythonModel:
    """One engine; all requests that the dynamic batcher put together are one run."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load what the parameters say."""
        config = json.loads(args["model_config"])
        given = {name: value["string_value"] for name, value in config["parameters"].items()}
        sys.path.insert(0, given["root"])
        from benchmarks.gpu.engines import load

        network = config["name"]
        self._input, self._output = config["input"][0]["name"], config["output"][0]["name"]
        self._run = load(given["engine"], network, Path(given["file"]), given["device"], Path(given["scratch"]))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Rows of all requests together; each gets its own back."""
        arrays = [pb_utils.get_input_tensor_by_name(request, self._input).as_numpy() for request in requests]
        try:
            found = self._run(np.concatenate(arrays))
        except Exception as error:  # noqa: BLE001  # engines' errors share no other base
            text = f"{type(error).__name__}: {error}"
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(text)) for _ in requests]
        ends = np.cumsum([len(rows) for rows in arrays])
        return [
            pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(self._output, found[end - len(rows) : end])])
            for rows, end in zip(arrays, ends, strict=True)
        ]
