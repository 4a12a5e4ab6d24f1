"""``python -m benchmarks.plan_validation``: does ``bestiary plan`` predict what happens?

For each configuration it measures this machine's curves (``benchmarks.plan_curves``), starts a stack, sends Poisson
arrivals at 30, 60 and 80 % of the predicted maximum and searches the highest rate with 99 of 100 photos within the SLO,
refused ones counted as late. The simulation replays the very same arrival times, so that chance is the same for both.
A cell is the share by which prediction and measurement differ; the promise is 15 %. A machine that others share is not
the same for long, so the curves are taken right before and right after what they are to predict, and each measurement
is the median of three runs with the same arrivals, which are shown too: where they lie further apart than 15 %, no
prediction could have been right about all of them.
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
from statistics import fmean, median
from typing import Final

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.figures import machine_facts, percentile
from benchmarks.load import Generator, GeneratorError, Sample, Target
from benchmarks.overload import SLO_FILE
from benchmarks.photos import NoPhotos
from benchmarks.plan_curves import Times, measure, photos_of
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

STEPS: Final = 4
REPEATS: Final = 3
"""Runs with the same arrivals; their median counts, in the search their majority."""

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
    runs: tuple[float, ...] = ()
    """What ``measured`` is the median of."""

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.measured - 1 if self.measured else float("inf")

    @property
    def repeats(self) -> bool:
        """Whether the machine gave the same in every run, within what is promised of the prediction."""
        return bool(self.runs) and max(self.runs) <= (1 + PROMISED) * min(self.runs)


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

    def most(self, seconds: float) -> float:
        """The highest rate that is met, photos a second."""
        alone_ms = self.profile.alone_ms(1) + self.profile.edge_loop_ms + self.profile.triton_ms
        roof = 2e3 * self.curves.cores / alone_ms
        return highest(lambda rate: self.met(rate, seconds, SEARCH_SEED), 0.02 * roof, roof, STEPS + 4)


def highest(met: Callable[[float], bool], low: float, high: float, steps: int) -> float:
    """Bisection between a rate that is taken to be met and one that is taken to be missed."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if met(middle) else (low, middle)
    return (low + high) / 2


def validate(
    configuration: Configuration, given: Curves | None, times: Times, seconds: float, slo_s: float
) -> list[Row]:
    """All figures of one configuration, by ``given`` curves or by such as are taken before and after.

    The curves from before choose the rates; what is predicted for these is the mean by those from before and after.
    Raises StackError, GeneratorError.
    """
    what = [(configuration.task, configuration.photos)]
    before = _model(configuration, given or measure(what, times, "before"), slo_s)
    guess = before.most(seconds)
    rates = [share * guess for share in SHARES]
    measured, found = _measured(configuration, rates, guess, seconds, slo_s)
    models = [before]
    if given is None:
        models.append(_model(configuration, measure(what, times, "after"), slo_s))
    most = fmean(one.most(seconds) for one in models)
    rows = []
    for seed, (share, rate, runs) in enumerate(zip(SHARES, rates, measured, strict=True)):
        outcomes = [one for model in models for one in model.at(rate, seconds, seed)]
        for percent in (50, 99):
            took = tuple(1e3 * percentile(run, percent) if run else float("inf") for run in runs)
            predicted = 1e3 * fmean(one.percentile_s(percent) for one in outcomes)
            rows.append(Row(configuration.name, f"p{percent} at {share:.0%}", predicted, median(took), took))
    return [*rows, Row(configuration.name, "max rate", most, found)]


def _model(configuration: Configuration, curves: Curves, slo_s: float) -> Model:
    setup = Setup(cores=curves.cores, instances=configuration.instances, slo_s=slo_s, client_here=True)
    return Model(curves, curves.profile(configuration.task, configuration.photos), setup, slo_s)


def _measured(
    configuration: Configuration, rates: Sequence[float], most: float, seconds: float, slo_s: float
) -> tuple[list[list[list[float]]], float]:
    """Seconds of what was answered in each run at each rate, and the highest rate, on a stack of its own."""
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

                took: list[list[list[float]]] = [[] for _ in rates]
                for _ in range(REPEATS):  # all rates in turn, so that a slow minute does not fall on one of them
                    for seed, rate in enumerate(rates):
                        took[seed].append([sample.seconds for sample in run(rate, seed) if sample.code == "OK"])
                low, high = (factor * most for factor in SEARCH)
                found = highest(
                    lambda rate: mostly(lambda: _within(run(rate, SEARCH_SEED), slo_s) >= SHARE), low, high, STEPS
                )
    return took, found


def mostly(met: Callable[[], bool]) -> bool:
    """Whether most of ``REPEATS`` runs meet it; those that could not change that are not made."""
    answers: list[bool] = []
    while max(answers.count(True), answers.count(False)) <= REPEATS // 2:
        answers.append(met())
    return answers.count(True) > REPEATS // 2


def _within(samples: Sequence[Sample], slo_s: float) -> float:
    return sum(sample.code == "OK" and sample.seconds <= slo_s for sample in samples) / len(samples)


def table(rows: Sequence[Row]) -> Table:
    """The rows for a reader."""
    shown = Table("configuration", "figure", "predicted", "measured", "lowest to highest", "difference", "")
    for row in rows:
        unit = "/s" if row.what == "max rate" else " ms"
        shown.add_row(
            row.configuration, row.what, f"{row.predicted:.1f}{unit}", f"{row.measured:.1f}{unit}",
            f"{min(row.runs):.1f} to {max(row.runs):.1f}" if row.runs else "", f"{row.error:+.0%}",
            "" if abs(row.error) <= PROMISED else "OVER",
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
    given = None
    try:
        if options.curves:
            given = read_curves(options.curves)
        for configuration in configurations:
            print(f"{configuration.name} ... ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
            rows += validate(configuration, given, Times(options.cell_seconds, 4.0), options.seconds, slo_s)
    except (StackError, GeneratorError, NoPhotos, grpc.RpcError) as error:
        print(f"plan_validation: {error}", file=sys.stderr)
        return 1
    console.print(table(rows))
    within = sum(abs(row.error) <= PROMISED for row in rows)
    console.print(f"{within} of {len(rows)} within {PROMISED:.0%}; {machine}; {time.monotonic() - began:.0f} s in all")
    steady = [row for row in rows if row.repeats]
    held = sum(abs(row.error) <= PROMISED for row in steady)
    console.print(f"Of the {len(steady)} that the machine itself repeated within {PROMISED:.0%}: {held}.")
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
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
