"""What a run says of every objective, and whether it may say anything at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from contract.slo import Objective, Ratio, Selector, Threshold
from loadtest.plan import Plan, Protocol
from loadtest.run import Run
from loadtest.samples import Mask, Samples, percentile

LATENCY_METRIC: Final = "bestiary_photo_latency_seconds"
PHOTOS_METRIC: Final = "bestiary_photos_total"
"""The metrics of the service that a caller can count himself."""

LATE_SHARE: Final = 0.1
"""Of the tightest latency objective: photos that are sent later than this (p99) measure the generator."""

LATE_WITHOUT_OBJECTIVE_S: Final = 0.025
MAX_CPU_SHARE: Final = 0.8
"""Of one core: above it a process of one thread has no time left for being on time."""

SENT_SHARE: Final = 0.999
Z95: Final = 1.96


class Outcome(StrEnum):
    """What is said of one objective."""

    PASS = "PASS"  # noqa: S105  # not a password
    FAIL = "FAIL"
    UNJUDGED = "UNJUDGED"
    """Nothing in this run is what the objective is about. Not a pass."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One objective and what was measured of it."""

    objective: Objective
    outcome: Outcome
    events: int
    """Photos that it is about."""
    good: int
    at_target: float
    """For a threshold the value that the target share of events keeps, e.g. the p99 in seconds; else NaN."""
    reason: str = ""

    @property
    def share(self) -> float:
        """Of good events; NaN without any."""
        return self.good / self.events if self.events else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the share (Wilson 1927): how much so few photos can say."""
        return wilson(self.good, self.events)

    @property
    def certain(self) -> bool:
        """Whether the target lies outside the interval."""
        low, high = self.interval
        return not low <= self.objective.target <= high

    @property
    def limit_s(self) -> float | None:
        """Of a latency objective its value, seconds."""
        indicator = self.objective.indicator
        return indicator.value if isinstance(indicator, Threshold) else None

    def told(self) -> dict[str, object]:
        """For JSON."""
        low, high = self.interval
        return {
            "slo": self.objective.slo,
            "objective": self.objective.name,
            "outcome": self.outcome.value,
            "target": self.objective.target,
            "limit_s": self.limit_s,
            "share": _number(self.share),
            "share_low": _number(low),
            "share_high": _number(high),
            "events": self.events,
            "good": self.good,
            "at_target": _number(self.at_target),
            "certain": self.certain,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a run. ``faults``: why it is INVALID, a sentence each; none where it is VALID."""

    faults: tuple[str, ...]
    judgements: tuple[Judgement, ...]

    @property
    def valid(self) -> bool:
        """Whether the generator was no bottleneck."""
        return not self.faults

    @property
    def passes(self) -> bool:
        """Whether the run is valid and every objective holds."""
        return self.valid and all(judgement.outcome is Outcome.PASS for judgement in self.judgements)

    def told(self) -> dict[str, object]:
        """For JSON."""
        return {
            "valid": self.valid,
            "passes": self.passes,
            "faults": list(self.faults),
            "objectives": [judgement.told() for judgement in self.judgements],
        }


def judge(run: Run, objectives: Sequence[Objective]) -> Verdict:
    """The verdict on a run of the open loop."""
    samples = run.samples
    return Verdict(
        tuple(faults(run, samples, late_limit_s(objectives))),
        tuple(judge_objective(objective, samples.judged, run.plan) for objective in objectives),
    )


def late_limit_s(objectives: Sequence[Objective]) -> float:
    """How late (p99, seconds) the generator may be."""
    values = [
        objective.indicator.value
        for objective in objectives
        if isinstance(objective.indicator, Threshold) and objective.indicator.selector.metric == LATENCY_METRIC
    ]
    return LATE_SHARE * min(values) if values else LATE_WITHOUT_OBJECTIVE_S


