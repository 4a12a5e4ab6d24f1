"""How many photos Triton gets at once: additive increase, multiplicative decrease on measured latency.

Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance in computer networks"
(1989), on latency instead of loss as in Netflix's concurrency-limits (``AIMDLimit``), with one step for a whole
window of answers: a single slow photo is noise, a slow window is a queue in Triton.
"""

from __future__ import annotations

from typing import Final

STEP: Final = 1.0
"""Places more after a window that was fast and needed them all."""

BACK_OFF: Final = 0.9
"""Factor after a slow window; Netflix's default."""

BACK_OFF_HARD: Final = 0.5
"""Factor after Triton refused a photo or let its time run out; TCP's."""


class Limiter:
    """Pure: knows no clock. ``limit`` stays within ``least`` and ``most``."""

    def __init__(self, *, least: int, most: int, target_s: float) -> None:
        """``target_s``: mean seconds in Triton, its queue included, up to which one more place is given."""
        self._least = float(min(least, most))
        self._most = float(most)
        self._target_s = target_s
        self._limit = self._least
        self._count, self._sum_s, self._full, self._halved = 0, 0.0, False, False

    @property
    def limit(self) -> int:
        """Places now."""
        return int(self._limit)

    def answered(self, seconds: float, inflight: int) -> None:
        """A photo was answered after ``seconds`` in its place; ``inflight`` places were taken then, its own too."""
        self._count += 1
        self._sum_s += seconds
        self._full = self._full or inflight >= self.limit
        if self._count < self.limit:
            return
        if self._sum_s / self._count > self._target_s:
            self._limit = max(self._least, self._limit * BACK_OFF)
        elif self._full:
            self._limit = min(self._most, self._limit + STEP)
        self._begin()

    def overrun(self) -> None:
        """Triton had no room or no time for a photo. Counted once a window, as photos of one jam fail together."""
        if self._halved:
            self._count += 1
            if self._count >= self.limit:
                self._begin()
            return
        self._limit = max(self._least, self._limit * BACK_OFF_HARD)
        self._begin()
        self._halved = True

    def _begin(self) -> None:
        self._count, self._sum_s, self._full, self._halved = 0, 0.0, False, False
