"""Settings of this machine, and a Triton that is started by them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from cli.local_rollout import LocalRollout
from contract.tensors import ANIMALS
from serving.errors import PreflightError
from serving.tritonserver import ServerOptions
from serving.tuned import CONFIG_NAME, instances_of, overlay, write_tuned
from tuning.settings import Settings, SettingsError, settings_for


def choose(data: Path, file: Path | None, workers: int | None, config_name: str) -> tuple[Settings, str]:
    """Settings of a start and, in words, where they are from. Raises PreflightError.

    ``file`` and ``workers``: as given on the command line. Instances were found for the default configuration, so
    with another ``config_name`` there are as many as the release says.
    """
    try:
        tuned, source = settings_for(data, len(os.sched_getaffinity(0)), file)
    except SettingsError as error:
        raise PreflightError(str(error)) from None
    settings = tuned.settings
    instances = None if config_name else settings.instances
    return settings.model_copy(update={"workers": workers or settings.workers, "instances": instances}), source


def local_rollout(store: str, triton: ServerOptions, run: Path, instances: int | None) -> LocalRollout:
    """The sync agent of this machine; every release that it loads gets so many instances of ``animals``."""
    if instances is None:
        return LocalRollout(store, triton.repository, triton, run)
    return LocalRollout(
        store, triton.repository, replace(triton, config_name=CONFIG_NAME), run,
        lambda model: write_tuned(model, triton.config_name, instances),
    )  # fmt: skip


def one_release(triton: ServerOptions, run: Path, instances: int | None) -> ServerOptions:
    """Triton with the one release in its repository: its own files, or beside them another number of instances."""
    if instances is None or instances_of(triton.repository / ANIMALS, triton.config_name) in (None, instances):
        return triton
    folder = overlay(triton.repository, run.resolve() / "tuned", triton.config_name, instances)
    return replace(triton, repository=folder, config_name=CONFIG_NAME)
