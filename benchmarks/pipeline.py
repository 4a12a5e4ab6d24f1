"""``python -m benchmarks.pipeline``: what the pipeline in Triton costs for each task, and its distance from the bound.

For small and for large photos and each task: perf_analyzer in a closed loop against Triton's gRPC port, in turn with
the bare libraries doing the same on the same cores, so that a machine that becomes slower does so for both.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import bound as bare
from benchmarks import photos as photo_sets
from benchmarks.bound import Bound, BoundError
from benchmarks.cpu import ProcessesChanged
from benchmarks.figures import machine_facts, spread
from benchmarks.perf_analyzer import PerfAnalyzer, PerfAnalyzerError, obtain
from benchmarks.photos import NoPhotos, PhotoSet
from benchmarks.rounds import CLIENT, Run, Runner, Summary, WrongAnswers, check_answered, summarise
from benchmarks.serving_tax import ENOUGH, WARM_UP_S, together
from benchmarks.stack import PLAIN, ROOT, WORKSHOP, Stack, StackError, running_stack, workshop
from contract.options import Task


@dataclass(frozen=True, slots=True)
class Result:
    """One task on one photo set."""

    photos: PhotoSet
    task: Task
    triton: Summary
    bound: Bound
    rounds: tuple[float, ...]
    """Triton's rate over the bound's, round by round."""

    @property
    def ratio(self) -> float:
        """Photos per second of Triton over those of the bound."""
        return self.triton.photos_per_s / self.bound.photos_per_s

    def as_json(self) -> dict[str, Any]:
        """Figures with their units in the names."""
        return {
            "photos": {"name": self.photos.name, "mean_bytes": round(self.photos.mean_bytes)},
            "task": self.task.value,
            "triton": asdict(self.triton),
            "bound": {"photos_per_s": self.bound.photos_per_s, "cpu_ms_per_photo": self.bound.cpu_ms_per_photo},
            "ratio": self.ratio,
            "rounds_ratio": self.rounds,
            "servers_over_bound_cpu": self.triton.servers_cpu_ms / self.bound.cpu_ms_per_photo,
        }


def measure(
    tool: PerfAnalyzer, stack: Stack, photos: PhotoSet, task: Task, options: argparse.Namespace, folder: Path
) -> Result:
    """All rounds of one task on one photo set. Raises what the parts raise."""

    def runner(seconds: float) -> Runner:
        return Runner(tool, stack, seconds=seconds, concurrency=options.concurrency, task=task)

    check_answered(stack.triton_grpc, photos.photos, task)
    runner(WARM_UP_S).run(stack.triton_grpc, photo_sets.write_input(folder / "warm-up.json", photos, 200))
    bounds: list[Bound] = []
    runs: list[Run] = []
    for _ in range(options.rounds):
        bounds.append(bare.measure(photos.photos, options.repository, task, options.seconds))
        wanted = math.ceil(ENOUGH * bounds[-1].photos) + options.concurrency
        runs.append(
            runner(options.seconds).run(
                stack.triton_grpc, photo_sets.write_input(folder / "photos.json", photos, wanted)
            )
        )
    ratios = tuple(run.report.photos_per_s / one.photos_per_s for run, one in zip(runs, bounds, strict=True))
    return Result(photos, task, summarise(runs), together(bounds), ratios)


def print_results(console: Console, results: Sequence[Result]) -> None:
    """One table of rates, one of costs by process, one of batches."""
    rates = Table(title="Throughput", title_justify="left")
    for name in ("photos", "task", "photos/s", "bound", "ratio", "rounds", "p50 ms", "p99 ms"):
        rates.add_column(name, justify="left" if name in ("photos", "task") else "right")
    for one in results:
        rates.add_row(
            one.photos.name.partition(":")[0],
            one.task.value,
            f"{one.triton.photos_per_s:.1f}",
            f"{one.bound.photos_per_s:.1f}",
            f"{one.ratio:.2f}",
            "-".join(f"{ratio:.2f}" for ratio in (min(one.rounds), max(one.rounds))),
            f"{one.triton.p50_ms:.1f}",
            f"{one.triton.p99_ms:.1f}",
        )
    console.print(rates)
    console.print(_by_process("CPU milliseconds per photo", results))
    console.print(_batches(results))


def _by_process(title: str, results: Sequence[Result]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("process")
    for one in results:
        table.add_column(_head(one), justify="right")
    roles = sorted({role for one in results for role in one.triton.cpu_ms_per_photo})
    for role in (role for role in roles if role != CLIENT):
        table.add_row(role, *(f"{one.triton.cpu_ms_per_photo.get(role, 0):.2f}" for one in results))
    table.add_section()
    table.add_row("all servers", *(f"{one.triton.servers_cpu_ms:.2f}" for one in results))
    table.add_row("bound, no server", *(f"{one.bound.cpu_ms_per_photo:.2f}" for one in results))
    table.add_row("servers over bound", *(_cpu_ratio(one) for one in results))
    table.add_row(f"{CLIENT} (client)", *(f"{one.triton.cpu_ms_per_photo[CLIENT]:.2f}" for one in results))
    return table


def _batches(results: Sequence[Result]) -> Table:
    table = Table(title="Photos (classifier: animals) per execution", title_justify="left")
    table.add_column("model")
    for one in results:
        table.add_column(_head(one), justify="right")
    for model in sorted({model for one in results for model in one.triton.mean_batch}):
        table.add_row(model, *(f"{one.triton.mean_batch.get(model, 0):.2f}" for one in results))
    return table


def _head(one: Result) -> str:
    return f"{one.photos.name.partition(':')[0]}\n{one.task}"


def _cpu_ratio(one: Result) -> str:
    return f"x{one.triton.servers_cpu_ms / one.bound.cpu_ms_per_photo:.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 something failed (one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    machine = machine_facts()
    results: list[Result] = []
    try:
        tool = obtain(options.perf_analyzer, WORKSHOP / "perf_analyzer")
        sets = [photo_sets.load(folder) for folder in options.photos or [None]]
        with (
            workshop("pipeline") as folder,
            running_stack(
                folder, "--repository", str(options.repository), "--preprocess", options.preprocess, PLAIN
            ) as stack,
        ):
            for photos in sets:
                for task in options.tasks:
                    results.append(measure(tool, stack, photos, task, options, folder))
                    one = results[-1]
                    console.print(f"{photos.name}, {task}: {one.ratio:.2f} of the bound ({spread(one.rounds)})")
    except (BoundError, NoPhotos, PerfAnalyzerError, ProcessesChanged, StackError, WrongAnswers) as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    console.print(f"\n{machine}\nClosed loop, {options.concurrency} in flight, straight to Triton.", highlight=False)
    print_results(console, results)
    if options.json is not None:
        facts = {"machine": machine, "concurrency": options.concurrency, "runs": [one.as_json() for one in results]}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument(
        "--photos", type=Path, action="append", help="folder of images, may be given several times; "
        "without it, views of a bundled small photo",
    )  # fmt: skip
    parser.add_argument("--tasks", type=Task, choices=list(Task), nargs="+", default=list(Task), help="default: all")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository", help="release to serve")
    parser.add_argument("--preprocess", default="default", help="decoder, as for `bestiary up`")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run (default 10)")
    parser.add_argument("--concurrency", type=int, default=8, help="requests in flight (default 8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often both are run in turn (default 3)")
    parser.add_argument("--perf-analyzer", type=Path, help="binary to use (also: $PERF_ANALYZER); else it is fetched")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
