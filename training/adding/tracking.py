"""Every run in MLflow: parameters, figures of each epoch, the files that came of it.

``MLFLOW_TRACKING_URI`` says where; the address of an Azure ML workspace works as any other server's. Without it runs
go into a SQLite file beside the output folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.errors import TrainingError
from training.evaluate import Figures

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT: Final = "bestiary-add-species"
STORE: Final = "mlflow.db"
ARTIFACTS: Final = "mlartifacts"
"""Both in the parent of the output folder, so that all runs of one place are seen together."""

URI: Final = "MLFLOW_TRACKING_URI"


class TrackingError(TrainingError):
    """The tracking server refused or cannot be reached."""


class Run:
    """One run. Without a client nothing is written."""

    def __init__(self, client: MlflowClient | None, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def epoch(self, number: int, figures: Figures) -> None:
        """Figures of one epoch."""
        self._log(figures, number)

    def figures(self, figures: Figures) -> None:
        """What was found in the end."""
        self._log({f"test.{name}": value for name, value in figures.items()}, 0)

    def files(self, files: Iterable[Path]) -> None:
        """Files that came of it."""
        if self._client is not None:
            for file in files:
                self._client.log_artifact(self.run_id, str(file))

    def _log(self, figures: Figures, step: int) -> None:
        if self._client is None:
            return
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        for start in range(0, len(metrics), 1000):  # the most that a server takes at once
            self._client.log_batch(self.run_id, metrics=metrics[start : start + 1000])


@contextmanager
def tracked(
    out: Path, name: str, facts: Mapping[str, object], tags: Mapping[str, str], *, wanted: bool
) -> Iterator[Run]:
    """A run that ends with the block: FINISHED, KILLED for an interrupt, FAILED for any other error.

    Raises TrackingError if ``MLFLOW_TRACKING_URI`` names a server that does not answer.
    """
    if not wanted:
        yield Run(None, "")
        return
    from mlflow.exceptions import MlflowException

    try:
        client, experiment = _client(out)
        run_id = client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id
        for key, value in facts.items():
            client.log_param(run_id, key, value)
    except MlflowException as error:
        raise TrackingError(
            f"MLflow cannot be used: {str(error).splitlines()[0]} Unset {URI} to track in files, or give --no-track."
        ) from error
    ended = "FAILED"
    try:
        yield Run(client, run_id)
        ended = "FINISHED"
    except KeyboardInterrupt:
        ended = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, ended)


def _client(out: Path) -> tuple[MlflowClient, str]:
    """A client and the experiment's id, which is made where it is not there yet."""
    from mlflow import MlflowClient

    beside = out.resolve().parent
    uri = os.environ.get(URI, "")
    if not uri:
        beside.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=uri or f"sqlite:///{beside / STORE}")
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return client, found.experiment_id
    place = None if uri else (beside / ARTIFACTS).as_uri()
    return client, client.create_experiment(EXPERIMENT, artifact_location=place)
