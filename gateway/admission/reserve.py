"""How much of the SLO is kept back for what admission does not see, learnt from how late answers really are."""

from __future__ import annotations

from typing import Final

LEAST: Final = 0.12
MOST: Final = 0.35
"""Bounds of the reserve, shares of the SLO."""

LATE_SHARE: Final = 0.005
"""Of answers that may be late; half of what a p99 allows, the rest is for what we cannot see."""

STEP: Final = 0.02
"""What late answers add, a share of the SLO."""

JAM: Final = 16
"""Photos of one jam are late together, so of so many in a row one counts."""

AIM: Final = 0.94
"""Share of the SLO within which an answer should leave us; what remains is the way back."""


class Reserve:
    """Pure. Follows a quantile by stochastic approximation (Robbins and Monro 1951): up by ``STEP`` for a late answer
    and down by ``STEP * LATE_SHARE`` for each other, so it rests where ``LATE_SHARE`` are late.
    """

    def __init__(self, slo_s: float, share: float) -> None:
        """``share``: what to begin with."""
        self._slo_s = slo_s
        self._share = share
        self._jam = 0

    @property
    def seconds(self) -> float:
        """What to keep back of the SLO now."""
        return self._share * self._slo_s

    def answered(self, seconds: float) -> None:
        """A photo that had waited was answered after so many seconds, as near to its caller as can be measured."""
        self._jam -= 1
        if seconds <= AIM * self._slo_s:
            self._share = max(LEAST, self._share - STEP * LATE_SHARE)
        elif self._jam <= 0:
            self._share = min(MOST, self._share + STEP)
            self._jam = JAM
