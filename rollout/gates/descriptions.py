"""Taxonomy, labels and model configurations of a release agree with each other and with ``contract``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract import tensors
from contract.manifest import TAXONOMY_NAME
from contract.release import Release
from contract.taxonomy import Taxonomy, TaxonomyError, parse_taxonomy
from contract.tensors import TensorSpec, network_bf16_file, network_file
from rollout.errors import ReleaseBroken

DEFAULT_FILES: Final = {"python": "model.py", "onnxruntime": "model.onnx", "tensorrt": "model.plan"}
"""What a backend loads where the configuration names no file."""


def check_descriptions(folder: Path, release: Release) -> Taxonomy:
    """The release's taxonomy, after its labels and every configuration were held against it. Raises ReleaseBroken."""
    taxonomy = read_taxonomy(folder, release)
    for model in release.models:
        for file in config_files(folder, model):
            _check_config(folder, release, model, read_config(file), file.relative_to(folder).as_posix(), taxonomy)
    return taxonomy


def read_taxonomy(folder: Path, release: Release) -> Taxonomy:
    """The leaves of the release in ``folder``. Raises ReleaseBroken."""
    path = f"{tensors.ANIMALS}/{release.models[tensors.ANIMALS]}/{TAXONOMY_NAME}"
    try:
        return parse_taxonomy(_text(folder, path))
    except (TaxonomyError, ValueError, TypeError) as error:
        raise ReleaseBroken(f"{path} cannot be read: {error}") from None


def config_files(folder: Path, model: str) -> list[Path]:
    """All configurations of a model, that of the cpu profile first. Raises ReleaseBroken if it has none."""
    first = folder / model / "config.pbtxt"
    if not first.is_file():
        raise ReleaseBroken(f"{model}/config.pbtxt is missing: export the release again.")
    return [first, *sorted((folder / model / "configs").glob("*.pbtxt"))]


def read_config(file: Path) -> Any:
    """A ``config.pbtxt`` as Triton's message. Raises ReleaseBroken."""
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), pb.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ReleaseBroken(f"{file.parent.name}/{file.name} is no model configuration: {error}") from None


def served_file(config: Any) -> str:
    """The file that the backend of a configuration loads from the version folder; '' where that is not known."""
    return config.default_model_filename or DEFAULT_FILES.get(config.backend, "")


def _check_config(folder: Path, release: Release, model: str, config: Any, path: str, taxonomy: Taxonomy) -> None:
    if config.name not in ("", model):
        raise ReleaseBroken(f"{path} is of a model {config.name}, not of {model}.")
    version = folder / model / str(release.models[model])
    file = served_file(config)
    if file and not (version / file).is_file():
        raise ReleaseBroken(f"{path} names {file}, which is not in {version.relative_to(folder).as_posix()}.")
    for network, number in release.models.items():
        for key in (network_file(network), network_bf16_file(network)):
            named = config.parameters[key].string_value if key in config.parameters else ""
            if named and not (folder / network / str(number) / named).is_file():
                raise ReleaseBroken(f"{path} names {named}, which is not in {network}/{number}.")
    inputs, outputs = _contract(model, taxonomy)
    _check_tensors(path, "inputs", config.input, inputs)
    _check_tensors(path, "outputs", config.output, outputs)
    for output in config.output:
        if output.label_filename:
            _check_labels(folder, f"{model}/{output.label_filename}", taxonomy)


def _contract(model: str, taxonomy: Taxonomy) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    return {
        tensors.PREPROCESS: (tensors.PREPROCESS_INPUTS, tensors.PREPROCESS_OUTPUTS),
        tensors.DETECTOR: (tensors.DETECTOR_INPUTS, tensors.DETECTOR_OUTPUTS),
        tensors.CLASSIFIER: (tensors.CLASSIFIER_INPUTS, (tensors.probabilities(len(taxonomy)),)),
        tensors.ANIMALS: (tensors.ANIMALS_INPUTS, tensors.ANIMALS_OUTPUTS),
    }[model]


def _check_tensors(path: str, which: str, found: Iterable[Any], specs: tuple[TensorSpec, ...]) -> None:
    told = {one.name: (pb.DataType.Name(one.data_type).removeprefix("TYPE_"), tuple(one.dims)) for one in found}
    for spec in specs:
        wanted = ("STRING" if spec.datatype == "BYTES" else spec.datatype, spec.shape)
        if told.get(spec.name) != wanted:
            says = _words(*told[spec.name]) if spec.name in told else "nothing"
            raise ReleaseBroken(f"{path}: of its {which} {spec.name} has to be {_words(*wanted)}; it says {says}.")
    strangers = sorted(told.keys() - {spec.name for spec in specs})
    if strangers:
        raise ReleaseBroken(f"{path} has {strangers[0]} among its {which}, which the contract does not know.")


def _words(datatype: str, shape: tuple[int, ...]) -> str:
    return f"{datatype} [{', '.join(map(str, shape))}]"


def _check_labels(folder: Path, path: str, taxonomy: Taxonomy) -> None:
    """One label for each leaf, in the taxonomy's order."""
    labels = _text(folder, path).splitlines()
    for number, (label, leaf) in enumerate(zip_longest(labels, taxonomy), start=1):
        key = leaf.key if leaf else None
        if label != key:
            raise ReleaseBroken(
                f"{path} and the taxonomy differ: label {number} is {label or 'missing'}, the leaf {key or 'missing'}"
                f" ({len(labels)} labels, {len(taxonomy)} leaves). Export the release again."
            )


def _text(folder: Path, path: str) -> str:
    try:
        return (folder / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ReleaseBroken(f"{path} is missing or no text: export the release again.") from None
