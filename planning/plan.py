"""A whole plan: what is asked, what it takes, and what that rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from contract.options import Task
from planning.costs import Cost, StoreNeeds, cost, store_needs
from planning.curves import Curves
from planning.errors import BadInput
from planning.node import Setup
from planning.prices import Prices, Sku
from planning.sizing import Node, Progress, Sized, silent, size

BATCH_OF_DRAIN: Final = 64
"""Records that the journal drains at once (docs/decisions/0014-cosmos-layout.md)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What has to be carried."""

    per_s: float
    p99_s: float
    sku: str
    task: Task
    photos: str
    spare: int = 1
    instances: int | None = None
    """Of `animals` on a node; None: what the defaults have for its cores."""
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer."""

    wish: Wish
    sku: Sku
    setup: Setup
    sized: Sized
    store: StoreNeeds
    cost: Cost
    currency: str
    assumptions: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Figures with their units in the names."""
        wish, setup = self.wish, self.setup
        return {
            "asked": {
                "photos_per_s": wish.per_s, "p99_ms": 1e3 * wish.p99_s, "sku": wish.sku, "task": wish.task.value,
                "photos": wish.photos, "spare_nodes": wish.spare,
            },
            "nodes": self.sized.nodes,
            "gpu_nodes": self.sized.nodes if self.sku.gpu else 0,
            "node": {"cores": setup.cores, "animals_instances": setup.instances, "gateway_workers": setup.workers},
            "predicted": asdict(self.sized),
            "store": asdict(self.store),
            "cost_per_million_photos": {**asdict(self.cost), "total": self.cost.total, "currency": self.currency},
            "assumptions": list(self.assumptions),
        }  # fmt: skip


def make_plan(
    wish: Wish, curves: Curves, prices: Prices, setup: Setup, progress: Progress = silent, photos: int = 4000
) -> Plan:
    """``setup``: a node as the defaults have it for the SKU's cores; ``photos``: of each simulation.

    Raises BadInput, CannotMeet.
    """
    if not (wish.per_s > 0 and wish.p99_s > 0 and wish.spare >= 0):
        raise BadInput("Rate and p99 have to be above 0, and spare nodes not below.")
    sku = prices.sku(wish.sku)
    if bool(sku.gpu) != (curves.device == "gpu"):
        where = f"with a {sku.gpu}" if sku.gpu else "without a GPU"
        raise BadInput(f"{wish.sku} is a machine {where}, and the curves of {curves.name} are of a {curves.device}.")
    profile = curves.profile(wish.task, wish.photos)
    setup = replace(
        setup, cores=sku.cores, instances=wish.instances or setup.instances, workers=wish.workers or setup.workers
    )
    sized = size(Node(curves, profile, setup, photos), wish.per_s, wish.p99_s, wish.spare, progress)
    return Plan(
        wish, sku, setup, sized, store_needs(wish.per_s, prices),
        cost(wish.per_s, sized.nodes, sku, curves, profile, prices), prices.currency,
        assumptions(wish, sku, curves, prices, setup),
    )  # fmt: skip


def assumptions(wish: Wish, sku: Sku, curves: Curves, prices: Prices, setup: Setup) -> tuple[str, ...]:
    """Everything that the plan takes for granted, a sentence each."""
    said = [
        "Photos come as a Poisson process, one by one, all of one task and one kind; bursts beyond that need more.",
        "Callers are interactive and not on these machines; a balancer spreads photos at random; no network time.",
        f"p99 counts from arrival at the gateway to its reply at ack level durable; a refusal counts as late. "
        f"Admission refuses by an SLO of {1e3 * setup.slo_s:g} ms.",
        f"{wish.spare} node(s) may be away; p50 and p99 are predicted for when they are.",
    ]
    if curves.measured is None:
        said.append(f"NOT MEASURED: the curves {curves.name} are assumed: {curves.note}")
    else:
        said.append(
            f"Curves of {curves.name} ({curves.processor}, {curves.cores} vCPU on {curves.physical_cores} core(s)), "
            f"measured {curves.measured}. {curves.note}"
        )
    if curves.device == "cpu" and sku.cores != curves.cores:
        said.append(
            f"{sku.cores} vCPU are taken for {sku.cores / curves.cores:g} times the {curves.cores} that were measured: "
            "twice the jobs on twice the cores are as slow as before. Memory bandwidth is not modelled."
        )
    if curves.device == "cpu" and sku.cores / sku.physical_cores != curves.cores / curves.physical_cores:
        said.append("The SKU's vCPU share physical cores differently from the measured ones, and count as theirs.")
    if curves.device == "gpu":
        said.append("A GPU works on one batch at a time for each instance, and the next batch gathers meanwhile.")
    said += [
        f"{setup.instances} instance(s) of animals and {setup.workers} gateway worker(s) a node; the batcher takes "
        "what waits, up to 32.",
        f"A record's write costs {prices.store.request_units_per_write:g} request units: assumed, no account was "
        f"measured (benchmarks.cosmos_charges measures yours). Journals drain batches of up to {BATCH_OF_DRAIN}; "
        f"{100 * (prices.store.headroom - 1):.0f} % more is provisioned than is written, for reading and unevenness.",
        f"Prices of {prices.date}: {prices.source}. {prices.note}",
        f"Photos and records are paid for {prices.months_kept:g} month(s); network, balancer, disks, logs are not "
        "counted; the rate is the same all day, and a million photos at another rate cost other than this.",
    ]
    return tuple(said)
