"""OpenVINO without its telemetry, for whoever runs a network or checks one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_TELEMETRY: Final = "openvino_telemetry"


def import_openvino() -> ModuleType:
    """The module ``openvino``. Raises ImportError if it is not installed.

    Importing it reports the import to Google Analytics (``openvino/tools/ovc/__init__.py`` of 2026.4) through a package
    that it can do without: it takes a stub of its own where that is not there. So to it, it is not there. Nobody who
    has photos looked at here agreed to such reports, and a cluster without a way out would log failures.
    """
    if _TELEMETRY not in sys.modules:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # the documented way to make an import fail
    return importlib.import_module("openvino")


def read_for_one(path: Path) -> tuple[Any, Any]:
    """``openvino.Core`` and the model of an ONNX file, its batch set to one picture: compiled for one it is faster than
    for any number (docs/engines.md). Raises ImportError without OpenVINO, and what OpenVINO raises for the file."""
    core = import_openvino().Core()
    model = core.read_model(path)
    model.reshape({tensor.any_name: [1, *tensor.partial_shape[1:]] for tensor in model.inputs})
    return core, model


def computes_in_bf16() -> bool:
    """Whether OpenVINO is installed and has instructions for bfloat16 (AMX or AVX-512) on this processor."""
    try:
        openvino = import_openvino()
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
