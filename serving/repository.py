"""What can be known of a model repository before Triton starts."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2


def needs_completion(repository: Path, config_name: str) -> bool:
    """Whether some model leaves inputs, outputs or batching to be completed from its file.

    Triton starts one more process per Python-based model to complete its configuration, even if nothing is
    missing; a start without that is two seconds shorter. True also where a configuration cannot be read, so that
    Triton itself says what is wrong with it.
    """
    return not all(_complete(model, config_name) for model in repository.iterdir() if model.is_dir())


def _complete(model: Path, config_name: str) -> bool:
    named = model / "configs" / f"{config_name}.pbtxt"
    path = named if config_name and named.is_file() else model / "config.pbtxt"
    try:
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except (OSError, text_format.ParseError, UnicodeDecodeError):
        return False
    return bool(config.backend and config.input and config.output and config.max_batch_size)
