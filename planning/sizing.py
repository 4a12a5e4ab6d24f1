"""How many nodes a rate needs, and the highest rate that one node meets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from planning.curves import Curves, Profile
from planning.errors import CannotMeet
from planning.node import Setup
from planning.outcome import Outcome
from planning.simulation import Needed, open_loop

SHARE: Final = 0.99
"""Of all photos, refused ones included, that have to be answered within the p99 asked for."""

RESOLUTION: Final = 0.03
"""The highest rate is found to this share."""

IDLE_SHARE: Final = 0.02
"""Load at which a node counts as idle: what it misses then, no number of nodes meets."""

MOST_NODES: Final = 1000
SEEDS: Final = (1, 2)
"""Simulations of different arrivals; the worse counts."""

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """For who wants no progress."""


@dataclass(frozen=True, slots=True)
class Node:
    """What is simulated: one node and how it is asked."""

    curves: Curves
    profile: Profile
    setup: Setup
    photos: int = 4000
    """Of each simulation."""

    def at(self, per_s: float, seed: int = 1, needed: Needed | None = None) -> Outcome:
        """What comes of Poisson arrivals of ``per_s``."""
        return open_loop(self.curves, self.profile, self.setup, per_s, photos=self.photos, seed=seed, needed=needed)

    @property
    def roof_per_s(self) -> float:
        """No more photos a second than this, whatever they wait: everything busy with the largest measured batches."""
        profile = self.profile
        batch = max(profile.batches)
        alone = profile.alone_ms(batch) / batch
        if self.curves.device == "gpu":
            return 1.1e3 * min(self.setup.instances / alone, self.setup.cores / (profile.edge_loop_ms + 1e-3))
        return 1.1e3 * self.setup.cores / (alone + profile.edge_loop_ms + profile.triton_ms)


@dataclass(frozen=True, slots=True)
class Sized:
    """An answer: how many nodes, and how each fares."""

    nodes: int
    spare: int
    """Of the nodes, how many may be away."""
    per_node_per_s: float
    """With the spare ones away."""
    max_per_node_per_s: float
    p50_ms: float
    p99_ms: float
    utilisation: float
    """Rate over the highest rate, with the spare nodes away."""
    mean_batch: float


def meets(node: Node, per_s: float, p99_s: float) -> bool:
    """Whether 99 of 100 photos, refused ones counted as late, are answered within ``p99_s``, whatever the seed."""
    needed = Needed(p99_s, SHARE)
    return all(node.at(per_s, seed, needed).share_within(p99_s) >= SHARE for seed in SEEDS)


def highest_rate(node: Node, p99_s: float, progress: Progress = silent, resolution: float = RESOLUTION) -> float:
    """The highest rate of Poisson arrivals, photos a second, that meets ``p99_s``. Raises CannotMeet."""
    roof = node.roof_per_s
    idle = node.at(IDLE_SHARE * roof)
    progress(f"idle node: p99 {1e3 * idle.percentile_s(99):.0f} ms")
    if idle.share_within(p99_s) < SHARE:
        raise CannotMeet(
            f"A p99 of {1e3 * p99_s:g} ms cannot be met with any number of nodes: on one that is nearly idle the "
            f"p99 is {1e3 * idle.percentile_s(99):.0f} ms. Ask for more time, a smaller task, or a faster machine."
        )
    low, high = IDLE_SHARE * roof, roof
    while high > low * (1 + resolution):
        middle = (low * high) ** 0.5 if high > 4 * low else (low + high) / 2
        good = meets(node, middle, p99_s)
        progress(f"{middle:.1f} photos/s a node: {'met' if good else 'missed'}")
        low, high = (middle, high) if good else (low, middle)
    return low


def size(node: Node, per_s: float, p99_s: float, spare: int = 1, progress: Progress = silent) -> Sized:
    """Nodes for ``per_s`` photos a second with ``spare`` of them away. Raises CannotMeet.

    A balancer that picks nodes at random splits Poisson arrivals into Poisson arrivals, so one node stands for all.
    """
    most = highest_rate(node, p99_s, progress)
    needed = max(1, -int(-per_s / most // 1))
    if needed + spare > MOST_NODES:
        raise CannotMeet(f"{needed} nodes would be needed, more than {MOST_NODES}: take larger machines.")
    share = per_s / needed
    outcome = node.at(share)
    return Sized(
        nodes=needed + spare,
        spare=spare,
        per_node_per_s=share,
        max_per_node_per_s=most,
        p50_ms=1e3 * outcome.percentile_s(50),
        p99_ms=1e3 * outcome.percentile_s(99),
        utilisation=share / most,
        mean_batch=outcome.mean_batch,
    )
