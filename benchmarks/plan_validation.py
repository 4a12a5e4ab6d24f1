"""``python -m benchmarks.plan_validation``: does ``bestiary plan`` predict what happens?

Measures this machine's curves (``benchmarks.plan_curves``), then for each configuration starts a stack, sends Poisson
arrivals at 30, 60 and 80 % of the predicted maximum and searches the highest rate with 99 of 100 photos within the SLO,
refused ones counted as late. The simulation replays the very same arrival times, so that chance is the same for both.
A cell is the share by which prediction and measurement differ; the promise is 15 %. Curves and configurations have to
come from the same hour of the same quiet machine, which is why one command takes both.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.figures import machine_facts, percentile
from benchmarks.load import Generator, GeneratorError, Sample, Target
from benchmarks.overload import SLO_FILE
from benchmarks.photos import NoPhotos
from benchmarks.plan_curves import Times, measure, photos_of, rendered
from benchmarks.stack import PLAIN, StackError, running_stack, workshop
from contract.options import Task
from contract.slo import read_slo
from planning.curves import Curves, Profile, read_curves
from planning.node import Setup
from planning.outcome import Outcome
from planning.simulation import replay
from planning.sizing import SHARE

PROMISED: Final = 0.15
SHARES: Final = (0.3, 0.6, 0.8)
SEEDS: Final = (1, 2, 3)
"""Of service times; the means of the predictions count. Arrivals have a seed of their own."""

SEARCH: Final = (0.5, 1.6)
"""Where the measured maximum is looked for, over the predicted one."""

STEPS: Final = 5
SEARCH_SEED: Final = 100
WARM_S: Final = 2.0
PAUSE_S: Final = 0.5
"""Between runs, so that one does not begin in the other's queue."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is deployed and asked."""

    task: Task
    photos: str
    instances: int

    @property
    def name(self) -> str:
        """For tables and options: ``species/small/3``."""
        return f"{self.task}/{self.photos}/{self.instances}"


