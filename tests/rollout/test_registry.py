"""Releases as versions of one registered model in a real MLflow registry, and what happens where there is none."""

from __future__ import annotations

import importlib.util

import pytest

from rollout import registry
from rollout.registry import MODEL, RegistryUnavailable, alias, register, set_alias

ONE, TWO = "1@0123456789ab", "2@ba9876543210"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and of what it imports


@pytest.fixture(autouse=True)
def nobody_names_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in registry.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_releases_are_versions_and_aliases_move_with_a_rollout(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    first = register(ONE, "/models/releases/1@0123456789ab", {"dataset": "monkeys@00"})
    second = register(TWO, "/models/releases/2@ba9876543210")
    assert (first.done, first.version, second.version) == (True, "1", "2")
    assert register(ONE, "/elsewhere").version == "1", "the same release is registered once"

    set_alias("champion", ONE)
    set_alias("challenger", TWO)
    assert (alias("champion"), alias("challenger")) == (ONE, TWO)
    set_alias("champion", TWO)
    set_alias("challenger", None)
    assert (alias("champion"), alias("challenger")) == (TWO, None)

    from mlflow import MlflowClient

    version = MlflowClient(tracking_uri=uri, registry_uri=uri).get_model_version(MODEL, "1")
    assert version.source == "/models/releases/1@0123456789ab"
    assert version.tags == {"identity": ONE, "digest": "0123456789ab", "dataset": "monkeys@00"}


def test_an_alias_never_points_to_another_release_than_it_says(uri: str) -> None:
    register(ONE, "/models/1", uri=uri)
    set_alias("champion", ONE, uri)
    note = set_alias("champion", "9@999999999999", uri)
    assert not note.done
    assert "9@999999999999 was never registered" in note.text
    assert alias("champion", uri) is None


def test_without_a_registry_nothing_happens_and_it_says_so() -> None:
    assert register(ONE, "/models/1") == set_alias("champion", ONE)
    note = register(ONE, "/models/1")
    assert not note.done
    assert "MLFLOW_TRACKING_URI" in note.text
    assert alias("champion") is None


def test_without_mlflow_nothing_happens_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    note = register(ONE, "/models/1", uri="sqlite:///anything.db")
    assert not note.done
    assert "MLflow is not installed" in note.text


def test_a_registry_that_cannot_be_used_is_an_error_of_ours() -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(RegistryUnavailable, match="MLFLOW_TRACKING_URI"):
        register(ONE, "/models/1", uri="carrier-pigeon://loft")
