"""What one node is: how its processors slow down when many want them, and how it is set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from planning.curves import Curves, Profile

MAX_BATCH: Final = 32
"""``contract.tensors.MAX_BATCH``; a test asserts that they agree."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One node as it is deployed."""

    cores: int
    """As its operating system counts them."""
    instances: int
    """Of `animals`."""
    workers: int = 1
    """Gateway processes."""
    slo_s: float = 0.25
    """What admission refuses by (deploy/slo)."""
    min_inflight: int = 4
    max_inflight: int = 64
    client_here: bool = False
    """Whether whoever sends the photos shares the cores, as in a benchmark."""


class Speeds:
    """How fast a job runs beside others: processor sharing with a measured slowdown.

    The measured table knows k busy instances on the cores of the machine that was measured; on a machine with n times
    the cores k jobs are as slow as k / n there. Fewer jobs than measured cores interpolate, more than were measured
    share what the most that were measured got (the processors are full by then).
    """

    def __init__(self, profile: Profile, curves: Curves, cores: int) -> None:
        self._scale = curves.cores / cores
        self._tables = {batch: _speeds(profile, batch) for batch in profile.batches}
        self._known: dict[tuple[int, int], float] = {}

    def of(self, batch: int, jobs: int) -> float:
        """Share of its speed alone of a job, one of ``jobs``; ``batch`` is a size that was measured."""
        found = self._known.get((batch, jobs))
        if found is None:
            found = self._known[batch, jobs] = _at(self._tables[batch], max(1.0, jobs * self._scale))
        return found


def _speeds(profile: Profile, batch: int) -> tuple[float, ...]:
    """Speed of each of 1, 2, ... busy instances, never rising; a batch size that lacks them has those of one photo."""
    alone = profile.cell(batch)
    assert alone is not None  # batches lists only these
    speeds = [1.0]
    while cell := profile.cell(batch, len(speeds) + 1):
        speeds.append(min(speeds[-1], alone.ms / cell.ms))
    return tuple(speeds) if len(speeds) > 1 or batch == 1 else _speeds(profile, 1)


def _at(speeds: tuple[float, ...], jobs: float) -> float:
    if jobs >= len(speeds):
        return speeds[-1] * len(speeds) / jobs
    low = int(jobs)
    return speeds[low - 1] + (speeds[low] - speeds[low - 1]) * (jobs - low)
