"""Whether what was seen of a release breaks its bounds, and surely so: chance alone rolls nothing back.

Pure. A share breaks its bound only if its whole confidence interval lies above it (E. B. Wilson, "Probable inference,
the law of succession, and statistical inference", 1927), and a median is compared at the near ends of both intervals,
which are order statistics (the sign test's; W. J. Conover, "Practical Nonparametric Statistics", 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from contract.rollout import Bounds
from contract.slo import Slo
from gateway.rollout.watch import CANARY, LOAD, PROBATION, SHADOW, Watch

DEVIATIONS: Final = 3.0
"""Half the width of an interval, in standard deviations: 99.87 % on each side, as it is looked at again and again."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken bound: which, for the metrics, and a sentence for people."""

    bound: str
    reason: str


def judge(watch: Watch, bounds: Bounds, slo: Slo) -> Breach | None:
    """The bound that is broken, if any."""
    if watch.key.stage == LOAD:
        return None
    return (
        _errors(watch, bounds) or _disagreement(watch, bounds) or _slowdown(watch, bounds) or _late(watch, slo, bounds)
    )


def _errors(watch: Watch, bounds: Bounds) -> Breach | None:
    if watch.photos < bounds.min_photos or at_least(watch.errors, watch.photos) <= bounds.max_error_rate:
        return None
    return Breach(
        "errors",
        f"its models failed on {watch.errors} of {watch.photos} photos that another release answered; "
        f"{bounds.max_error_rate:.1%} are allowed",
    )


def _disagreement(watch: Watch, bounds: Bounds) -> Breach | None:
    if watch.key.stage != SHADOW or watch.compared < bounds.min_photos:
        return None
    if at_least(watch.disagreed, watch.compared) <= bounds.max_disagreement:
        return None
    return Breach(
        "disagreement",
        f"it named {watch.disagreed} of {watch.compared} photos otherwise that the champion is sure of; "
        f"{bounds.max_disagreement:.1%} are allowed",
    )


def _slowdown(watch: Watch, bounds: Bounds) -> Breach | None:
    # Whoever has more photos at once has larger batches, which take longer, at most in proportion.
    allowed = bounds.max_slowdown * max(1.0, watch.own.company / watch.other.company)
    for task, times in watch.own.model_ms.items():
        others = watch.other.model_ms.get(task, ())
        if min(len(times), len(others)) < bounds.min_photos:
            continue
        own_ms, other_ms = median_interval(times)[0], median_interval(others)[1]
        if other_ms > 0 and own_ms > allowed * other_ms:
            return Breach(
                "slowdown",
                f"its median time is at least {own_ms:.0f} ms and the other release's at most {other_ms:.0f} ms; "
                f"{allowed:.2g} times as much is allowed",
            )
    return None


def _late(watch: Watch, slo: Slo, bounds: Bounds) -> Breach | None:
    """More photos later than the objective than it allows, and than the other release had: where nothing is known of
    the other, nobody can say that it is not the machine."""
    if watch.key.stage not in (CANARY, PROBATION) or len(watch.own.late) < bounds.min_photos:
        return None
    late, count = sum(watch.own.late), len(watch.own.late)
    allowed = max(1 - slo.latency_share, at_most(sum(watch.other.late), len(watch.other.late)))
    if at_least(late, count) <= allowed:
        return None
    return Breach(
        "latency",
        f"{late} of {count} interactive photos took longer than {slo.latency_s * 1e3:g} ms, the objective; "
        f"{allowed:.1%} are allowed",
    )


def at_least(hits: int, count: int) -> float:
    """Lower end of Wilson's interval for a share of ``hits`` in ``count``; 0 of none."""
    return _wilson(hits, count, -1.0) if count else 0.0


def at_most(hits: int, count: int) -> float:
    """Upper end of Wilson's interval; 1 of none."""
    return _wilson(hits, count, 1.0) if count else 1.0


def _wilson(hits: int, count: int, side: float) -> float:
    square = DEVIATIONS**2
    share = hits / count
    spread = DEVIATIONS * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return min(1.0, max(0.0, (share + square / (2 * count) + side * spread) / (1 + square / count)))


def median_interval(values: Collection[float]) -> tuple[float, float]:
    """Ends of the interval that holds the median: the values at the ranks n/2 -+ DEVIATIONS * sqrt(n)/2."""
    ordered = sorted(values)
    reach = DEVIATIONS * math.sqrt(len(ordered)) / 2
    low = max(0, math.floor(len(ordered) / 2 - reach))
    return ordered[low], ordered[len(ordered) - 1 - low]
