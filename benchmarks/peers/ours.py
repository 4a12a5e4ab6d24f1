"""Our own stack in the comparison: ``bestiary up``, with the float32 network of the peers or as it is shipped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.stack import ROOT
from contract.release import Release
from contract.tensors import ANIMALS, CLASSIFIER, network_bf16_file, network_file
from export.layout import MANIFEST_PATH, file_digests

SHIPPED: Final = ROOT / "model_repository"
FLOAT32_FILE: Final = "model.onnx"


def float32_repository(folder: Path) -> Path:
    """A copy of the shipped repository below ``folder`` that serves the float32 file and computes in float32.

    The file is named wherever the ``cpu`` profile reads its name, and the digests of the manifest are made anew. The
    thresholds stay.
    """
    repository = folder / "model_repository"
    shutil.copytree(SHIPPED, repository)
    animals, classifier = repository / ANIMALS / "config.pbtxt", repository / CLASSIFIER / "config.pbtxt"
    config = text_format.Parse(animals.read_text(), model_config_pb2.ModelConfig())
    config.parameters[network_file(CLASSIFIER)].string_value = FLOAT32_FILE
    config.parameters.pop(network_bf16_file(CLASSIFIER))
    animals.write_text(text_format.MessageToString(config))
    config = text_format.Parse(classifier.read_text(), model_config_pb2.ModelConfig())
    config.default_model_filename = FLOAT32_FILE
    classifier.write_text(text_format.MessageToString(config))
    manifest = repository / MANIFEST_PATH
    release = Release.model_validate_json(manifest.read_text())
    release = release.model_copy(update={"name": f"{release.name}-float32", "files": file_digests(repository)})
    manifest.write_text(release.to_json())
    return repository
