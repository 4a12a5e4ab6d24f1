"""Where the time of answered photos went: the stages of their replies, made disjoint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from loadtest.samples import Floats, Samples

HOLDERS: Final = ("total", "triton", "model")
"""Stages that hold one another and all other stages, from the outermost. What each has beyond is shown, not it."""

BEYOND: Final = {
    "total": "gateway, other",
    "triton": "Triton's queue and transfer",
    "model": "model, other",
}
INSIDE: Final = {"model": ("decode", "detect", "classify"), "triton": ("queue",)}
"""Stages that a holder is known to hold. Others are the gateway's."""

WIRE: Final = "edge and wire"
LATE: Final = "sent late"


def where_time_went(samples: Samples) -> dict[str, float]:
    """Mean milliseconds of answered photos by stage; they add up to the mean latency."""
    its = samples.where(samples.ok)
    return {name: float(np.mean(values)) for name, values in split(its).items()} if len(its) else {}


def split(samples: Samples) -> dict[str, Floats]:
    """Milliseconds by disjoint stage, each float64 [N], for answered photos. Stages are whatever the replies have;
    those that are not known here are taken to lie beside one another."""
    nothing = np.zeros(len(samples))
    leaves = {name: np.nan_to_num(values) for name, values in samples.stages.items() if name not in HOLDERS}
    inside = {
        holder: _sum((leaves[name] for name in names if name in leaves), nothing) for holder, names in INSIDE.items()
    }
    inside["total"] = _sum(leaves.values(), nothing) - _sum(inside.values(), nothing)
    beyond: dict[str, Floats] = {}
    held = left = nothing  # explained so far; stages that no holder has explained yet
    for holder in reversed(HOLDERS):
        left = left + inside[holder]
        whole = samples.stages.get(holder, np.full(len(samples), np.nan))
        extra = np.nan_to_num(np.maximum(whole - held, 0.0))
        explained = np.minimum(extra, left)
        beyond[BEYOND[holder]] = extra - explained
        held, left = held + extra, left - explained
    wire = np.maximum(1e3 * (samples.ended - samples.sent) - held - left, 0.0)
    parts = {LATE: 1e3 * samples.late, WIRE: wire, BEYOND["total"]: beyond[BEYOND["total"]]}
    parts |= {BEYOND["triton"]: beyond[BEYOND["triton"]], **leaves, BEYOND["model"]: beyond[BEYOND["model"]]}
    return {name: values for name, values in parts.items() if float(values.max(initial=0.0)) > 0}


def _sum(parts: Iterable[Floats], start: Floats) -> Floats:
    return sum(parts, start)
