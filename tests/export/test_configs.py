"""The configurations in the repository are those that the code writes, and they follow the contract."""

from pathlib import Path

import pytest

pytest.importorskip("tritonclient.grpc")

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract import tensors
from contract.priority import Priority
from contract.taxonomy import parse_taxonomy
from export.configs import all_configs, data_type, render

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
LEAVES = len(parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text(encoding="utf-8")))
CONFIGS = all_configs(LEAVES)

TABLES = {
    tensors.PREPROCESS: (tensors.PREPROCESS_INPUTS, tensors.PREPROCESS_OUTPUTS),
    tensors.DETECTOR: (tensors.DETECTOR_INPUTS, tensors.DETECTOR_OUTPUTS),
    tensors.CLASSIFIER: (tensors.CLASSIFIER_INPUTS, (tensors.probabilities(LEAVES),)),
    tensors.ANIMALS: (tensors.ANIMALS_INPUTS, tensors.ANIMALS_OUTPUTS),
}


@pytest.mark.parametrize("path", CONFIGS)
def test_the_committed_configuration_is_the_generated_one(path: str) -> None:
    assert (REPOSITORY / path).read_text(encoding="utf-8") == render(CONFIGS[path])


def test_no_other_configuration_lies_in_the_repository() -> None:
    assert {file.relative_to(REPOSITORY).as_posix() for file in REPOSITORY.rglob("*.pbtxt")} == set(CONFIGS)


@pytest.mark.parametrize("path", CONFIGS)
def test_tensors_are_those_of_the_contract(path: str) -> None:
    config = text_format.Parse((REPOSITORY / path).read_text(encoding="utf-8"), pb.ModelConfig())
    for found, wanted in zip((config.input, config.output), TABLES[path.partition("/")[0]], strict=True):
        assert [(t.name, t.data_type, tuple(t.dims)) for t in found] == [
            (spec.name, data_type(spec), spec.shape) for spec in wanted
        ]


@pytest.mark.parametrize("path", CONFIGS)
def test_a_model_is_named_by_its_folder_so_that_releases_stand_side_by_side(path: str) -> None:
    assert not CONFIGS[path].name


@pytest.mark.parametrize("path", CONFIGS)
def test_every_queue_is_bounded_in_length_and_time(path: str) -> None:
    policy = CONFIGS[path].dynamic_batching.default_queue_policy
    assert policy.max_queue_size > 0
    assert policy.default_timeout_microseconds > 0
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT


def test_only_animals_is_asked_with_a_priority_and_takes_none_for_interactive() -> None:
    for path, config in CONFIGS.items():
        batching = config.dynamic_batching
        levels = (batching.priority_levels, batching.default_priority_level)
        assert levels == ((2, Priority.INTERACTIVE.level) if path.startswith(f"{tensors.ANIMALS}/") else (0, 0)), path
        assert not batching.priority_queue_policy, "one policy bounds the queues of all levels"
    assert sorted(priority.level for priority in Priority) == [1, 2]


def test_only_the_gpu_profile_needs_a_gpu() -> None:
    for path, config in CONFIGS.items():
        wants_gpu = any(group.kind == pb.ModelInstanceGroup.KIND_GPU for group in config.instance_group)
        python = config.backend == "python"  # the glue runs on the CPU everywhere
        assert wants_gpu == (path.endswith("gpu.pbtxt") and not python), path


def test_a_plan_is_served_by_tensorrt_once_it_is_built() -> None:
    for path in ("classifier/configs/gpu.pbtxt", "detector/configs/gpu.pbtxt"):
        assert all_configs(LEAVES)[path].backend == "onnxruntime"
        assert all_configs(LEAVES, plan=True)[path].backend == "tensorrt"
