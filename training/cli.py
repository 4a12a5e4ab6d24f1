"""``python -m training``: add species, fit a classifier, evaluate one, ask one for strangers.

Mounted by ``bestiary train``."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from training.adding.cli import add_species
from training.detector_cli import app as detector
from training.errors import TrainingError
from training.evaluate import Progress

app = typer.Typer(invoke_without_command=True)
app.callback()(add_species)
app.add_typer(detector)

Data = Annotated[Path, typer.Option(help="Directory of the data set, with manifest.csv and weights/.")]
Seed = Annotated[int, typer.Option(help="Seed of the split, the views and the order of photos.")]
Cache = Annotated[Path, typer.Option(help="Where the base network's view of every photo is kept: half a gigabyte.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

FAILED = 1
CACHE = Path("build/cache")


@app.command()
def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="Where checkpoint.pt and evaluation.json go.")],
    cache: Cache = CACHE,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Train on a data set; about half an hour on two cores, half of it if the views are kept from an earlier run.

    Example: python -m training fit --data ../shared/data --out build/training --seed 7
    """
    _need_torch()
    from training.fit import fit as run

    with Console(stderr=True).status("reading photos") as status:
        try:
            evaluation = run(data, out, cache, seed, _progress(status))
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
    from training.measure import measure_checkpoint, measure_file, measure_release

    with Console(stderr=True).status("reading photos") as status:
        progress = _progress(status)
        try:
            if checkpoint:
                figures = measure_checkpoint(data, checkpoint, seed, progress)
            elif release:
                figures = measure_release(data, release, seed, progress)
            else:
                figures = measure_file(data, onnx or Path(), None, seed, progress)
        except TrainingError as error:
            raise _failure(error) from error
    _print(figures, f"held-back test part: {checkpoint or release or onnx}", as_json)


@app.command(name="leave-out")
def leave_out(
    data: Data,
    out: Annotated[Path, typer.Option(help="Where leave_out.json goes: the folder of checkpoint.pt.")],
    cache: Cache = CACHE,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Train without some classes and ask for them: what becomes of animals of a kind never trained on.

    Example: python -m training leave-out --data ../shared/data --out build/training --seed 7
    """
    _need_torch()
    from training.leave_out import LEAVE_OUT
    from training.leave_out import leave_out as run

    with Console(stderr=True).status("reading photos") as status:
        try:
            figures = run(data, cache, seed, _progress(status))
        except TrainingError as error:
            raise _failure(error) from error
    out.mkdir(parents=True, exist_ok=True)
    (out / LEAVE_OUT).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    _print(figures, "photos of classes that were left out", as_json)


@app.command()
def reliability(
    evaluation: Annotated[Path, typer.Option(help="evaluation.json of `fit`.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")],
) -> None:
    """Draw the reliability diagram before and after temperature scaling.

    Example: python -m training reliability --evaluation build/training/evaluation.json
    --out docs/figures/reliability.png
    """
    if importlib.util.find_spec("matplotlib") is None:
        typer.echo("Matplotlib is not installed. Install the training extra: pip install 'bestiary[train]'", err=True)
        raise typer.Exit(FAILED)
    if not evaluation.is_file():
        typer.echo(f"No evaluation at {evaluation}. Make one with `python -m training fit`.", err=True)
        raise typer.Exit(FAILED)
    from training.reliability import Reliability, draw

    curves = json.loads(evaluation.read_text(encoding="utf-8"))["reliability"]
    draw({f"{name} temperature scaling": Reliability(**curve) for name, curve in curves.items()}, out)
    typer.echo(f"Wrote {out}.")


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
