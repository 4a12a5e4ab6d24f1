"""Releases in an MLflow model registry: one version each, and aliases for the champion and the challenger.

An Azure ML workspace is an MLflow server, so the same calls register there. Without MLflow, or where nobody names a
registry, everything here does nothing and says so: a rollout never depends on it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from rollout.errors import RolloutError

MODEL: Final = "bestiary"
"""The registered model that all releases are versions of."""

Alias = Literal["champion", "challenger"]

IDENTITY: Final = "identity"
DIGEST: Final = "digest"
"""Tags of a version."""

VARIABLES: Final = ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")
"""Who names the registry, the first that is set."""


class RegistryUnavailable(RolloutError):
    """The registry cannot be reached or refuses; releases and rollouts go on without it."""


@dataclass(frozen=True, slots=True)
class Note:
    """What was done, or why nothing was: a sentence for the terminal. ``version``: of the registered model, or ''."""

    done: bool
    text: str
    version: str = ""


def register(identity: str, source: str, tags: Mapping[str, str] | None = None, uri: str = "") -> Note:
    """Make a release a version of ``MODEL``; a no-op if it is one.

    ``source``: where its files are, a path or URL. ``uri``: the registry's, '' for what ``VARIABLES`` name. Raises
    RegistryUnavailable.
    """
    client = _client(uri)
    if isinstance(client, Note):
        return client
    with _errors():
        _ensure_model(client)
        version = _version(client, identity)
        if version is not None:
            return Note(True, f"{identity} is version {version} of {MODEL} in the registry.", version)
        name, _, digest = identity.rpartition("@")
        made = client.create_model_version(
            MODEL,
            source=source,
            tags={**(tags or {}), IDENTITY: identity, DIGEST: digest},
            description=f"Release {name}.",
        )
        return Note(True, f"Registered {identity} as version {made.version} of {MODEL}.", str(made.version))


def set_alias(alias: Alias, identity: str | None, uri: str = "") -> Note:
    """Let an alias point to a release, or to none.

    A release that was never registered leaves the alias at none, so that it does not point to another one. Raises
    RegistryUnavailable.
    """
    client = _client(uri)
    if isinstance(client, Note):
        return client
    with _errors():
        _ensure_model(client)
        version = None if identity is None else _version(client, identity)
        if version is None:
            client.delete_registered_model_alias(MODEL, alias)
            unknown = f": {identity} was never registered" if identity is not None else ""
            return Note(identity is None, f"The alias {alias} of {MODEL} points to no release{unknown}.")
        client.set_registered_model_alias(MODEL, alias, version)
        return Note(True, f"The alias {alias} of {MODEL} points to {identity}, version {version}.", version)


def alias(name: Alias, uri: str = "") -> str | None:
    """Identity of the release that an alias points to. Raises RegistryUnavailable."""
    client = _client(uri)
    if isinstance(client, Note):
        return None
    with _errors():
        _ensure_model(client)
        version = client.get_registered_model(MODEL).aliases.get(name)
        if version is None:
            return None
        identity: str | None = client.get_model_version(MODEL, str(version)).tags.get(IDENTITY)
        return identity


def _client(uri: str) -> Any:
    """MLflow's client, or the note why there is none."""
    uri = uri or next((value for name in VARIABLES if (value := os.environ.get(name, ""))), "")
    if not uri:
        return Note(False, f"No model registry is set ({' or '.join(VARIABLES)}): nothing was registered.")
    if importlib.util.find_spec("mlflow") is None:
        return Note(False, "MLflow is not installed (pip install 'bestiary[train]'): nothing was registered.")
    from mlflow import MlflowClient

    with _errors():
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _ensure_model(client: Any) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(MODEL, description="Identifies, counts and classifies animals in photos.")
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _version(client: Any, identity: str) -> str | None:
    """The newest version that is this release."""
    found = client.search_model_versions(f"name = '{MODEL}'")
    versions = [int(one.version) for one in found if one.tags.get(IDENTITY) == identity]
    return str(max(versions)) if versions else None


@contextmanager
def _errors() -> Iterator[None]:
    """Turns what MLflow and its transports raise, which share no base, into RegistryUnavailable."""
    try:
        yield
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        raise RegistryUnavailable(
            f"The model registry cannot be used ({type(error).__name__}: {first[:200]}). Check"
            f" {' or '.join(VARIABLES)}; the release and the rollout are as they were."
        ) from error