DEFAULT: Final = (
    "species/small/1", "species/small/2", "species/small/3", "species/trap/3", "count/small/2", "full/small/3",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: predicted and measured, in milliseconds or photos a second."""

    configuration: str
    what: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.measured - 1 if self.measured else float("inf")


def arrivals(per_s: float, seconds: float, seed: int) -> list[float]:
    """The times that ``Generator.open`` draws with that seed."""
    chance, times = random.Random(seed), []
    at = chance.expovariate(per_s)
    while at < seconds:
        times.append(at)
        at += chance.expovariate(per_s)
    return times


@dataclass(frozen=True, slots=True)
class Model:
    """The prediction for one configuration."""

    curves: Curves
    profile: Profile
    setup: Setup
    slo_s: float

    def at(self, per_s: float, seconds: float, seed: int) -> list[Outcome]:
        """What it says of the arrivals that are going to be sent."""
        times = arrivals(per_s, seconds, seed)
        return [replay(self.curves, self.profile, self.setup, times, seed=service) for service in SEEDS]

    def met(self, per_s: float, seconds: float, seed: int) -> bool:
        """Whether 99 of 100 photos are answered within the SLO."""
        return fmean(one.share_within(self.slo_s) for one in self.at(per_s, seconds, seed)) >= SHARE


def highest(met: Callable[[float], bool], low: float, high: float, steps: int) -> float:
    """Bisection between a rate that is taken to be met and one that is taken to be missed."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if met(middle) else (low, middle)
    return (low + high) / 2


def validate(configuration: Configuration, curves: Curves, seconds: float, slo_s: float) -> list[Row]:
    """All figures of one configuration. Raises StackError, GeneratorError."""
    setup = Setup(cores=curves.cores, instances=configuration.instances, slo_s=slo_s, client_here=True)
    profile = curves.profile(configuration.task, configuration.photos)
    model = Model(curves, profile, setup, slo_s)
    roof = 2e3 * curves.cores / (profile.alone_ms(1) + profile.edge_loop_ms + profile.triton_ms)
    most = highest(lambda rate: model.met(rate, seconds, SEARCH_SEED), 0.02 * roof, roof, STEPS + 3)
    rates = [share * most for share in SHARES]
    predicted = [model.at(rate, seconds, seed) for seed, rate in enumerate(rates)]
    measured, found = _measured(configuration, rates, most, seconds, slo_s)
    rows = [
        Row(
            configuration.name,
            f"p{percent} at {share:.0%}",
            1e3 * fmean(one.percentile_s(percent) for one in outcomes),
            1e3 * percentile(took, percent) if took else float("inf"),
        )
        for share, outcomes, took in zip(SHARES, predicted, measured, strict=True)
        for percent in (50, 99)
    ]
    return [*rows, Row(configuration.name, "max rate", most, found)]


def _measured(
    configuration: Configuration, rates: Sequence[float], most: float, seconds: float, slo_s: float
) -> tuple[list[list[float]], float]:
    """Seconds of what was answered at each rate, and the highest rate, on a stack of its own."""
    with workshop("plan") as folder:
        settings = folder / "settings.json"
        settings.write_text(json.dumps({"settings": {"instances": configuration.instances}}))
        with running_stack(folder, PLAIN, "--settings", str(settings)) as stack:
            target = Target(stack.gateway_grpc, photos_of(configuration.photos).photos, configuration.task.value)
            with Generator(target) as generator:
                generator.closed(8, WARM_S)

                def run(rate: float, seed: int) -> list[Sample]:
                    time.sleep(PAUSE_S)
                    return generator.open(rate, seconds, seed)

                took = [
                    [sample.seconds for sample in run(rate, seed) if sample.code == "OK"]
                    for seed, rate in enumerate(rates)
                ]
                low, high = (factor * most for factor in SEARCH)
                found = highest(lambda rate: _within(run(rate, SEARCH_SEED), slo_s) >= SHARE, low, high, STEPS)
    return took, found


def _within(samples: Sequence[Sample], slo_s: float) -> float:
    return sum(sample.code == "OK" and sample.seconds <= slo_s for sample in samples) / len(samples)


def table(rows: Sequence[Row]) -> Table:
    """The rows for a reader."""
    shown = Table("configuration", "figure", "predicted", "measured", "difference", "")
    for row in rows:
        unit = "/s" if row.what == "max rate" else " ms"
        shown.add_row(
            row.configuration, row.what, f"{row.predicted:.1f}{unit}", f"{row.measured:.1f}{unit}",
            f"{row.error:+.0%}", "" if abs(row.error) <= PROMISED else "OVER",
        )  # fmt: skip
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 every figure is within 15 %, 1 one is not or something failed."""
    options = _parser().parse_args(arguments)
    wanted = [one.split("/") for one in options.only]
    configurations = [Configuration(Task(task), photos, int(instances)) for task, photos, instances in wanted]
    slo_s = read_slo(SLO_FILE).latency_s
    console = Console(width=None if sys.stdout.isatty() else 120)
    machine, began, rows = machine_facts(), time.monotonic(), list[Row]()
    try:
        if options.curves:
            curves = read_curves(options.curves)
        else:
            profiles = sorted({(one.task, one.photos) for one in configurations})
            curves = measure(profiles, Times(options.cell_seconds, 4.0), "validation")
            if options.keep_curves:
                options.keep_curves.write_text(rendered(curves))
        for configuration in configurations:
            print(f"{configuration.name} ... ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
            rows += validate(configuration, curves, options.seconds, slo_s)
    except (StackError, GeneratorError, NoPhotos, grpc.RpcError) as error:
        print(f"plan_validation: {error}", file=sys.stderr)
        return 1
    console.print(table(rows))
    within = sum(abs(row.error) <= PROMISED for row in rows)
    console.print(f"{within} of {len(rows)} within {PROMISED:.0%}; {machine}; {time.monotonic() - began:.0f} s in all")
    if options.json:
        facts = {"machine": machine, "rows": [asdict(row) | {"error": row.error} for row in rows]}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0 if within == len(rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_validation", description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(DEFAULT), metavar="TASK/PHOTOS/INSTANCES")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each rate (default 6)")
    parser.add_argument("--cell-seconds", type=float, default=1.0, help="of each cell of the curves (default 1)")
    parser.add_argument("--curves", type=Path, help="take these instead of measuring")
    parser.add_argument("--keep-curves", type=Path, help="write the measured curves to this file")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
