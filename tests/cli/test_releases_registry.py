"""The registry is told of what `bestiary releases` does, and its absence stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import releases_registry
from contract.rollout import Challenger, RolloutState, Stage

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and of what it imports

STATE = RolloutState(
    champion="2@aaaaaaaaaaaa",
    challenger=Challenger(release="3@bbbbbbbbbbbb", stage=Stage.SHADOW, since="2026-11-23T00:00:00Z"),
)


def test_aliases_follow_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = pytest.importorskip("rollout.registry")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for release in ("2@aaaaaaaaaaaa", "3@bbbbbbbbbbbb"):
        releases_registry.published(release, str(tmp_path / "models"))
    releases_registry.changed(STATE)
    assert registry.alias("champion") == "2@aaaaaaaaaaaa"
    assert registry.alias("challenger") == "3@bbbbbbbbbbbb"
    releases_registry.changed(STATE.model_copy(update={"champion": "3@bbbbbbbbbbbb", "challenger": None}))
    assert registry.alias("champion") == "3@bbbbbbbbbbbb"
    assert not registry.alias("challenger")


def test_a_registry_that_is_away_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    releases_registry.changed(STATE)
    assert "the registry was not told" in capsys.readouterr().err


def test_without_one_nothing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    releases_registry.changed(STATE)
    assert capsys.readouterr().err == ""
