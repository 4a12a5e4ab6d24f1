"""What came of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Outcome:
    """What came of a simulation; photos of its first part, while queues fill, are not in it."""

    seconds: float
    """Simulated, without the first part."""
    offered: int = 0
    refused: int = 0
    latencies_s: list[float] = field(default_factory=list)
    """Of what was answered, ascending once ``finish`` was called."""
    batches: list[int] = field(default_factory=list)
    """Photos of each execution."""

    @property
    def answered_per_s(self) -> float:
        """Photos a second."""
        return len(self.latencies_s) / self.seconds

    @property
    def refused_share(self) -> float:
        """Of what was offered."""
        return self.refused / self.offered if self.offered else 0.0

    @property
    def mean_batch(self) -> float:
        """Photos an execution."""
        return sum(self.batches) / len(self.batches) if self.batches else 0.0

    def percentile_s(self, percent: float) -> float:
        """Nearest rank over what was answered; NaN if nothing was."""
        return _percentile(self.latencies_s, percent)

    def share_within(self, seconds: float) -> float:
        """Of everything that was offered, what was answered within ``seconds``: a refusal counts as late."""
        within = sum(took <= seconds for took in self.latencies_s)
        return within / self.offered if self.offered else 1.0


def _percentile(ordered: Sequence[float], percent: float) -> float:
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, max(0, -int(-percent / 100 * len(ordered) // 1) - 1))]
