"""The highest rate that keeps the promise, by steps of a few seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.figures import percentile
from benchmarks.peers.generator import Samples

LIMIT_S: Final = 0.25
"""The p99, from the planned time of sending, has to be within it."""

FACTOR: Final = 1.25
"""Between the first steps; squared each time, up to ``MOST``, until one passed and one failed."""

NEAR: Final = 1.1
"""The same where an earlier round has found the neighbourhood."""

MOST: Final = 2.0

RESOLUTION: Final = 1.04
"""The search ends when the lowest rate that failed is at most so many times the highest that passed."""

MAX_STEPS: Final = 14
LEAST: Final = 0.5
"""Lower rates are not tried: a system that cannot keep the promise there is as good as none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rate that was tried. Rates in photos a second, times in milliseconds."""

    rate: float
    passed: bool
    photos: int
    """Planned; fewer were sent where the step was given up."""
    answered: int
    p50_ms: float | None
    p99_ms: float | None
    """Nearest rank, of what was answered."""
    errors: dict[str, int]
    given_up: bool
    late_p99_ms: float | None
    """How late the generator sent."""
    generator_cpu_ms: float | None
    """A photo, of the generator."""
    cpu_ms: float | None = None
    """A photo, of all processes of the system."""
    instructions: float | None = None
    """A photo, of all processes of the system; None where the machine cannot count them."""


def step_of(rate: float, samples: Samples, *, cpu_s: float | None = None, instructions: float | None = None) -> Step:
    """The figures of one run, and whether it kept the promise: no error, nothing unsent, p99 within ``LIMIT_S``."""
    answered = len(samples.latencies)

    def each(total: float | None, scale: float) -> float | None:
        return scale * total / answered if total is not None and answered else None

    p99_s = percentile(samples.latencies, 99) if answered else math.inf
    return Step(
        rate=rate,
        passed=answered == samples.planned and not samples.errors and p99_s <= LIMIT_S,
        photos=samples.planned,
        answered=answered,
        p50_ms=1e3 * percentile(samples.latencies, 50) if answered else None,
        p99_ms=1e3 * p99_s if answered else None,
        errors=samples.errors,
        given_up=samples.given_up,
        late_p99_ms=1e3 * percentile(samples.lateness, 99) if samples.lateness else None,
        generator_cpu_ms=each(samples.cpu_seconds, 1e3),
        cpu_ms=each(cpu_s, 1e3),
        instructions=each(instructions, 1.0),
    )


def highest_rate(probe: Callable[[float], Step], guess: float, stride: float = FACTOR) -> list[Step]:
    """Steps from ``guess`` on until a rate that passed and one that failed lie within ``RESOLUTION`` of each other.

    First up or down in growing strides, then by halving the (geometric) gap. The answer is :func:`best`. A rate that
    failed is not tried again: several rounds tell chance from capacity. Raises ValueError for a guess that is no rate.
    """
    if not (math.isfinite(guess) and guess > 0):
        raise ValueError("the search needs a positive rate to start from")
    steps: list[Step] = []
    passed, failed, rate = 0.0, math.inf, guess
    while len(steps) < MAX_STEPS and rate >= LEAST and failed > RESOLUTION * passed:
        steps.append(probe(rate))
        if steps[-1].passed:
            passed = rate
        else:
            failed = rate
        if passed and math.isfinite(failed):
            rate = math.sqrt(passed * failed)
            continue
        rate = passed * stride if passed else failed / stride
        stride = min(stride**2, MOST)
    return steps


def best(steps: list[Step]) -> Step | None:
    """The step with the highest rate that passed; None if none did."""
    return max((step for step in steps if step.passed), key=lambda step: step.rate, default=None)
