"""What ``animals`` takes from Triton's Python backend, for a process without Triton.

Names and signatures are those of triton-inference-server/python_backend, README, "Usage"; only what a model of ours
uses is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import numpy.typing as npt

Call = Callable[[str, Mapping[str, npt.NDArray[Any]], tuple[str, ...]], Mapping[str, npt.NDArray[Any]]]
"""Answers for another model: its name, inputs, wanted outputs -> outputs. Raises ValueError if it cannot."""

MODULE: Final = "triton_python_backend_utils"


class TritonError(Exception):
    """An error that a response carries."""

    INVALID_ARG: Final = 3
    INTERNAL: Final = 1
    UNAVAILABLE: Final = 4

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        super().__init__(message)
        self._message, self._code = message, code

    def message(self) -> str:
        """What went wrong."""
        return self._message

    def code(self) -> int:
        """Kind of error."""
        return self._code


class TritonModelException(Exception):
    """The model cannot be loaded."""


class Tensor:
    """A named array."""

    def __init__(self, name: str, values: npt.NDArray[Any]) -> None:
        self._name, self._values = name, values

    def name(self) -> str:
        """Its name."""
        return self._name

    def as_numpy(self) -> npt.NDArray[Any]:
        """Its values."""
        return self._values


class InferenceResponse:
    """Outputs, or an error."""

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        """All outputs."""
        return self._tensors

    def has_error(self) -> bool:
        """Whether it carries an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """The error, if any."""
        return self._error


class InferenceRequest:
    """A request to ``animals``, or by it to a model beside it."""

    call: Call
    """Who answers :meth:`exec`; set by :func:`install`."""

    def __init__(
        self,
        model_name: str = "",
        requested_output_names: Sequence[str] = (),
        inputs: Sequence[Tensor] = (),
        parameters: str = "",
        **_: Any,
    ) -> None:
        self._model, self._wanted = model_name, list(requested_output_names)
        self._inputs = {tensor.name(): tensor for tensor in inputs}
        self._parameters = parameters

    def requested_output_names(self) -> list[str]:
        """Outputs that the caller wants."""
        return self._wanted

    def parameters(self) -> str:
        """The request's parameters as JSON."""
        return self._parameters

    def inputs(self) -> list[Tensor]:
        """All inputs."""
        return list(self._inputs.values())

    def exec(self) -> InferenceResponse:
        """Ask the model."""
        arrays = {name: tensor.as_numpy() for name, tensor in self._inputs.items()}
        try:
            found = InferenceRequest.call(self._model, arrays, tuple(self._wanted))
        except ValueError as error:
            return InferenceResponse(error=TritonError(str(error)))
        return InferenceResponse([Tensor(name, values) for name, values in found.items()])


class Logger:
    """Triton's log; nobody reads it here."""

    @staticmethod
    def log_info(message: str) -> None:
        """Forget it."""

    log_warn = log_error = log_verbose = log_info


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """An input of a request, None if it has no such."""
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


def install(call: Call) -> None:
    """Let this process find these names in ``triton_python_backend_utils``; ``call`` answers for other models."""
    InferenceRequest.call = staticmethod(call)
    module = ModuleType(MODULE)
    for part in (TritonError, TritonModelException, Tensor, InferenceResponse, InferenceRequest, Logger):
        setattr(module, part.__name__, part)
    setattr(module, get_input_tensor_by_name.__name__, get_input_tensor_by_name)
    sys.modules[MODULE] = module
