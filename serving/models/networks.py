"""Networks that run in the process of ``animals``: on a CPU a call of another process costs more than it earns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime

from contract.engines import import_openvino, read_for_one
from contract.tensors import network_bf16_file, network_engine, network_file
from serving.errors import NetworkError
from serving.models.decoding import Call
from serving.models.errors import ModelCallError

_TYPES: Final = MappingProxyType({"tensor(uint8)": np.uint8, "tensor(float)": np.float32})
"""Element types of pictures, in onnxruntime's words."""

DEFAULT_ENGINE: Final = "onnxruntime"
BF16_ENGINE: Final = "openvino-bf16"
MOST_LANES: Final = 4
"""Parts of a batch that OpenVINO runs at once; each lane keeps the weights for itself."""


class Network(Protocol):
    """One loaded network. Several threads may run it at once, each run on one core."""

    def run(self, wanted: Sequence[str], inputs: Mapping[str, Any]) -> list[Any]:
        """Arrays of the outputs ``wanted``, in that order, for ``inputs`` by name [B, ...]. Raises what the engine
        raises for inputs that do not fit."""
        ...

    def warm_up(self) -> None:
        """Run it once with a black picture."""
        ...


class InlineNetworks:
    """A ``Call`` that answers for some models itself and hands the rest on (decision 0013).

    One thread a run, as ``intra_op_thread_count: 1`` of the models beside it: the batch is split among the cores by
    instances and by :class:`~serving.models.pipeline.Pipeline`, and two photos at once beat one on two threads.
    """

    def __init__(
        self, files: Mapping[str, Path], otherwise: Call, engines: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Load ``files`` (model's name -> ONNX file) with ``engines`` (model's name -> a key of ``ENGINES``; absent,
        ``DEFAULT_ENGINE``). Raises NetworkError for an engine that is not there, and what the engine raises, with
        the file's path."""
        self._networks = {model: load(path, engines.get(model, DEFAULT_ENGINE)) for model, path in files.items()}
        self._otherwise = otherwise

    def warm_up(self) -> None:
        """Run each network once with one black picture: the first run of a session takes longer than the next."""
        for network in self._networks.values():
            network.warm_up()

    def __call__(self, model: str, inputs: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
        """See ``serving.models.decoding.Call``; networks may be used by several threads at once."""
        network = self._networks.get(model)
        if network is None:
            return self._otherwise(model, inputs, wanted)
        try:
            return dict(zip(wanted, network.run(wanted, inputs), strict=True))
        except Exception as error:  # the engines' errors share no other base
            raise ModelCallError(f"{model}: {error}") from error


def has_amx() -> bool:
    """Whether this processor has AMX for bfloat16, with which a float32 file is faster than an 8-bit one; False where
    the system does not say. (AVX-512 BF16 alone was not measured.)"""
    try:
        return " amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def choose(network: str, parameters: Mapping[str, str], *, bf16: bool) -> tuple[str, str] | None:
    """File and engine of a network by the parameters of ``animals``; None if another model runs it.

    ``bf16``: whether the processor has AMX for it (:func:`has_amx`).
    """
    file = parameters.get(network_file(network))
    wide = parameters.get(network_bf16_file(network))
    if file is not None and wide is not None and bf16:
        return wide, BF16_ENGINE
    return None if file is None else (file, parameters.get(network_engine(network), DEFAULT_ENGINE))


def load(path: Path, engine: str) -> Network:
    """An ONNX file in one of ``ENGINES``. Raises as :class:`InlineNetworks` does."""
    if engine not in ENGINES:
        raise NetworkError(
            f"There is no engine {engine!r} for {path.name}: choose one of {', '.join(sorted(ENGINES))}."
        )
    return ENGINES[engine](path)


class OnnxRuntimeNetwork:
    """A session of onnxruntime, which takes any batch and any number of threads."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, wanted: Sequence[str], inputs: Mapping[str, Any]) -> list[Any]:
        """See :class:`Network`."""
        results: list[Any] = self._session.run(wanted, inputs)
        return results

    def warm_up(self) -> None:
        """See :class:`Network`."""
        inputs = {
            one.name: np.zeros([side if isinstance(side, int) else 1 for side in one.shape], _TYPES[one.type])
            for one in self._session.get_inputs()
        }
        self._session.run(None, inputs)


class OpenVinoNetwork:
    """A model that OpenVINO compiled for one picture, as which it is faster than for any number (docs/engines.md).

    The pictures of a batch are run one by one. Every lane is compiled for itself with one stream of one thread, which
    OpenVINO runs on the thread that asks: with several streams it would run on threads of its own, made when the model
    was loaded, at the priority of a load (``serving.models.gentle``).

    ``precision`` f32 means the file's own, 8-bit where the graph is. OpenVINO's own choice on processors with AMX is
    bf16, whose answers would differ from those that the release was measured with: that has to be asked for.
    """

    def __init__(self, path: Path, precision: str = "f32") -> None:
        try:
            core, model = read_for_one(path)
        except ImportError:
            raise NetworkError(
                f"The engine openvino of {path.name} is not installed: pip install openvino, or name onnxruntime."
            ) from None
        properties = {
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": 1,
            "ENABLE_CPU_PINNING": False,  # instances would all sit on the first core
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._tensor = import_openvino().Tensor
        self._lanes = min(MOST_LANES, len(os.sched_getaffinity(0)))
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self._lanes):
            self._idle.put(core.compile_model(model, "CPU", properties).create_infer_request())

    def run(self, wanted: Sequence[str], inputs: Mapping[str, Any]) -> list[Any]:
        """See :class:`Network`."""
        arrays = {name: np.ascontiguousarray(rows) for name, rows in inputs.items()}
        answers: list[list[Any]] = [[] for _ in wanted]
        request = self._idle.get()
        try:
            for row in range(len(next(iter(arrays.values())))):
                picture = {name: self._tensor(rows[row : row + 1], shared_memory=True) for name, rows in arrays.items()}
                request.infer(picture)
                for found, name in zip(answers, wanted, strict=True):
                    found.append(request.get_tensor(name).data.copy())  # the next run writes there
        finally:
            self._idle.put(request)
        return [found[0] if len(found) == 1 else np.concatenate(found) for found in answers]

    def warm_up(self) -> None:
        """See :class:`Network`. Its tensors are zero to begin with; every lane has memory of its own."""
        for _ in range(self._lanes):
            request = self._idle.get()
            request.infer()
            self._idle.put(request)


ENGINES: Final[Mapping[str, Callable[[Path], Network]]] = MappingProxyType(
    {
        "onnxruntime": OnnxRuntimeNetwork,
        "openvino": OpenVinoNetwork,
        BF16_ENGINE: partial(OpenVinoNetwork, precision="bf16"),
    }
)
"""Name in the configuration -> what loads a file. ``openvino-bf16`` computes a float32 file in bfloat16 where the
processor has instructions for it (AMX, AVX-512 BF16), and in float32 elsewhere."""
