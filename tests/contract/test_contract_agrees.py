"""What cannot import ``contract`` (configurations, DALI file, release) agrees with it."""

from __future__ import annotations

import hashlib

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from contract.manifest import MANIFEST_NAME, TAXONOMY_NAME
from contract.preprocessing import IMAGE_SIZE
from contract.release import Release
from contract.taxonomy import NO_ANIMAL, parse_taxonomy
from contract.tensors import (
    ANIMALS,
    ANIMALS_INPUTS,
    ANIMALS_OUTPUTS,
    CLASSIFIER,
    CLASSIFIER_INPUTS,
    DETECTOR,
    DETECTOR_INPUTS,
    DETECTOR_OUTPUTS,
    MAX_BATCH,
    PREPROCESS,
    PREPROCESS_INPUTS,
    PREPROCESS_OUTPUTS,
    TensorSpec,
    probabilities,
)
from tests.support.stack import ROOT

REPOSITORY = ROOT / "model_repository"
RELEASE_DIR = REPOSITORY / ANIMALS / "1"
TAXONOMY = parse_taxonomy((RELEASE_DIR / TAXONOMY_NAME).read_text())
DATATYPES = {"BYTES": "STRING"}

TENSORS = {
    PREPROCESS: (PREPROCESS_INPUTS, PREPROCESS_OUTPUTS),
    DETECTOR: (DETECTOR_INPUTS, DETECTOR_OUTPUTS),
    CLASSIFIER: (CLASSIFIER_INPUTS, (probabilities(len(TAXONOMY)),)),
    ANIMALS: (ANIMALS_INPUTS, ANIMALS_OUTPUTS),
}


def configurations() -> list[tuple[str, str]]:
    files = [*REPOSITORY.glob("*/config.pbtxt"), *REPOSITORY.glob("*/configs/*.pbtxt")]
    return sorted((path.relative_to(REPOSITORY).parts[0], str(path.relative_to(REPOSITORY))) for path in files)


def as_specs(tensors) -> set[TensorSpec]:  # type: ignore[no-untyped-def]  # protobuf repeated fields
    kinds = model_config_pb2.DataType
    back = {f"TYPE_{DATATYPES.get(name, name)}": name for name in ("BYTES", "FP32", "INT32", "UINT8")}
    return {TensorSpec(t.name, back[kinds.Name(t.data_type)], tuple(t.dims)) for t in tensors}


@pytest.mark.parametrize(("model", "path"), configurations())
def test_a_configuration_has_the_tensors_of_the_contract(model: str, path: str) -> None:
    config = text_format.Parse((REPOSITORY / path).read_text(), model_config_pb2.ModelConfig())
    inputs, outputs = TENSORS[model]
    assert as_specs(config.input) == set(inputs)
    assert as_specs(config.output) == set(outputs)
    assert config.max_batch_size == MAX_BATCH
    assert config.HasField("dynamic_batching"), "requests must be batched"
    policy = config.dynamic_batching.default_queue_policy
    assert policy.max_queue_size > 0, "a queue without a limit hides overload"
    assert policy.allow_timeout_override, "callers' deadlines must reach the queue"


def test_ragged_photos_are_allowed_where_lengths_differ() -> None:
    config = text_format.Parse((REPOSITORY / PREPROCESS / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert [tensor.allow_ragged_batch for tensor in config.input] == [True]


def test_every_profile_of_the_repository_is_there() -> None:
    assert {path for _, path in configurations()} >= {
        "preprocess/config.pbtxt",
        "preprocess/configs/gpu.pbtxt",
        "detector/config.pbtxt",
        "detector/configs/gpu.pbtxt",
        "classifier/config.pbtxt",
        "classifier/configs/gpu.pbtxt",
        "animals/config.pbtxt",
        "animals/configs/cpu-dali.pbtxt",
        "animals/configs/gpu.pbtxt",
    }


def test_the_manifest_tells_the_truth_about_the_files() -> None:
    release = Release.model_validate_json((RELEASE_DIR / MANIFEST_NAME).read_text())
    assert release.image_size == IMAGE_SIZE
    assert f"{CLASSIFIER}/1/model.onnx" in release.files
    for path, digest in release.files.items():
        assert hashlib.sha256((REPOSITORY / path).read_bytes()).hexdigest() == digest, path


def test_labels_stand_in_taxonomy_order() -> None:
    labels = (REPOSITORY / CLASSIFIER / "labels.txt").read_text().splitlines()
    assert labels == [leaf.key for leaf in TAXONOMY]
    assert labels[-1] == NO_ANIMAL


def test_the_release_has_the_project_s_taxonomy() -> None:
    assert (RELEASE_DIR / TAXONOMY_NAME).read_text() == (ROOT / "contract" / "taxonomy.csv").read_text()


def test_a_release_stays_small() -> None:
    files = [path for path in REPOSITORY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 20 * 1000 * 1000
