"""The figures of a run for people and programs."""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from loadtest.run import Run
from loadtest.samples import Samples, percentile
from loadtest.stages import where_time_went
from loadtest.wire.reply import REJECTED

PERCENTS: Final = (50, 90, 95, 99, 99.9)


def summarise(run: Run) -> dict[str, Any]:
    """Counts, rates (photos a second) and milliseconds of the judged part; None where there is no number."""
    samples, seconds = run.samples.judged, run.plan.schedule.seconds
    return {
        "planned": len(samples),
        "offered_per_s": len(samples) / seconds,
        "answered_per_s": float(samples.ok.sum()) / seconds,
        "latency_ms": latencies(samples),
        "outcomes": dict(Counter(samples.outcome.tolist()).most_common()),
        "by_kind": {kind: _by_kind(samples, kind) for kind in sorted(set(samples.kind.tolist()))},
        "where_ms": where_time_went(samples),
        "generator": generator(run),
    }


def latencies(samples: Samples) -> dict[str, float | None]:
    """Percentiles from the planned time, of photos with an answer or without any word; the latter as long as they were
    waited for."""
    seconds = samples.seconds[samples.ok | samples.unanswered]
    return {f"p{percent:g}": _ms(percentile(seconds, percent)) for percent in PERCENTS} | {
        "max": _ms(float(seconds.max()) if len(seconds) else math.nan)
    }


def _by_kind(samples: Samples, kind: str) -> dict[str, Any]:
    its = samples.where(samples.kind == kind)
    outcomes = dict(Counter(its.outcome.tolist()).most_common())
    return {"photos": len(its), "outcomes": outcomes, "latency_ms": latencies(its)}


def surprises(samples: Samples) -> list[str]:
    """What a reader should look at although no objective is about it."""
    found = []
    good = samples.where(samples.kind != "bad")
    rejected = Counter(good.outcome[np.isin(good.outcome, sorted(REJECTED))].tolist())
    if rejected:
        found.append(f"{rejected.total()} photos that were meant to be good were rejected: {_words(rejected)}.")
    accepted = int((samples.where(samples.kind == "bad").ok).sum())
    if accepted:
        found.append(f"{accepted} photos that were meant to be bad were answered.")
    refused = Counter(
        outcome for outcome in good.outcome.tolist() if outcome in ("overloaded", "quota_exceeded", "deadline_exceeded")
    )
    if refused:
        found.append(f"{refused.total()} of {len(good)} good photos were refused: {_words(refused)}.")
    return found


def _words(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.items())


def generator(run: Run) -> dict[str, Any]:
    """How the processes that send fared."""
    samples = run.samples
    late = samples.late[samples.was_sent & (samples.planned >= 0)]
    cpu_s = sum(worker.cpu_s for worker in run.workers.values())
    return {
        "workers": max(run.plan.workers, 1),
        "late_p99_ms": _ms(percentile(late, 99)),
        "late_max_ms": _ms(float(late.max()) if len(late) else math.nan),
        "lag_p99_ms": _ms(max((percentile(worker.lags, 99) for worker in run.workers.values()), default=math.nan)),
        "cpu_share": max((worker.cpu_share for worker in run.workers.values()), default=None),
        "cpu_ms_per_photo": 1e3 * cpu_s / len(samples) if len(samples) else None,
        "unsent": int((~samples.was_sent).sum()),
    }


def machine() -> dict[str, Any]:
    """Where the generator ran: a figure means nothing without it."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _ms(seconds: float) -> float | None:
    return round(1e3 * seconds, 3) if math.isfinite(seconds) else None
