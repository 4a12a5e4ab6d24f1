"""Small arithmetic on samples, and the facts about this machine that every figure depends on."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def percentile(samples: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest sample that ``percent`` of all samples do not exceed.

    ``percent`` is above 0 and at most 100. Raises ValueError if there is no sample or no such percentile.
    """
    if not samples:
        raise ValueError("a percentile needs at least one sample")
    if not 0 < percent <= 100:
        raise ValueError(f"there is no {percent:g}th percentile")
    ordered = sorted(samples)
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1]


def median(samples: Sequence[float]) -> float:
    """The median; of an even number of samples the mean of the two in the middle."""
    return statistics.median(samples)


def spread(samples: Sequence[float]) -> str:
    """``lowest-highest``, for the reader to see how far rounds lie apart."""
    return f"{min(samples):.1f}-{max(samples):.1f}"


def machine_facts() -> dict[str, str | int | float]:
    """Processor, cores, kernel, load and time (UTC): what a figure means nothing without."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    if "model name" not in fields:
        return platform.machine()
    return f"{fields['model name']} (family {fields.get('cpu family')}, model {fields.get('model')})"
