"""Every ``config.pbtxt`` of the repository, from the tables in :mod:`contract.tensors`.

``config.pbtxt`` is the ``cpu`` profile. ``configs/gpu.pbtxt``, ``configs/cpu-dali.pbtxt`` (the cpu profile with
DALI as its decoder) and ``configs/cpu-models.pbtxt`` (its networks as models of their own) take its place under
``tritonserver --model-config-name``, and where one is absent ``config.pbtxt`` counts.
The message types are Triton's own ``model_config.proto`` as shipped in ``tritonclient``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract import tensors
from contract.priority import Priority
from contract.tensors import DECODER, MAX_BATCH, TensorSpec, network_bf16_file, network_engine, network_file
from export.layout import INT8_NAME, LABELS, gpu_config_path

QUEUE_SIZE: Final = 256
"""Requests that may wait in front of one model; more are answered UNAVAILABLE at once."""

PRIORITY_LEVELS: Final = len(Priority)
"""Levels of the queue of `animals`, which alone is asked with a priority. Each level is a queue of its own under the
same policy (``priority_queue_policy`` names none), so each holds QUEUE_SIZE; level 1 is always served first, and what
keeps level 2 from starving is the gateway, which lets both in."""

QUEUE_TIMEOUT_US: Final = 60_000_000
"""A request may only shorten this, so it is the longest deadline that the gateway honours; microseconds."""

GPU_QUEUE_DELAY_US: Final = 500
"""How long a GPU model holds a batch open. CPU models do not wait: a batch there saves nothing."""

PREFERRED_BATCHES: Final = (8, 16, 32)
"""Batch sizes that a GPU model waits for; ``OPT_BATCH`` of the TensorRT profile is the first."""

OPT_BATCH: Final = PREFERRED_BATCHES[0]

CPU_FILES: Final = MappingProxyType({tensors.CLASSIFIER: INT8_NAME, tensors.DETECTOR: "model.onnx"})
"""Networks -> the files of theirs that the cpu profile serves."""

CPU_ENGINES: Final = MappingProxyType({tensors.CLASSIFIER: "openvino"})
"""Networks -> their engines in the process of `animals`, where that is not onnxruntime (docs/engines.md)."""

CPU_BF16_FILES: Final = MappingProxyType({tensors.CLASSIFIER: "model.onnx"})
"""Networks -> the files that processors with AMX run in bfloat16 instead."""

_CPU = pb.ModelInstanceGroup.KIND_CPU
_GPU = pb.ModelInstanceGroup.KIND_GPU


def render(config: pb.ModelConfig) -> str:
    """A model configuration as the text of a ``config.pbtxt``."""
    text: str = text_format.MessageToString(config)
    return text


def all_configs(leaves: int, *, plan: bool = False) -> dict[str, pb.ModelConfig]:
    """Path below the repository -> configuration, for a classifier of ``leaves`` leaves.

    ``plan``: whether TensorRT plans lie beside the ONNX files; the GPU profile then serves them.
    """
    return {
        f"{tensors.PREPROCESS}/config.pbtxt": preprocess(_CPU),
        f"{tensors.PREPROCESS}/configs/gpu.pbtxt": preprocess(_GPU),
        f"{tensors.DETECTOR}/config.pbtxt": network_cpu(_detector(), CPU_FILES[tensors.DETECTOR]),
        gpu_config_path(tensors.DETECTOR): (network_plan if plan else network_gpu)(_detector()),
        f"{tensors.CLASSIFIER}/config.pbtxt": network_cpu(_classifier(leaves), CPU_FILES[tensors.CLASSIFIER]),
        gpu_config_path(tensors.CLASSIFIER): (network_plan if plan else network_gpu)(_classifier(leaves)),
        f"{tensors.ANIMALS}/config.pbtxt": animals("inline", CPU_FILES),
        f"{tensors.ANIMALS}/configs/cpu-dali.pbtxt": animals(tensors.PREPROCESS, CPU_FILES),
        f"{tensors.ANIMALS}/configs/cpu-models.pbtxt": animals("inline"),
        f"{tensors.ANIMALS}/configs/gpu.pbtxt": animals(tensors.PREPROCESS),
    }


def preprocess(kind: int) -> pb.ModelConfig:
    """The DALI pipeline of ``dali.py``, which the backend serialises itself when it loads the model."""
    config = _model("dali", tensors.PREPROCESS_INPUTS, tensors.PREPROCESS_OUTPUTS)
    config.input[0].allow_ragged_batch = True  # encoded photos have different lengths
    config.default_model_filename = "dali.py"
    config.instance_group.add(count=1, kind=kind)
    _batch(config, delay_us=GPU_QUEUE_DELAY_US if kind == _GPU else 0)
    return config


def network_cpu(config: pb.ModelConfig, file: str) -> pb.ModelConfig:
    """ONNX Runtime with one thread an instance: two photos at once beat one photo on two threads."""
    config.backend = "onnxruntime"
    config.default_model_filename = file
    config.parameters["intra_op_thread_count"].string_value = "1"
    config.instance_group.add(count=2, kind=_CPU)
    _batch(config)
    return config


def network_gpu(config: pb.ModelConfig) -> pb.ModelConfig:
    """ONNX Runtime with the TensorRT provider in FP16; nodes that it leaves go to the CUDA provider.

    Keys: triton-inference-server/onnxruntime_backend, README, "ONNX Runtime with TensorRT optimization".
    One profile covers all batch sizes, so that no request waits for an engine to be built.
    """
    config.backend = "onnxruntime"
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters["precision_mode"] = "FP16"
    for bound, batch in (("min", 1), ("opt", OPT_BATCH), ("max", MAX_BATCH)):
        shape = "x".join(str(side) for side in (batch, *config.input[0].dims))
        accelerator.parameters[f"trt_profile_{bound}_shapes"] = f"{config.input[0].name}:{shape}"
    config.instance_group.add(count=1, kind=_GPU)
    _batch(config, delay_us=GPU_QUEUE_DELAY_US, preferred=PREFERRED_BATCHES)
    return config


def network_plan(config: pb.ModelConfig) -> pb.ModelConfig:
    """A TensorRT plan that ``python -m export plan`` built for this GPU."""
    config.backend = "tensorrt"
    config.instance_group.add(count=1, kind=_GPU)
    _batch(config, delay_us=GPU_QUEUE_DELAY_US, preferred=PREFERRED_BATCHES)
    return config


def animals(decoder: str, files: Mapping[str, str] = MappingProxyType({})) -> pb.ModelConfig:
    """The public model.

    ``decoder``: ``inline`` (shrink-on-load in its own process) or the model ``preprocess``.
    ``files``: networks that it runs in its own process -> their ONNX files; it calls the others as models.
    Instances that only call others wait a lot and are more; with three on two cores one is ready whenever another
    waits for Triton (docs/decisions/0013-networks-in-the-pipeline.md).
    """
    config = _model("python", tensors.ANIMALS_INPUTS, tensors.ANIMALS_OUTPUTS)
    config.parameters[DECODER].string_value = decoder
    for network, file in files.items():
        config.parameters[network_file(network)].string_value = file
        if network in CPU_ENGINES:
            config.parameters[network_engine(network)].string_value = CPU_ENGINES[network]
        if network in CPU_BF16_FILES:
            config.parameters[network_bf16_file(network)].string_value = CPU_BF16_FILES[network]
    config.instance_group.add(count=3 if files else 4, kind=_CPU)
    _batch(config)
    config.dynamic_batching.priority_levels = PRIORITY_LEVELS
    config.dynamic_batching.default_priority_level = Priority.INTERACTIVE.level
    return config


def _detector() -> pb.ModelConfig:
    return _model("", tensors.DETECTOR_INPUTS, tensors.DETECTOR_OUTPUTS)


def _classifier(leaves: int) -> pb.ModelConfig:
    config = _model("", tensors.CLASSIFIER_INPUTS, (tensors.probabilities(leaves),))
    config.output[0].label_filename = LABELS
    return config


def _model(backend: str, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> pb.ModelConfig:
    """Without a name, so that the file serves in a folder of any name: releases stand side by side in one Triton."""
    config = pb.ModelConfig(backend=backend, max_batch_size=MAX_BATCH)
    for spec in inputs:
        config.input.add(name=spec.name, data_type=data_type(spec), dims=spec.shape)
    for spec in outputs:
        config.output.add(name=spec.name, data_type=data_type(spec), dims=spec.shape)
    return config


def data_type(spec: TensorSpec) -> Any:
    """The configuration's word for a KServe v2 datatype: ``BYTES`` is ``TYPE_STRING`` there."""
    return pb.DataType.Value("TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}")


def _batch(config: pb.ModelConfig, *, delay_us: int = 0, preferred: Iterable[int] = ()) -> None:
    batching = config.dynamic_batching
    batching.preferred_batch_size.extend(preferred)
    batching.max_queue_delay_microseconds = delay_us
    policy = batching.default_queue_policy
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = QUEUE_TIMEOUT_US
    policy.allow_timeout_override = True
    policy.max_queue_size = QUEUE_SIZE
