"""How long a photo takes in its place: a smoothed mean and deviation, as TCP keeps of its round trips."""

from __future__ import annotations

from typing import Final

GAIN: Final = 1 / 16
"""Weight of the newest photo: photos come by the hundred a second, round trips did not when RFC 6298 chose 1/8."""

PRIOR: Final = 3
"""Photos that the guess counts for: the first photos after a start are the slowest of all, and one of them alone must
not close the door, as RFC 6298's rule of taking the first whole would."""

DEVIATIONS: Final = 3.0
"""Deviations above the mean that :attr:`ServiceTime.careful_s` allows for (RFC 6298 has 4 for a retransmission,
which costs more than a refusal)."""


class ServiceTime:
    """Mean and mean deviation of seconds (RFC 6298, 2.2 and 2.3), and the mean cost of a photo."""

    def __init__(self, guess_s: float) -> None:
        """``guess_s`` is the mean until photos have been answered."""
        self.mean_s = guess_s
        self.mean_cost = 1.0
        self._deviation_s = 0.0
        self._seen = 0

    def add(self, seconds: float, cost: float) -> None:
        """One photo more."""
        self._seen += 1
        gain = max(GAIN, 1 / (PRIOR + self._seen))
        self._deviation_s += gain * (abs(seconds - self.mean_s) - self._deviation_s)
        self.mean_s += gain * (seconds - self.mean_s)
        self.mean_cost += gain * (cost - self.mean_cost)

    @property
    def careful_s(self) -> float:
        """What nearly every photo stays below, seconds."""
        return self.mean_s + DEVIATIONS * self._deviation_s
