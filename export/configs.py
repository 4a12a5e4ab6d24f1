"""Every ``config.pbtxt`` of the repository, from the tables in :mod:`contract.tensors`.

``config.pbtxt`` is the ``cpu`` profile; ``configs/gpu.pbtxt`` and ``configs/cpu-dali.pbtxt`` take its
place under ``tritonserver --model-config-name``, and where one is absent ``config.pbtxt`` counts.
The message types are Triton's own ``model_config.proto`` as shipped in ``tritonclient``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract import tensors
from contract.tensors import MAX_BATCH, TensorSpec
from export.layout import GPU_CLASSIFIER_PATH, LABELS

QUEUE_SIZE: Final = 256
"""Requests that may wait in front of one model; more are answered UNAVAILABLE at once."""

QUEUE_TIMEOUT_US: Final = 60_000_000
"""A request may only shorten this, so it is the longest deadline that the gateway honours; microseconds."""

GPU_QUEUE_DELAY_US: Final = 500
"""How long a GPU model holds a batch open. CPU models do not wait: a batch there saves nothing."""

PREFERRED_BATCHES: Final = (8, 16, 32)
"""Batch sizes that a GPU model waits for; ``OPT_BATCH`` of the TensorRT profile is the first."""

OPT_BATCH: Final = PREFERRED_BATCHES[0]

_CPU = pb.ModelInstanceGroup.KIND_CPU
_GPU = pb.ModelInstanceGroup.KIND_GPU


def render(config: pb.ModelConfig) -> str:
    """A model configuration as the text of a ``config.pbtxt``."""
    text: str = text_format.MessageToString(config)
    return text


def all_configs(leaves: int, *, plan: bool = False) -> dict[str, pb.ModelConfig]:
    """Path below the repository -> configuration, for a classifier of ``leaves`` leaves.

    ``plan``: whether a TensorRT plan lies beside the ONNX file; the GPU profile then serves it.
    """
    gpu_classifier = classifier_plan(leaves) if plan else classifier_gpu(leaves)
    return {
        f"{tensors.PREPROCESS}/config.pbtxt": preprocess_cpu(),
        f"{tensors.PREPROCESS}/configs/gpu.pbtxt": preprocess_dali(_GPU),
        f"{tensors.PREPROCESS}/configs/cpu-dali.pbtxt": preprocess_dali(_CPU),
        f"{tensors.CLASSIFIER}/config.pbtxt": classifier_cpu(leaves),
        GPU_CLASSIFIER_PATH: gpu_classifier,
        f"{tensors.ANIMALS}/config.pbtxt": animals(),
    }


def preprocess_cpu() -> pb.ModelConfig:
    """Shrink-on-load decoding in Python processes, one a core on a small machine."""
    config = _preprocess("python")
    config.instance_group.add(count=2, kind=_CPU)
    _batch(config)
    return config


def preprocess_dali(kind: int) -> pb.ModelConfig:
    """The DALI pipeline of ``dali.py``, which the backend serialises itself when it loads the model."""
    config = _preprocess("dali")
    config.default_model_filename = "dali.py"
    config.instance_group.add(count=1, kind=kind)
    _batch(config, delay_us=GPU_QUEUE_DELAY_US if kind == _GPU else 0)
    return config


def classifier_cpu(leaves: int) -> pb.ModelConfig:
    """ONNX Runtime with one thread an instance: two photos at once beat one photo on two threads."""
    config = _classifier("onnxruntime", leaves)
    config.parameters["intra_op_thread_count"].string_value = "1"
    config.instance_group.add(count=2, kind=_CPU)
    _batch(config)
    return config


def classifier_gpu(leaves: int) -> pb.ModelConfig:
    """ONNX Runtime with the TensorRT provider in FP16; nodes that it leaves go to the CUDA provider.

    Keys: triton-inference-server/onnxruntime_backend, README, "ONNX Runtime with TensorRT optimization".
    One profile covers all batch sizes, so that no request waits for an engine to be built.
    """
    config = _classifier("onnxruntime", leaves)
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters["precision_mode"] = "FP16"
    for bound, batch in (("min", 1), ("opt", OPT_BATCH), ("max", MAX_BATCH)):
        shape = "x".join(str(side) for side in (batch, *tensors.IMAGE.shape))
        accelerator.parameters[f"trt_profile_{bound}_shapes"] = f"{tensors.IMAGE.name}:{shape}"
    config.instance_group.add(count=1, kind=_GPU)
    _batch(config, delay_us=GPU_QUEUE_DELAY_US, preferred=PREFERRED_BATCHES)
    return config


def classifier_plan(leaves: int) -> pb.ModelConfig:
    """A TensorRT plan that ``python -m export plan`` built for this GPU."""
    config = _classifier("tensorrt", leaves)
    config.instance_group.add(count=1, kind=_GPU)
    _batch(config, delay_us=GPU_QUEUE_DELAY_US, preferred=PREFERRED_BATCHES)
    return config


def animals() -> pb.ModelConfig:
    """The public model. Its instances mostly wait for the other two, so there are more of them."""
    config = _model(tensors.ANIMALS, "python", tensors.ANIMALS_INPUTS, tensors.ANIMALS_OUTPUTS)
    config.instance_group.add(count=4, kind=_CPU)
    _batch(config)
    return config


def _preprocess(backend: str) -> pb.ModelConfig:
    config = _model(tensors.PREPROCESS, backend, tensors.PREPROCESS_INPUTS, tensors.PREPROCESS_OUTPUTS)
    config.input[0].allow_ragged_batch = True  # encoded photos have different lengths
    return config


def _classifier(backend: str, leaves: int) -> pb.ModelConfig:
    outputs = (tensors.probabilities(leaves),)
    config = _model(tensors.CLASSIFIER, backend, tensors.CLASSIFIER_INPUTS, outputs)
    config.output[0].label_filename = LABELS
    return config


def _model(name: str, backend: str, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> pb.ModelConfig:
    config = pb.ModelConfig(name=name, backend=backend, max_batch_size=MAX_BATCH)
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
