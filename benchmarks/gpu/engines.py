"""The engines that can run a release's networks here, best first, behind one function: pictures in, answers out."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from contract.tensors import DETECTOR, IMAGE, MAX_BATCH, SCENE, TensorSpec
from imaging.decode import Pixels

Floats = npt.NDArray[np.float32]
Run = Callable[[Pixels], Floats]
"""UINT8 [N, side, side, 3] in host memory, N up to ``MAX_BATCH`` -> FP32 [N, ...] in host memory. By one thread
at a time."""

CUDA: Final = "cuda"
CPU: Final = "cpu"
DEVICES: Final = (CUDA, CPU)

GRAPH_BATCHES: Final = (1, 2, 4, 8, 16, MAX_BATCH)
"""A CUDA graph has fixed shapes: a batch runs in the next larger one of these."""

TENSORRT: Final = "tensorrt fp16"
ONNXRUNTIME: Final = "onnxruntime"
TORCH: Final = {"torch bf16": torch.bfloat16, "torch fp16": torch.float16, "torch fp32": torch.float32}
ALL: Final = (TENSORRT, ONNXRUNTIME, *TORCH)
"""Best first; the ones after the best are there in case that it does not answer as the CPU release does."""


class NoEngine(RuntimeError):
    """An engine cannot run here; ``str()`` says why."""


def check_device(device: str) -> str:
    """The name of the device. Raises NoEngine where PyTorch sees no GPU."""
    if device == CPU:
        return "CPU (dry run: no figure of it says anything about a GPU)"
    if not torch.cuda.is_available():
        built = "it sees none" if torch.version.cuda else f"PyTorch {torch.__version__} is built without CUDA"
        raise NoEngine(
            f"There is no NVIDIA GPU that PyTorch can use here ({built}): run this on a machine with one,"
            " or add --device cpu to try the script without."
        )
    return str(torch.cuda.get_device_name())


def pictures_of(network: str) -> TensorSpec:
    """What a network takes."""
    return SCENE if network == DETECTOR else IMAGE


def load(engine: str, network: str, file: Path, device: str, scratch: Path) -> Run:
    """A network's ONNX file in one of ``ALL``. Plans are built in ``scratch``, once. Raises NoEngine."""
    if engine == TENSORRT:
        return _tensorrt(network, file, device, scratch)
    if engine == ONNXRUNTIME:
        return _onnxruntime(file, device)
    return _torch(network, file, device, TORCH[engine])


def _tensorrt(network: str, file: Path, device: str, scratch: Path) -> Run:
    from export.errors import TensorRTError
    from export.tensorrt import build_plan

    if device != CUDA or importlib.util.find_spec("tensorrt") is None:
        raise NoEngine("tensorrt is not installed" if device == CUDA else "tensorrt needs a GPU")
    plan = scratch / f"{network}.plan"
    if not plan.is_file():
        try:
            build_plan(file, plan, pictures_of(network))
        except TensorRTError as error:
            raise NoEngine(str(error)) from error
    trt = importlib.import_module("tensorrt")
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise NoEngine(f"{plan} was built for another GPU or another TensorRT: delete it")
    context, stream = engine.create_execution_context(), torch.cuda.Stream()
    names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
    name = next(one for one in names if engine.get_tensor_mode(one) == trt.TensorIOMode.INPUT)
    (answer,) = (one for one in names if one != name)

    def run(pictures: Pixels) -> Floats:
        with torch.cuda.stream(stream):
            given = torch.from_numpy(pictures).pin_memory().to(device, non_blocking=True)
            context.set_input_shape(name, tuple(given.shape))
            found = torch.empty(tuple(context.get_tensor_shape(answer)), dtype=torch.float32, device=device)
            context.set_tensor_address(name, given.data_ptr())
            context.set_tensor_address(answer, found.data_ptr())
            if not context.execute_async_v3(stream.cuda_stream):
                raise RuntimeError("TensorRT did not run the plan.")
            host = found.cpu()  # waits for the stream
        return np.asarray(host.numpy(), np.float32)

    return run


def _onnxruntime(file: Path, device: str) -> Run:
    if importlib.util.find_spec("onnxruntime") is None:
        raise NoEngine("onnxruntime is not installed")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    wanted = "CUDAExecutionProvider" if device == CUDA else "CPUExecutionProvider"
    if wanted not in onnxruntime.get_available_providers():
        raise NoEngine("this onnxruntime is not onnxruntime-gpu")
    if device == CUDA and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN as PyTorch brings them
    session = onnxruntime.InferenceSession(str(file), options, providers=[wanted])
    if session.get_providers()[0] != wanted:
        raise NoEngine(f"onnxruntime could not start its {wanted}; its warning above says what it misses")
    name = session.get_inputs()[0].name
    return lambda pictures: np.asarray(session.run(None, {name: pictures})[0], np.float32)


def _torch(network: str, file: Path, device: str, precision: torch.dtype) -> Run:
    if importlib.util.find_spec("onnx") is None:
        raise NoEngine("onnx, which reads the release's files for PyTorch, is not installed")
    from benchmarks.gpu.torch_network import OnnxNetwork

    module = OnnxNetwork(file, device, precision)
    if device == CUDA:
        return _Graphs(module, pictures_of(network))

    def run(pictures: Pixels) -> Floats:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(pictures)).numpy(), np.float32)

    return run


class _Graphs:
    """A module as CUDA graphs, one for each size of ``GRAPH_BATCHES``, with pinned memory on the host's side."""

    def __init__(self, module: Callable[[torch.Tensor], torch.Tensor], pictures: TensorSpec) -> None:
        self._stream = torch.cuda.Stream()
        self._graphs: dict[int, tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for size in GRAPH_BATCHES:
                given = torch.zeros((size, *pictures.shape), dtype=torch.uint8, device=CUDA)
                for _ in range(3):  # libraries choose their kernels outside of a graph
                    module(given)
                self._stream.synchronize()
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=self._stream):
                    found = module(given)
                host_in = torch.zeros(given.shape, dtype=torch.uint8).pin_memory()
                host_out = torch.zeros(found.shape, dtype=torch.float32).pin_memory()
                self._graphs[size] = (graph, given, found, host_in, host_out)

    def __call__(self, pictures: Pixels) -> Floats:
        count = len(pictures)
        size = next(one for one in GRAPH_BATCHES if one >= count)
        graph, given, found, host_in, host_out = self._graphs[size]
        host_in[:count].copy_(torch.from_numpy(pictures))
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            given.copy_(host_in, non_blocking=True)
            graph.replay()
            host_out.copy_(found, non_blocking=True)
        self._stream.synchronize()
        return np.array(host_out[:count].numpy(), np.float32)  # the next batch writes there
