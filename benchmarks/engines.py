"""``python -m benchmarks.engines``: the networks in onnxruntime and OpenVINO, float32 and 8-bit, on the same cores.

Every candidate runs the same pictures in every layout of processes, callers and threads, in turn round after round, so
that a change of the machine's speed meets all of them. With --data the answers are compared too, on held-back photos.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import photos as photo_sets
from benchmarks.engine_runs import (
    BFLOAT16,
    ONNXRUNTIME,
    OPENVINO,
    Candidate,
    EngineError,
    Figures,
    Layout,
    layouts,
    measure,
)
from benchmarks.figures import machine_facts, median
from benchmarks.photos import NoPhotos
from benchmarks.stack import ROOT, workshop
from contract.engines import computes_in_bf16
from contract.preprocessing import SCENE_SIZE
from contract.release import Release
from contract.tensors import CLASSIFIER, DETECTOR
from imaging.decode import Pixels, decode_photo, decode_picture
from imaging.letterbox import letterbox

FLOAT32: Final = "float32"
FILES: Final = {FLOAT32: "model.onnx", "int8": "model.int8.onnx"}
"""Precision -> file of a network in a release. Not every network has both."""

ENGINES: Final = (ONNXRUNTIME, OPENVINO)
NETWORKS: Final = (CLASSIFIER, DETECTOR)
AT_ONCE: Final = 64
"""Pictures that a run goes through again and again."""


@dataclass(frozen=True, slots=True)
class Result:
    """A candidate in a layout: its rounds."""

    candidate: Candidate
    layout: Layout
    rounds: tuple[Figures, ...]

    def of(self, figure: str) -> float:
        """The median of a figure over the rounds."""
        return median([getattr(one, figure) for one in self.rounds])

    def as_json(self) -> dict[str, Any]:
        """Names of the candidate and the layout, and every round."""
        return {
            "network": self.candidate.network,
            "engine": self.candidate.engine,
            "precision": self.candidate.precision,
            "layout": asdict(self.layout),
            "rounds": [asdict(one) for one in self.rounds],
        }


def candidates(repository: Path, network: str, engines: Sequence[str] = ENGINES) -> list[Candidate]:
    """Those of ``engines`` that are installed with the files that the release has; the first is the reference.

    Raises NoPhotos if the float32 file is not there."""
    folder = repository / network / "1"
    if not (folder / FILES[FLOAT32]).is_file():
        raise NoPhotos(f"There is no {folder / FILES[FLOAT32]}: build a release with `python -m export build`.")
    found = [
        Candidate(network, engine, precision, folder / name)
        for engine in engines
        if importlib.util.find_spec(engine) is not None
        for precision, name in FILES.items()
        if (folder / name).is_file()
    ]
    if OPENVINO in engines and computes_in_bf16():
        found.append(Candidate(network, OPENVINO, BFLOAT16, folder / FILES[FLOAT32]))
    return found


def shown(photos: Sequence[bytes], network: str) -> Pixels:
    """The photos as serving shows them to a network: UINT8 [N, side, side, 3]."""
    chosen = photos[:: max(1, len(photos) // AT_ONCE)][:AT_ONCE]
    if network == CLASSIFIER:
        return np.stack([decode_photo(photo).pixels for photo in chosen])
    return np.stack([letterbox(decode_picture(photo, long=SCENE_SIZE).pixels) for photo in chosen])


def compare(
    found: Sequence[Candidate], pictures: Pixels, options: argparse.Namespace, console: Console
) -> list[Result]:
    """Every candidate in every layout, ``--rounds`` times in turn. Raises EngineError."""
    cores = len(os.sched_getaffinity(0))
    rounds, seconds = options.rounds, options.seconds
    taken: dict[tuple[Candidate, Layout], list[Figures]] = {
        (candidate, layout): []
        for candidate in found
        for layout in layouts(candidate.engine, cores)[: 1 if options.alone else None]
    }
    for number in range(rounds):
        with console.status("") as status:
            for done, ((candidate, layout), figures) in enumerate(taken.items()):
                status.update(
                    f"{candidate.network}, round {number + 1} of {rounds}, {done} of {len(taken)}: {candidate.name}"
                )
                figures.append(measure(candidate, layout, pictures, seconds))
    return [Result(candidate, layout, tuple(figures)) for (candidate, layout), figures in taken.items()]


def best(results: Sequence[Result]) -> dict[Candidate, Result]:
    """Each candidate in the layout with the most photos per second."""
    found: dict[Candidate, Result] = {}
    for result in results:
        known = found.get(result.candidate)
        if known is None or result.of("photos_per_s") > known.of("photos_per_s"):
            found[result.candidate] = result
    return found


def _accuracy_table(accuracy: dict[Candidate, Any]) -> Table:
    first = next(iter(accuracy))
    table = Table(title=f"{first.network}: answers beside {first.name}", title_justify="left")
    for name in ("engine", "photos", "agrees", "right", "differs by"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for candidate, known in accuracy.items():
        table.add_row(
            candidate.name,
            str(known.photos),
            f"{known.agreement:.1%}",
            f"{known.right:.1%}",
            f"{known.difference:.3f}",
        )
    return table


def _best_table(results: Sequence[Result]) -> Table:
    first = next(iter(best(results).values()))
    table = Table(title=f"{first.candidate.network}: each engine in its best layout", title_justify="left")
    for name in ("engine", "layout", "photos/s", "of first", "CPU ms", "alone ms"):
        table.add_column(name, justify="left" if name in ("engine", "layout") else "right")
    alone = {result.candidate: result for result in results if result.layout.name == "alone"}
    for candidate, result in best(results).items():
        table.add_row(
            candidate.name,
            result.layout.name,
            f"{result.of('photos_per_s'):.1f}",
            f"{result.of('photos_per_s') / first.of('photos_per_s'):.2f}",
            f"{result.of('cpu_ms'):.2f}",
            f"{alone[candidate].of('p50_ms'):.2f}",
        )
    return table


def _layout_table(results: Sequence[Result]) -> Table:
    table = Table(title=f"{results[0].candidate.network}: all layouts", title_justify="left")
    for name in ("engine", "layout", "photos/s", "rounds", "CPU ms", "p50 ms", "M instructions"):
        table.add_column(name, justify="left" if name in ("engine", "layout") else "right")
    for one in results:
        rates = [figures.photos_per_s for figures in one.rounds]
        counted = [figures.instructions for figures in one.rounds if figures.instructions is not None]
        table.add_row(
            one.candidate.name,
            one.layout.name,
            f"{one.of('photos_per_s'):.1f}",
            f"{min(rates):.0f}-{max(rates):.0f}",
            f"{one.of('cpu_ms'):.2f}",
            f"{one.of('p50_ms'):.2f}",
            f"{median(counted):.1f}" if counted else "-",
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 measured, 1 something is missing or failed (one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130)
    facts = machine_facts()
    written: list[dict[str, Any]] = []
    try:
        photos = photo_sets.load(options.photos)
        held_back = None
        if options.data is not None:
            from benchmarks.engine_accuracy import HeldBack

            held_back = HeldBack(options.data, options.accuracy_photos)
        with workshop("engines") as folder:
            for network in options.networks:
                found = candidates(options.repository, network, options.engines)
                accuracy: dict[Candidate, Any] = {}
                if held_back is not None:
                    found += _by_nncf(found[0], held_back, folder) if options.nncf else []
                    accuracy = _accuracies(found, held_back, options.repository)
                    console.print(_accuracy_table(accuracy))
                results = compare(found, shown(photos.photos, network), options, console)
                console.print(_best_table(results))
                console.print(_layout_table(results))
                written += [
                    one.as_json() | {"accuracy": asdict(accuracy[one.candidate]) if one.candidate in accuracy else None}
                    for one in results
                ]
                _write(options.json, facts, photos.name, written)  # after each network: a comparison takes minutes
    except (EngineError, NoPhotos) as error:
        print(f"engines: {error}", file=sys.stderr)
        return 1
    console.print(f"{facts['processor']}, {facts['cores']} cores, {facts['date']}, {_versions()}", highlight=False)
    console.print(f"load before the run {facts['load_average_1min']}; photos: {photos.name}", highlight=False)
    return 0


def _write(file: Path | None, facts: dict[str, str | int | float], photos: str, runs: list[dict[str, Any]]) -> None:
    if file is not None:
        result = {"machine": facts, "versions": _versions(), "photos": photos, "runs": runs}
        file.write_text(json.dumps(result, indent=2) + "\n")


def _by_nncf(exact: Candidate, held_back: Any, folder: Path) -> list[Candidate]:
    from benchmarks.engine_accuracy import quantised

    return [quantised(exact, held_back.calibration(exact.network), folder)]


def _accuracies(found: Sequence[Candidate], held_back: Any, repository: Path) -> dict[Candidate, Any]:
    """Every candidate beside the first."""
    from benchmarks.engine_accuracy import answers

    network = found[0].network
    manifest = (repository / "animals" / "1" / "release.json").read_text()
    thresholds = Release.model_validate_json(manifest).thresholds
    pictures = held_back.pictures(network)
    exact = answers(found[0], pictures)
    return {
        candidate: held_back.compared(
            network, exact, answers(candidate, pictures), thresholds.detect_from, thresholds.overlap
        )
        for candidate in found
    }


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in (ONNXRUNTIME, OPENVINO, "nncf"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument(
        "--repository", type=Path, default=ROOT / "model_repository", help="model repository to measure"
    )
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=list(NETWORKS), help="default: both")
    parser.add_argument("--engines", choices=ENGINES, nargs="+", default=list(ENGINES), help="default: all installed")
    parser.add_argument("--alone", action="store_true", help="one process with one thread only, no other layout")
    parser.add_argument("--photos", type=Path, help="folder of images; without it, views of a bundled small photo")
    parser.add_argument("--data", type=Path, help="data set (../shared/data): compare the answers on held-back photos")
    parser.add_argument("--accuracy-photos", type=int, default=600, help="at most so many of them (default 600)")
    parser.add_argument("--nncf", action="store_true", help="with --data: also 8 bits by NNCF from the float32 file")
    parser.add_argument("--rounds", type=int, default=5, help="how often all are run in turn (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default 3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
