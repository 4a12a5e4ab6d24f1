"""``python -m training``: fit a classifier, evaluate one. Mounted by ``bestiary train``."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from training.errors import TrainingError
from training.evaluate import Progress

app = typer.Typer(help="Fine-tune the classifier and measure it.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="Directory of the data set, with manifest.csv and weights/.")]
Seed = Annotated[int, typer.Option(help="Seed of the split, the views and the order of photos.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

FAILED = 1


@app.command()
def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="Where checkpoint.pt and evaluation.json go.")],
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Train on a data set; about ten minutes on two cores.

    Example: python -m training fit --data ../shared/data --out build/training --seed 7
    """
    _need_torch()
    from training.fit import fit as run

    with Console(stderr=True).status("reading photos") as status:
        try:
            evaluation = run(data, out, seed, _progress(status))
        except TrainingError as error:
            raise _failure(error) from error
    _print(evaluation.test[evaluation.chosen], f"held-back test part: {evaluation.chosen}", as_json)


@app.command()
def evaluate(
    data: Data,
    checkpoint: Annotated[Path | None, typer.Option(help="A checkpoint.pt of `fit`.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="An exported model.onnx.")] = None,
    release: Annotated[Path | None, typer.Option(help="A model repository; its classifier is measured.")] = None,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Print the figures of the model card for one classifier, on photos that it never learned from.

    Example: python -m training evaluate --data ../shared/data --release model_repository
    """
    if sum(given is not None for given in (checkpoint, onnx, release)) != 1:
        raise typer.BadParameter("Give one of --checkpoint, --onnx and --release.")
    _need_torch()
    from training.measure import measure_file
    from training.predict import ONNX_IN_RELEASE

    file = checkpoint or onnx or (release / ONNX_IN_RELEASE if release else Path())
    with Console(stderr=True).status("reading photos") as status:
        try:
            figures = measure_file(data, file, seed, _progress(status))
        except TrainingError as error:
            raise _failure(error) from error
    _print(figures, f"held-back test part: {file}", as_json)


def _progress(status: Status) -> Progress:
    """Show progress on standard error: one changing line on a terminal, nothing where there is none."""

    def progress(what: str, done: int, total: int) -> None:
        status.update(f"{what} {done}/{total}")

    return progress


def _print(figures: dict[str, float], title: str, as_json: bool) -> None:
    from training.report import table

    if as_json:
        typer.echo(json.dumps(figures, indent=2))
    else:
        Console().print(table(figures, title))


def _need_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        typer.echo("PyTorch is not installed. Install the training extra: pip install 'bestiary[train]'", err=True)
        raise typer.Exit(FAILED)


def _failure(error: TrainingError) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(FAILED)
