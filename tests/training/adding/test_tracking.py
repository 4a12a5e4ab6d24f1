"""Runs are in MLflow with parameters, figures and files, however they end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mlflow")
pytest.importorskip("torch")

from mlflow import MlflowClient

from training.adding.tracking import EXPERIMENT, STORE, URI, TrackingError, tracked

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's use of SQLAlchemy


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One store for all tests: making its tables takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(URI, raising=False)
        yield tmp_path_factory.mktemp("runs") / "out"


def _client(out: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{out.parent / STORE}")


def test_a_run_has_parameters_epochs_figures_and_files(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("a report")
    with tracked(out, "monkeys@0", {"epochs": 3}, {"dataset": "monkeys@0"}, wanted=True) as run:
        run.epoch(0, {"loss": 2.0})
        run.epoch(1, {"loss": 1.0})
        run.figures({"new.top1": 0.9})
        run.files([file])
    client = _client(out)
    kept = client.get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.data.params == {"epochs": "3"}
    assert kept.data.tags["dataset"] == "monkeys@0"
    assert [point.value for point in client.get_metric_history(run.run_id, "loss")] == [2.0, 1.0]
    assert kept.data.metrics["test.new.top1"] == 0.9
    assert [one.path for one in client.list_artifacts(run.run_id)] == ["report.html"]


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_breaks_off_says_so(out: Path, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), tracked(out, "x", {}, {}, wanted=True) as run:
        raise error
    assert _client(out).get_run(run.run_id).info.status == status


def test_a_named_server_is_used(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracked(out, "first", {}, {}, wanted=True):
        pass
    monkeypatch.setenv(URI, f"sqlite:///{out.parent / STORE}")
    with tracked(tmp_path / "elsewhere" / "out", "there", {}, {}, wanted=True) as run:
        pass
    assert _client(out).get_run(run.run_id).info.run_name == "there"
    assert not (tmp_path / "elsewhere").exists()
    assert _client(out).get_experiment_by_name(EXPERIMENT) is not None


def test_an_address_that_is_none_is_refused_with_what_to_do(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URI, "nonsense://nowhere")
    with pytest.raises(TrackingError, match="--no-track"), tracked(out, "x", {}, {}, wanted=True):
        pass


def test_an_unwanted_run_leaves_nothing(tmp_path: Path) -> None:
    with tracked(tmp_path / "a" / "out", "x", {}, {}, wanted=False) as run:
        run.epoch(1, {"loss": 1.0})
        run.files([tmp_path])
    assert list(tmp_path.iterdir()) == []
