"""Networks that run in the process of ``animals``: on a CPU a call of another process costs more than it earns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from serving.models.decoding import Call
from serving.models.errors import ModelCallError

_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
"""Element types of pictures, in onnxruntime's words."""


class InlineNetworks:
    """A ``Call`` that answers for some models itself and hands the rest on (decision 0013).

    One thread a run, as ``intra_op_thread_count: 1`` of the models beside it: the batch is split among the cores by
    instances and by :class:`~serving.models.pipeline.Pipeline`, and two photos at once beat one on two threads.
    """

    def __init__(self, files: Mapping[str, Path], otherwise: Call) -> None:
        """Load ``files`` (model's name -> ONNX file). Raises what onnxruntime raises, with the file's path."""
        self._sessions = {model: _session(path) for model, path in files.items()}
        self._otherwise = otherwise

    def warm_up(self) -> None:
        """Run each network once with one black picture: the first run of a session takes longer than the next."""
        for session in self._sessions.values():
            inputs = {
                one.name: np.zeros([side if isinstance(side, int) else 1 for side in one.shape], _TYPES[one.type])
                for one in session.get_inputs()
            }
            session.run(None, inputs)

    def __call__(self, model: str, inputs: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
        """See ``serving.models.decoding.Call``; sessions may be used by several threads at once."""
        session = self._sessions.get(model)
        if session is None:
            return self._otherwise(model, inputs, wanted)
        try:
            return dict(zip(wanted, session.run(wanted, inputs), strict=True))
        except Exception as error:  # onnxruntime's errors share no other base
            raise ModelCallError(f"{model}: {error}") from error


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
