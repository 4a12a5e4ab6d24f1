"""What ``bestiary releases`` tells the MLflow model registry, where there is one; a rollout never depends on it."""

from __future__ import annotations

import os
from collections.abc import Callable

from cli.options import complain
from contract.rollout import RolloutState
from rollout.registry import VARIABLES, Note, RegistryUnavailable, register, set_alias


def published(release: str, where: str) -> None:
    """A release became a version of the registered model."""
    _tell(lambda: register(release, f"{where.rstrip('/')}/{release}"))


def changed(state: RolloutState) -> None:
    """The aliases follow who answers and who challenges."""
    _tell(
        lambda: set_alias("champion", state.champion),
        lambda: set_alias("challenger", state.challenger.release if state.challenger else None),
    )


def _tell(*acts: Callable[[], Note]) -> None:
    if not any(os.environ.get(name) for name in VARIABLES):
        return
    try:
        for act in acts:
            note = act()
            if not note.done:
                complain(note.text)
    except RegistryUnavailable as error:
        complain(f"The rollout goes on, but the registry was not told: {error}")
