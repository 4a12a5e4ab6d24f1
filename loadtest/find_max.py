"""The highest rate at which everything that is promised is kept: bracketing, bisection, and the result once more."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

GROWTH: Final = 2.0
"""From one rate to the next while nothing fails, or nothing holds."""

CONFIRMATIONS: Final = 3


class Trial(StrEnum):
    """What became of one run."""

    MET = "met"
    MISSED = "missed"
    INVALID = "invalid"
    """The generator was the bottleneck: a bound for the search, and no word on the server."""


@dataclass(frozen=True, slots=True)
class Found:
    """``rate`` photos a second were met twice, with different arrivals; None if no rate that was tried was."""

    rate: float | None
    above: float | None
    """The lowest rate that was not met; None if none was tried."""
    limited_by_generator: bool
    runs: tuple[tuple[float, Trial], ...]
    """Every run in order."""

    @property
    def resolution(self) -> float:
        """The true maximum may be higher by this share; infinite where nothing failed."""
        return self.above / self.rate - 1 if self.rate and self.above else math.inf


def find_max(attempt: Callable[[float, int], Trial], start: float, resolution: float, max_runs: int) -> Found:
    """Search. ``attempt(rate, number)`` does one run, ``number`` being different for each; ``resolution`` is a share.

    It takes the rate to be monotonic: what is missed at one is missed at all above. Noise breaks that, so the end is
    confirmed by another run, and lowered by the resolution if it misses.
    """
    runs: list[tuple[float, Trial]] = []
    low = high = None
    limited = False

    def met(rate: float) -> bool:
        nonlocal limited
        trial = attempt(rate, len(runs))
        runs.append((rate, trial))
        limited |= trial is Trial.INVALID
        return trial is Trial.MET

    rate = start
    while len(runs) < max_runs:
        if met(rate):
            low = rate
        else:
            high = rate
        if low is not None and high is not None and high <= low * (1 + resolution):
            break
        rate = _next(low, high)
    for _ in range(CONFIRMATIONS):
        if low is None or met(low):
            break
        high, low = low, low / (1 + resolution)
    else:
        low = None
    return Found(low, high, limited, tuple(runs))


def _next(low: float | None, high: float | None) -> float:
    if low is None:
        return (high or 0.0) / GROWTH
    return low * GROWTH if high is None else math.sqrt(low * high)
