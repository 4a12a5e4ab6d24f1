"""Admission as a plan sees it: places in front of Triton that follow latency, a wait that must be worth while.

The rules and their constants are those of ``gateway/admission`` (docs/decisions/0017-admission.md), for callers that
are all alike and interactive; a test compares both.
"""

from __future__ import annotations

from typing import Final

TRITON_SHARE: Final = 0.25
RESERVE: Final = 0.2
STEP: Final = 1.0
BACK_OFF: Final = 0.9
GAIN: Final = 1 / 16
PRIOR: Final = 3
DEVIATIONS: Final = 3.0
LEAST_WAIT: Final = 0.5
RESERVE_LEAST, RESERVE_MOST, RESERVE_STEP = 0.12, 0.35, 0.02
LATE_SHARE: Final = 0.005
JAM: Final = 16
AIM: Final = 0.94


class Limit:
    """How many photos may be in Triton, and whether one more may wait. Seconds."""

    def __init__(self, slo_s: float, least: int, most: int) -> None:
        self._slo_s = slo_s
        self._least, self._most = float(min(least, most)), float(most)
        self._limit = self._least
        self._count, self._sum_s, self._full = 0, 0.0, False
        self._mean_s, self._deviation_s, self._seen = TRITON_SHARE * slo_s, 0.0, 0
        self._reserve, self._jam = RESERVE, 0

    @property
    def places(self) -> int:
        """Now."""
        return int(self._limit)

    @property
    def patience_s(self) -> float:
        """How long a photo may wait for its place."""
        left_s = self._slo_s * (1 - self._reserve) - self._mean_s - DEVIATIONS * self._deviation_s
        return max(left_s, LEAST_WAIT * self._mean_s)

    def predicted_s(self, waiting: int) -> float:
        """How long a photo behind ``waiting`` others would wait."""
        return (waiting + 1) * self._mean_s / self.places

    def left(self, seconds: float) -> None:
        """A photo that had waited was answered so long after it had come: late ones raise what is kept back."""
        self._jam -= 1
        if seconds <= AIM * self._slo_s:
            self._reserve = max(RESERVE_LEAST, self._reserve - RESERVE_STEP * LATE_SHARE)
        elif self._jam <= 0:
            self._reserve, self._jam = min(RESERVE_MOST, self._reserve + RESERVE_STEP), JAM

    def answered(self, seconds: float, inflight: int) -> None:
        """A photo was so long in its place, ``inflight`` places being taken."""
        self._seen += 1
        gain = max(GAIN, 1 / (PRIOR + self._seen))
        self._deviation_s += gain * (abs(seconds - self._mean_s) - self._deviation_s)
        self._mean_s += gain * (seconds - self._mean_s)
        self._count += 1
        self._sum_s += seconds
        self._full = self._full or inflight >= self.places
        if self._count < self.places:
            return
        if self._sum_s / self._count > TRITON_SHARE * self._slo_s:
            self._limit = max(self._least, self._limit * BACK_OFF)
        elif self._full:
            self._limit = min(self._most, self._limit + STEP)
        self._count, self._sum_s, self._full = 0, 0.0, False
