"""Another number of instances than a release's own, without touching its files.

Triton takes ``configs/NAME.pbtxt`` of a model in place of its ``config.pbtxt`` under ``--model-config-name=NAME``. That
holds for every load, so also for a Triton that was started again and for releases that are loaded later; an override
sent with a load request would be forgotten by the first of these.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from google.protobuf import text_format

from contract.tensors import ANIMALS
from serving.repository import UNREADABLE, read_config

CONFIG_NAME: Final = "tuned"


def instances_of(model: Path, config_name: str) -> int | None:
    """How many instances a model's configuration asks for; None if it cannot be read or does not say."""
    try:
        groups = read_config(model, config_name).instance_group
    except UNREADABLE:
        return None
    return sum(group.count for group in groups) or None


def write_tuned(model: Path, config_name: str, instances: int) -> None:
    """Write ``configs/tuned.pbtxt`` into a model's folder: its configuration of ``config_name`` with so many instances.

    Raises OSError. A configuration that cannot be read is left to Triton, which says what is wrong with it.
    """
    try:
        config = read_config(model, config_name)
    except UNREADABLE:
        return
    for group in config.instance_group:
        group.count = instances
    target = model / "configs" / f"{CONFIG_NAME}.pbtxt"
    target.parent.mkdir(exist_ok=True)
    scratch = target.with_suffix(".tmp")
    scratch.write_text(text_format.MessageToString(config), encoding="utf-8")
    scratch.replace(target)


def overlay(repository: Path, folder: Path, config_name: str, instances: int) -> Path:
    """A repository in ``folder``: the models of ``repository`` by links, a copy of ``animals`` with so many instances.

    What lay in ``folder`` is removed. Raises OSError. Returns ``folder``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for model in (entry for entry in repository.iterdir() if entry.is_dir()):
        if model.name == ANIMALS:  # a copy, so that nothing is written into the release: it is small
            shutil.copytree(model, folder / ANIMALS, ignore=shutil.ignore_patterns("__pycache__"))
            write_tuned(folder / ANIMALS, config_name, instances)
        else:
            (folder / model.name).symlink_to(model, target_is_directory=True)
    return folder