def faults(run: Run, samples: Samples, limit_s: float) -> list[str]:
    """Why a run says nothing of the server: the generator was late, busy, or did not send what was planned."""
    found = []
    if run.plan.callers:
        found.append("A closed loop asks less of a server that is slow, so it proves nothing: it is for comparison.")
    unsent = int((~samples.was_sent).sum())
    if unsent:
        found.append(f"{unsent} photos were not sent, as too many were under way: take a lower rate or more --workers.")
    planned = run.planned
    if len(samples) < SENT_SHARE * planned:
        found.append(f"Of {planned} planned photos only {len(samples)} came back: a process that sends was lost.")
    late = percentile(samples.late[samples.was_sent & (samples.planned >= 0)], 99)
    if late > limit_s:
        found.append(
            f"Photos were sent up to {1e3 * late:.0f} ms late (p99; at most {1e3 * limit_s:.0f} are allowed): give the "
            "generator cores of its own, or more --workers."
        )
    for index, worker in sorted(run.workers.items()):
        lag = percentile(worker.lags, 99)
        if lag > limit_s:
            found.append(
                f"The event loop of generator {index} was {1e3 * lag:.0f} ms late (p99): its machine is too busy."
            )
        if worker.cpu_share > MAX_CPU_SHARE:
            found.append(
                f"Generator {index} used {worker.cpu_share:.0%} of a core and was the bottleneck: give more --workers."
            )
    return found


def judge_objective(objective: Objective, samples: Samples, plan: Plan) -> Judgement:
    """One objective on the photos that it is about."""
    indicator = objective.indicator
    if isinstance(indicator, Threshold):
        if indicator.selector.metric != LATENCY_METRIC:
            return _unjudged(objective, f"{indicator.selector.metric} cannot be seen by a caller.")
        return _judge_latency(objective, indicator, samples, plan)
    if {indicator.part.metric, indicator.total.metric} != {PHOTOS_METRIC}:
        return _unjudged(objective, f"{indicator.part.metric} cannot be seen by a caller.")
    return _judge_ratio(objective, indicator, samples, plan)


def _judge_latency(objective: Objective, indicator: Threshold, samples: Samples, plan: Plan) -> Judgement:
    """Photos that were answered, those of which no word came, and those told no later than the objective allows for an
    answer: whoever waited so long was not answered in time, whatever he was told in the end."""
    waited = np.array([not indicator.good(seconds) for seconds in samples.seconds], bool)
    about = selected(indicator.selector, samples, plan) & samples.was_sent & (samples.ok | samples.unanswered | waited)
    good = about & samples.ok & ~waited
    seconds = np.where(samples.unanswered, math.inf, samples.seconds)[about]
    return _judged(objective, about, good, percentile(seconds, 100 * objective.target))


def _judge_ratio(objective: Objective, indicator: Ratio, samples: Samples, plan: Plan) -> Judgement:
    """The service does not count a photo of which no word came; here it is one that failed."""
    about = selected(indicator.total, samples, plan) & samples.was_sent
    part = selected(indicator.part, samples, plan)
    good = about & (part if indicator.part_is_good else ~part) & ~samples.unanswered
    return _judged(objective, about, good, math.nan)


def _judged(objective: Objective, about: Mask, good: Mask, at_target: float) -> Judgement:
    events, its = int(about.sum()), int(good.sum())
    if not events:
        return _unjudged(objective, "This run has no photo that it is about: look at --tasks, --priority, the errors.")
    outcome = Outcome.PASS if its / events >= objective.target else Outcome.FAIL
    return Judgement(objective, outcome, events, its, at_target)


def _unjudged(objective: Objective, reason: str) -> Judgement:
    return Judgement(objective, Outcome.UNJUDGED, 0, 0, math.nan, reason)


def selected(selector: Selector, samples: Samples, plan: Plan) -> Mask:
    """Photos that a selector means, by the labels that the service would give them."""
    verdicts: dict[tuple[str, str], bool] = {}
    for user, outcome in {*zip(samples.user.tolist(), samples.outcome.tolist(), strict=True)}:
        verdicts[user, outcome] = selector.selects(labels(plan, user, outcome))
    pairs = zip(samples.user.tolist(), samples.outcome.tolist(), strict=True)
    return np.array([verdicts[pair] for pair in pairs], bool)


def labels(plan: Plan, user: str, outcome: str) -> Mapping[str, str]:
    """The labels of the service's metrics for one photo."""
    return {
        "task": plan.tasks.value,
        "priority": plan.priority.value,
        "edge": Protocol(user).edge,
        "outcome": outcome,
    }


def wilson(good: int, events: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); NaN without events."""
    if not events:
        return math.nan, math.nan
    share, spread = good / events, Z95 * Z95 / events
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 * math.sqrt(share * (1 - share) / events + spread / (4 * events)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _number(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None
