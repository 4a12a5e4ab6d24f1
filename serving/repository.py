"""What can be known of a model repository before Triton starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from contract.tensors import ANIMALS, DECODER, PREPROCESS, network_file


def models_to_load(repository: Path, config_name: str, tag: str = "") -> tuple[str, ...]:
    """Names of the models that this profile uses: all but those whose work ``animals`` does itself, which is the last.

    So DALI need not be installed where photos are decoded without it, and no network is loaded twice.
    ``tag``: of the release, where several stand side by side (``animals.TAG``).
    """
    suffix = f".{tag}" if tag else ""
    folders = (folder.name for folder in repository.iterdir() if folder.is_dir() and folder.name.endswith(suffix))
    names = sorted((name.removesuffix(suffix) for name in folders), key=lambda name: (name == ANIMALS, name))
    try:
        parameters = read_config(repository / f"{ANIMALS}{suffix}", config_name).parameters
        inline = {name for name in names if network_file(name) in parameters}
        if DECODER in parameters and parameters[DECODER].string_value == "inline":
            inline.add(PREPROCESS)
    except UNREADABLE:
        inline = set()  # Triton itself says what is wrong with it
    return tuple(f"{name}{suffix}" for name in names if name not in inline)


def needs_completion(repository: Path, config_name: str, tag: str = "") -> bool:
    """Whether some model to load leaves inputs, outputs or batching to be completed from its file.

    Triton starts one more process per Python-based model to complete its configuration, even if nothing is
    missing; a start without that is two seconds shorter. True also where a configuration cannot be read, so that
    Triton itself says what is wrong with it.
    """
    return not all(_complete(repository / name, config_name) for name in models_to_load(repository, config_name, tag))


UNREADABLE = (OSError, text_format.ParseError, UnicodeDecodeError)
"""Errors of a configuration that Triton itself has to complain of."""


def read_config(model: Path, config_name: str) -> Any:
    """A model's configuration (``ModelConfig``) as Triton picks it. Raises what is in UNREADABLE."""
    named = model / "configs" / f"{config_name}.pbtxt"
    path = named if config_name and named.is_file() else model / "config.pbtxt"
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def _complete(model: Path, config_name: str) -> bool:
    try:
        config = read_config(model, config_name)
    except UNREADABLE:
        return False
    return bool(config.backend and config.input and config.output and config.max_batch_size)
