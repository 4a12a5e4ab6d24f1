"""``python -m benchmarks.gpu``: the pipeline on Triton with the best engine of this machine's GPU, and its bound.

First every engine, best first, has to answer as the CPU release does; the first that does is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import photos as photo_sets
from benchmarks.figures import machine_facts
from benchmarks.gpu import bound, serving
from benchmarks.gpu.bound import Bound
from benchmarks.gpu.check import Agreement, compare, reference
from benchmarks.gpu.client import ClientError, Load, closed_loop
from benchmarks.gpu.engines import ALL, CPU, CUDA, DEVICES, NoEngine, Run, check_device, load
from benchmarks.photos import NoPhotos
from benchmarks.stack import ROOT
from contract.options import Task
from contract.release import Release
from contract.tensors import CLASSIFIER, MAX_BATCH
from export.layout import MANIFEST_PATH, NETWORKS, onnx_path
from imaging.decode import Pixels
from serving.errors import ServingError

ENOUGH_PICTURES = 256
"""Pictures that the engines are compared on, at most."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The engine that is measured, each network as a function, and how it agrees with the CPU release."""

    engine: str
    runs: Mapping[str, Run]
    agreements: tuple[Agreement, ...]


def choose(options: argparse.Namespace, photos: Sequence[bytes], scratch: Path, console: Console) -> Chosen:
    """The first of ``--engines`` that runs and agrees. Raises NoEngine, saying what is wrong with each."""
    thresholds = Release.model_validate_json((options.repository / MANIFEST_PATH).read_text()).thresholds
    files = {network: options.repository / onnx_path(network) for network in NETWORKS}
    pictures = {network: _pictures(photos, network, options.device) for network in NETWORKS}
    exact = {network: reference(network, files[network], pictures[network]) for network in NETWORKS}
    complaints = []
    for engine in options.engines:
        try:
            runs = {network: load(engine, network, files[network], options.device, scratch) for network in NETWORKS}
            found = tuple(
                compare(network, runs[network], pictures[network], exact[network], thresholds) for network in NETWORKS
            )
        except NoEngine as error:
            complaints.append(f"{engine}: {error}")
        else:
            if all(one.holds for one in found):
                console.print(_agreement_table(engine, found))
                return Chosen(engine, runs, found)
            complaints.append(
                f"{engine}: " + ", ".join(f"{one.network} agrees on {one.agreement:.1%}" for one in found)
            )
        console.print(f"not {complaints[-1]}", highlight=False)
    raise NoEngine("No engine answers as the CPU release does. " + "; ".join(complaints))


def _pictures(photos: Sequence[bytes], network: str, device: str) -> Pixels:
    """What a network is compared on; on a GPU enough to fill the largest batch."""
    task = Task.SPECIES if network == CLASSIFIER else Task.COUNT
    chosen = photos[:: max(1, len(photos) // ENOUGH_PICTURES)][:ENOUGH_PICTURES]
    found: Pixels = np.stack([bound.decoded(photo, task) for photo in chosen])
    if device == CPU or len(found) >= MAX_BATCH:
        return found
    filled: Pixels = np.concatenate([found] * -(-MAX_BATCH // len(found)))[:MAX_BATCH]
    return filled


def _agreement_table(engine: str, found: Sequence[Agreement]) -> Table:
    table = Table(title=f"{engine} beside onnxruntime float32 on the CPU", title_justify="left")
    for name in ("network", "pictures", "same answer", "largest difference"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for one in found:
        table.add_row(one.network, str(one.photos), f"{one.agreement:.1%}", f"{one.difference:.4f}")
    return table


def measure(
    options: argparse.Namespace, photos: Sequence[bytes], chosen: Chosen, scratch: Path
) -> list[dict[str, Any]]:
    """Triton and the bound for each task. Raises ClientError, ServingError."""
    bounds = {
        task: bound.measure(photos, chosen.runs, task, options.device, options.seconds / 4) for task in options.tasks
    }
    repository = scratch / "repository"
    serving.write_repository(options.repository, repository, chosen.engine, options.device)
    rows = []
    with serving.running(repository, scratch) as address:
        for task in options.tasks:
            for in_flight in options.in_flight:
                found = closed_loop(address, photos, task, in_flight, options.seconds)
                rows.append(_row(task, in_flight, found, bounds[task]))
    return rows


def _row(task: Task, in_flight: int, found: Load, limit: Bound) -> dict[str, Any]:
    share = found.photos_per_s / limit.photos_per_s
    return {"task": task.value, "in_flight": in_flight, **asdict(found), "bound": asdict(limit)} | {
        "bound_stage": limit.stage,
        "of_bound": share,
    }


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Triton, closed loop, and the bound of each stage (photos/s)", title_justify="left")
    names = ("task", "in flight", "photos/s", "p50 ms", "p99 ms", "decode", "copy", "compute", "of bound")
    for name in names:
        table.add_column(name, justify="left" if name == "task" else "right")
    for row in rows:
        stages = [f"{row['bound'][name]:.0f}" for name in ("decode", "copy", "compute")]
        table.add_row(
            row["task"],
            str(row["in_flight"]),
            f"{row['photos_per_s']:.1f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            *stages,
            f"{row['of_bound']:.2f}",
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 something is missing or does not agree (one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    console = Console(width=None if sys.stdout.isatty() else 130)
    scratch = Path(tempfile.mkdtemp(prefix="bestiary-gpu-"))
    try:
        device = check_device(options.device)
        facts = machine_facts() | {"device": device}
        photos = photo_sets.load(options.photos)
        console.print(f"{device}; {facts['processor']}, {facts['cores']} cores; photos: {photos.name}", highlight=False)
        chosen = choose(options, photos.photos, scratch, console)
        rows = measure(options, photos.photos, chosen, scratch)
    except (ClientError, NoEngine, NoPhotos, ServingError, OSError) as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"kept: {scratch}", file=sys.stderr)
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    console.print(_table(rows))
    if options.json is not None:
        result = {
            "machine": facts,
            "photos": photos.name,
            "engine": chosen.engine,
            "agreement": [asdict(one) for one in chosen.agreements],
            "runs": rows,
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        epilog="Example: benchmarks/gpu/run.sh --wheels wheels -- --photos photos --json gpu.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--device", choices=DEVICES, default=CUDA, help="cpu is a dry run of the whole script")
    parser.add_argument(
        "--engines", choices=ALL, nargs="+", default=list(ALL), help="to try, best first (default: all)"
    )
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository", help="the CPU release")
    parser.add_argument("--photos", type=Path, help="folder of images; without it, views of a bundled small photo")
    parser.add_argument("--tasks", type=Task, choices=list(Task), nargs="+", default=[Task.SPECIES, Task.FULL])
    parser.add_argument(
        "--in-flight", type=int, nargs="+", default=[1, 4 * cores], help="callers of the closed loop, one run for each"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run (default 20)")
    parser.add_argument("--keep", action="store_true", help="keep the scratch folder with Triton's log and the plans")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
