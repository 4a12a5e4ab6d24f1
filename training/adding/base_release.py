"""The release that is taught: its classifier as a network again, its taxonomy and its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
import torch
from onnx import numpy_helper
from pydantic import ValidationError

from contract.manifest import MANIFEST_NAME, TAXONOMY_NAME
from contract.release import Release
from contract.taxonomy import Taxonomy, parse_taxonomy
from contract.tensors import ANIMALS
from training.errors import CheckpointError
from training.mobilenet import MobileNetV2
from training.network import count_rows
from training.predict import ONNX_IN_RELEASE

_PARAMETERS: Final = "network."
"""Names of the graph's initialisers that are the network's own begin so (:class:`AnimalClassifier`)."""

_NARROW: Final = ".fp16"
"""Their suffix where the file keeps them in half precision."""


@dataclass(frozen=True, slots=True)
class BaseRelease:
    """A release as training sees it; ``network`` gives its logits, ``temperature`` divides them."""

    classifier: Path
    network: MobileNetV2
    temperature: float
    taxonomy: Taxonomy
    taxonomy_text: str
    manifest: Release

    @property
    def identity(self) -> str:
        """``name@digest``, as records have it."""
        return self.manifest.identity


def read_base_release(repository: Path) -> BaseRelease:
    """The release in a model repository. Raises CheckpointError if it is not complete or not such a network."""
    folder = repository / ANIMALS / "1"
    if not (folder / MANIFEST_NAME).is_file():
        raise CheckpointError(
            f"No release in {repository}. Point --base to a model repository, such as model_repository."
        )
    try:
        manifest = Release.model_validate_json((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except ValidationError as error:
        raise CheckpointError(f"{folder / MANIFEST_NAME} is not of this version. Build the release again.") from error
    text = (folder / TAXONOMY_NAME).read_text(encoding="utf-8")
    taxonomy = parse_taxonomy(text)
    file = repository / ONNX_IN_RELEASE
    network, temperature = _network(file, taxonomy)
    return BaseRelease(file, network, temperature, taxonomy, text, manifest)


def _network(file: Path, taxonomy: Taxonomy) -> tuple[MobileNetV2, float]:
    """The float32 graph's weights by their names, in evaluation mode, and its temperature."""
    if not file.is_file():
        raise CheckpointError(f"No classifier at {file}. Build the release again, or point --base to a whole one.")
    graph = onnx.load(file).graph
    values = {tensor.name.removesuffix(_NARROW): numpy_helper.to_array(tensor) for tensor in graph.initializer}
    state = {
        name.removeprefix(_PARAMETERS): torch.tensor(array).float()
        for name, array in values.items()
        if name.startswith(_PARAMETERS)
    }
    network = MobileNetV2(count_rows(taxonomy))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{file} is not the float32 classifier of a taxonomy with {len(taxonomy)} leaves. Build the release again."
        ) from error
    divisors = [values[node.input[1]] for node in graph.node if node.op_type == "Div" and node.input[1] in values]
    temperature = float(divisors[-1]) if divisors else 1.0
    return network.eval().to(memory_format=torch.channels_last), temperature  # type: ignore[call-overload]
