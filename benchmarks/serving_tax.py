"""``python -m benchmarks.serving_tax``: what the gateway costs, and how far the stack is from the bare libraries.

perf_analyzer in a closed loop at a fixed concurrency, against the gateway's gRPC port and Triton's in turn on
one running stack, with the bound measured in between, so that a machine that becomes slower does so for all three.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import bound as bare
from benchmarks import photos as photo_sets
from benchmarks.bound import Bound, BoundError
from benchmarks.cpu import ProcessesChanged
from benchmarks.figures import machine_facts, median
from benchmarks.perf_analyzer import PerfAnalyzer, PerfAnalyzerError, obtain
from benchmarks.photos import NoPhotos, PhotoSet
from benchmarks.rounds import Run, Runner, Summary, WrongAnswers, check_kept, summarise
from benchmarks.stack import PLAIN, ROOT, WORKSHOP, StackError, running_stack, workshop
from benchmarks.tax_tables import print_result
from contract.options import Task

ENOUGH = 1.6
"""Photos in an input file, as a multiple of what the bound does in the time: no server runs out of new ones."""

WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was measured on one photo set."""

    machine: dict[str, str | int | float]
    """Taken before the first run, so that its load average is of what else runs here."""
    photos: PhotoSet
    concurrency: int
    gateway: Summary
    triton: Summary
    bound: Bound
    added_p50_ms: float
    kept_photos: int

    @property
    def throughput_ratio(self) -> float:
        """The gateway's photos per second over Triton's."""
        return self.gateway.photos_per_s / self.triton.photos_per_s

    def as_json(self) -> dict[str, Any]:
        """Figures with their units in the names, and the machine that they are of."""
        return {
            "machine": self.machine,
            "photos": {"name": self.photos.name, "mean_bytes": round(self.photos.mean_bytes)},
            "concurrency": self.concurrency,
            "ack": "durable",
            "gateway": asdict(self.gateway),
            "triton": asdict(self.triton),
            "throughput_ratio": self.throughput_ratio,
            "added_p50_ms": self.added_p50_ms,
            "bound": {"photos_per_s": self.bound.photos_per_s, "cpu_ms_per_photo": self.bound.cpu_ms_per_photo},
            "gateway_over_bound": self.gateway.photos_per_s / self.bound.photos_per_s,
            "triton_over_bound": self.triton.photos_per_s / self.bound.photos_per_s,
            "different_photos_kept": self.kept_photos,
        }


def measure(tool: PerfAnalyzer, photos: PhotoSet, options: argparse.Namespace, console: Console) -> Result:
    """Start a stack, run everything in turn, end the stack. Raises what the parts raise."""
    machine, repository = machine_facts(), ROOT / "model_repository"
    with workshop("tax") as folder, running_stack(folder, PLAIN) as stack:
        runner = Runner(tool, stack, seconds=options.seconds, concurrency=options.concurrency, task=options.task)
        warming = Runner(tool, stack, seconds=WARM_UP_S, concurrency=options.concurrency, task=options.task)
        warm = photo_sets.write_input(folder / "warm-up.json", photos, 500)
        warming.run(stack.triton_grpc, warm)
        warming.run(stack.gateway_grpc, warm)
        sent = warm.digests
        bounds: list[Bound] = []
        gateway: list[Run] = []
        triton: list[Run] = []
        for number in range(1, options.rounds + 1):
            bounds.append(bare.measure(photos.photos, repository, options.task, options.seconds))
            wanted = math.ceil(ENOUGH * bounds[-1].photos) + options.concurrency
            fresh = photo_sets.write_input(folder / "photos.json", photos, wanted)
            sent |= fresh.digests
            gateway.append(runner.run(stack.gateway_grpc, fresh))
            triton.append(runner.run(stack.triton_grpc, fresh))
            console.print(
                f"round {number}: bound {bounds[-1].photos_per_s:.1f}/s, "
                f"gateway {gateway[-1].report.photos_per_s:.1f}/s, Triton {triton[-1].report.photos_per_s:.1f}/s"
            )
        kept = check_kept(stack.blobs, sent)
    added = [ours.report.p50_ms - theirs.report.p50_ms for ours, theirs in zip(gateway, triton, strict=True)]
    return Result(
        machine=machine,
        photos=photos,
        concurrency=options.concurrency,
        gateway=summarise(gateway),
        triton=summarise(triton),
        bound=together(bounds),
        added_p50_ms=median(added),
        kept_photos=kept,
    )


def together(bounds: list[Bound]) -> Bound:
    """The rounds of the bound as one."""
    return Bound(
        photos=sum(one.photos for one in bounds),
        seconds=sum(one.seconds for one in bounds),
        cpu_seconds=sum(one.cpu_seconds for one in bounds),
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 something failed (one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 110)
    try:
        tool = obtain(options.perf_analyzer, WORKSHOP / "perf_analyzer")
        photos = photo_sets.load(options.photos)
        result = measure(tool, photos, options, console)
    except (BoundError, NoPhotos, PerfAnalyzerError, ProcessesChanged, StackError, WrongAnswers) as error:
        print(f"serving_tax: {error}", file=sys.stderr)
        return 1
    facts = result.as_json()
    print_result(console, facts, left_out=photos.left_out)
    if options.json is not None:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_tax", description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder of images; without it, views of a bundled small photo")
    parser.add_argument("--task", type=Task, choices=list(Task), default=Task.SPECIES, help="default: species")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each run (default 15)")
    parser.add_argument("--concurrency", type=int, default=8, help="requests in flight (default 8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often all are run in turn (default 3)")
    parser.add_argument("--perf-analyzer", type=Path, help="binary to use (also: $PERF_ANALYZER); else it is fetched")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
