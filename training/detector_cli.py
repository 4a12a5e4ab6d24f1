"""The detector's commands of ``python -m training``."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.errors import TrainingError
from training.evaluate import Figures, Progress

app = typer.Typer()

Data = Annotated[Path, typer.Option(help="Directory of the data set, with manifest.csv and weights/.")]
Seed = Annotated[int, typer.Option(help="Seed of the split, the views and the order of photos.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

FAILED = 1


@app.command("fit-detector")
def fit_detector(
    data: Data,
    out: Annotated[Path, typer.Option(help="Where checkpoint.pt and evaluation.json go.")],
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Train the detector; about an hour on two cores. Started again, it goes on after its last whole epoch.

    Example: python -m training fit-detector --data ../shared/data --out build/detector --seed 7
    """
    with _working() as progress:
        from training.detector.fit import fit_detector as run

        evaluation = run(data, out, seed, progress)
    _print(evaluation.test, "held-back test part", as_json)


@app.command("evaluate-detector")
def evaluate_detector(
    data: Data,
    checkpoint: Annotated[Path | None, typer.Option(help="A checkpoint.pt of `fit-detector`.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="An exported detector.")] = None,
    start: Annotated[bool, typer.Option("--start", help="The starting network.")] = False,
    detect_from: Annotated[float | None, typer.Option(help="Score from which a box counts.", min=0, max=1)] = None,
    overlap: Annotated[
        float | None, typer.Option(help="Overlap above which boxes are one animal.", min=0, max=1)
    ] = None,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Print the figures of the model card for one detector, on photos that it never learned from.

    Without thresholds those beside the checkpoint count, or the starting network's own; an exported
    detector needs both.

    Example: python -m training evaluate-detector --data ../shared/data --checkpoint build/detector/checkpoint.pt
    """
    if (checkpoint is not None) + (onnx is not None) + start != 1:
        raise typer.BadParameter("Give one of --checkpoint, --onnx and --start.")
    if (detect_from is None) != (overlap is None) or (onnx is not None and overlap is None):
        raise typer.BadParameter("Give --detect-from and --overlap together; --onnx needs them.")
    with _working() as progress:
        from training.detector.evaluate import START, Thresholds
        from training.detector.fit import measure_detector, saved_thresholds

        if detect_from is not None and overlap is not None:
            thresholds = Thresholds(detect_from, overlap)
        else:
            thresholds = START if checkpoint is None else saved_thresholds(checkpoint)
        figures = measure_detector(data, checkpoint or onnx, thresholds, seed, progress)
    _print({str(checkpoint or onnx or "start"): figures}, "held-back test part", as_json)


@contextmanager
def _working() -> Iterator[Progress]:
    """Show progress on standard error; end the command with a message where PyTorch or data are missing."""
    if importlib.util.find_spec("torch") is None:
        typer.echo("PyTorch is not installed. Install the training extra: pip install 'bestiary[train]'", err=True)
        raise typer.Exit(FAILED)
    with Console(stderr=True).status("reading photos") as status:
        try:
            yield lambda what, done, total: status.update(f"{what} {done}/{total}")
        except TrainingError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILED) from error


def _print(detectors: Mapping[str, Figures], title: str, as_json: bool) -> None:
    from training.detector.report import table

    if as_json:
        typer.echo(json.dumps(detectors, indent=2))
    else:
        Console().print(table(detectors, title))
