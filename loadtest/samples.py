"""What was measured: one row a photo, as columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from loadtest.wire.reply import OK, UNANSWERED, UNSENT

Floats = NDArray[np.float64]
Words = NDArray[np.str_]
Mask = NDArray[np.bool_]

TIMES: Final = ("planned", "sent", "ended")
WORDS: Final = ("kind", "user", "outcome")
STAGE: Final = "stage_"
"""Before the name of a stage in files."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Photos of a run by planned time. Times in seconds from the start of what is judged, negative in the warm-up."""

    planned: Floats
    sent: Floats
    ended: Floats
    kind: Words
    user: Words
    outcome: Words
    stages: Mapping[str, Floats]
    """Milliseconds by stage as the replies had them; NaN where a reply had none."""

    @classmethod
    def join(cls, chunks: Iterable[Mapping[str, Any]]) -> Self:
        """Put chunks of :class:`loadtest.recorder.Recorder` together."""
        parts = list(chunks)
        order = np.argsort(_floats(parts, "planned"), kind="stable")
        names = list(dict.fromkeys(name for part in parts for name in part["stages"]))
        columns: dict[str, Any] = {name: _floats(parts, name)[order] for name in TIMES}
        for name in WORDS:
            columns[name] = np.array([word for part in parts for word in part[name]], np.str_)[order]
        return cls(**columns, stages={name: _stage(parts, name)[order] for name in names})

    def __len__(self) -> int:
        return len(self.planned)

    def where(self, mask: Mask) -> Samples:
        """The rows of a mask."""
        columns: dict[str, Any] = {name: getattr(self, name)[mask] for name in (*TIMES, *WORDS)}
        return Samples(**columns, stages={name: values[mask] for name, values in self.stages.items()})

    @property
    def judged(self) -> Samples:
        """Without the warm-up."""
        return self.where(self.planned >= 0)

    @property
    def ok(self) -> Mask:
        """Answered with a result."""
        return np.asarray(self.outcome == OK)

    @property
    def unanswered(self) -> Mask:
        """Sent, and no word of the service came: too late, or the connection broke."""
        return np.isin(self.outcome, sorted(UNANSWERED))

    @property
    def was_sent(self) -> Mask:
        """All but what the generator itself left out."""
        return np.asarray(self.outcome != UNSENT)

    @property
    def seconds(self) -> Floats:
        """From the planned time to the answer: what a caller who came then would have waited."""
        return self.ended - self.planned

    @property
    def late(self) -> Floats:
        """How late each was sent, seconds: the generator's own fault."""
        return self.sent - self.planned


def percentile(values: Floats | Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that ``percent`` of all do not exceed; NaN if there is none."""
    if not len(values):
        return math.nan
    ordered = np.sort(np.asarray(values))
    return float(ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1])


def save(samples: Samples, folder: Path) -> Path:
    """Write ``samples.parquet``, or ``samples.csv`` where pyarrow is not installed. Raises OSError."""
    columns: dict[str, Any] = {name: getattr(samples, name) for name in (*TIMES, *WORDS)}
    columns |= {STAGE + name: values for name, values in samples.stages.items()}
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        path = folder / "samples.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
        return path
    path = folder / "samples.parquet"
    parquet.write_table(pa.table({name: pa.array(column.tolist()) for name, column in columns.items()}), path)
    return path


def load(folder: Path) -> Samples:
    """Read what :func:`save` wrote. Raises OSError, ValueError if it is something else."""
    try:
        columns = _read(folder)
        read: dict[str, Any] = {name: np.asarray(columns[name], np.float64) for name in TIMES}
        read |= {name: np.asarray(columns[name], np.str_) for name in WORDS}
        stages = {name.removeprefix(STAGE): column for name, column in columns.items() if name.startswith(STAGE)}
        return Samples(**read, stages={name: np.asarray(column, np.float64) for name, column in stages.items()})
    except KeyError as error:
        raise ValueError(f"{folder} holds no samples of a load test: the column {error} is missing.") from error


def _read(folder: Path) -> Mapping[str, Sequence[Any]]:
    if (folder / "samples.parquet").is_file():
        from pyarrow import parquet

        table: Mapping[str, Sequence[Any]] = parquet.read_table(folder / "samples.parquet").to_pydict()
        return table
    with (folder / "samples.csv").open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {name: () for name in names}


def _floats(parts: Sequence[Mapping[str, Any]], name: str) -> Floats:
    return np.concatenate([_column(part[name]) for part in parts]) if parts else np.empty(0)


def _stage(parts: Sequence[Mapping[str, Any]], name: str) -> Floats:
    """A stage's column; NaN for the rows of chunks that have none."""
    return np.concatenate([_column(part["stages"].get(name) or [math.nan] * len(part["planned"])) for part in parts])


def _column(values: Sequence[float]) -> Floats:
    return np.asarray(values, np.float64)
