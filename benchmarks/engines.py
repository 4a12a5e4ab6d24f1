"""What one photo costs the classifier's networks, FP32 and 8-bit: onnxruntime alone, one thread, in turn."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from benchmarks import photos as photo_sets
from benchmarks.figures import machine_facts, median, spread
from benchmarks.photos import NoPhotos
from contract.tensors import CLASSIFIER, IMAGE
from imaging.decode import Pixels, decode_photo

FILES: Final = ("model.onnx", "model.int8.onnx")
BATCHES: Final = (1, 4)
WARM_UP: Final = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall milliseconds a photo of one file at one batch size: the median of each round."""

    file: str
    batch: int
    rounds_ms: tuple[float, ...]

    @property
    def ms(self) -> float:
        """The median of the rounds."""
        return median(self.rounds_ms)


def measure(repository: Path, pictures: Pixels, rounds: int, runs: int) -> list[Cost]:
    """Run every file at every batch size ``runs`` times, round after round, so that a change of the machine's speed
    meets all of them. Pictures are UINT8 [N, 224, 224, 3]. Raises NoPhotos if a file is not there."""
    sessions = {file: _session(repository / CLASSIFIER / "1" / file) for file in FILES}
    taken: dict[tuple[str, int], list[float]] = {(file, batch): [] for batch in BATCHES for file in FILES}
    for _ in range(rounds):
        for (file, batch), medians in taken.items():
            medians.append(_round(sessions[file], pictures, batch, runs))
    return [Cost(file, batch, tuple(medians)) for (file, batch), medians in taken.items()]


def _session(file: Path) -> Any:
    if not file.is_file():
        raise NoPhotos(f"There is no {file}: build a release with `python -m export build`.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _round(session: Any, pictures: Pixels, batch: int, runs: int) -> float:
    samples = []
    for run in range(WARM_UP + runs):
        rows = [(run * batch + row) % len(pictures) for row in range(batch)]
        began = time.perf_counter()
        session.run(None, {IMAGE.name: pictures[rows]})
        samples.append((time.perf_counter() - began) * 1e3 / batch)
    return median(samples[WARM_UP:])


def _table(costs: Sequence[Cost]) -> Table:
    table = Table(title="Milliseconds a photo, one thread", title_justify="left")
    for name in ("file", "batch", "ms", "rounds", "of FP32"):
        table.add_column(name, justify="left" if name == "file" else "right")
    exact = {cost.batch: cost.ms for cost in costs if cost.file == FILES[0]}
    for cost in costs:
        share = f"{cost.ms / exact[cost.batch]:.2f}"
        table.add_row(cost.file, str(cost.batch), f"{cost.ms:.2f}", spread(cost.rounds_ms), share)
    return table


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 something is missing (one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 110)
    facts = machine_facts()
    try:
        photos = photo_sets.load(options.photos)
        pictures = np.stack([decode_photo(photo).pixels for photo in photos.photos])
        costs = measure(options.repository, pictures, options.rounds, options.runs)
    except NoPhotos as error:
        print(f"engines: {error}", file=sys.stderr)
        return 1
    console.print(
        f"{facts['processor']}, {facts['date']}, load before the run {facts['load_average_1min']}", highlight=False
    )
    console.print(_table(costs))
    if options.json is not None:
        result = {"machine": facts, "photos": photos.name, "costs": [asdict(cost) for cost in costs]}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"), help="model repository to measure")
    parser.add_argument("--photos", type=Path, help="folder of images; without it, views of a bundled small photo")
    parser.add_argument("--rounds", type=int, default=7, help="how often all are run in turn (default 7)")
    parser.add_argument("--runs", type=int, default=40, help="calls in one round (default 40)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
