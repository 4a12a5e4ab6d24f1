"""``bestiary train --data DATASET --add-species``: what the command does when no subcommand is named."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from training.errors import TrainingError

if TYPE_CHECKING:
    from training.evaluate import Figures
    from training.evaluate import Progress as Tell

FAILED: Final = 1
USAGE: Final = 2
_RECIPE: Final = "Recipe"

Data = Annotated[
    str, typer.Option(metavar="DATASET", help="NAME or NAME@DIGEST as `bestiary data list` shows them, or a folder.")
]
Datasets = Annotated[Path, typer.Option(envvar="BESTIARY_DATASETS", metavar="FOLDER", help="The folder of data sets.")]
Base = Annotated[Path, typer.Option(help="The release to teach: a model repository.")]
Old = Annotated[
    Path | None,
    typer.Option(help="Photos that the base release was trained on: some are mixed in, and forgetting is measured."),
]


def add_species(
    context: typer.Context,
    data: Data = "",
    add_species: Annotated[
        bool, typer.Option("--add-species", help="Species that the base release lacks become leaves of their own.")
    ] = False,
    base: Base = Path("model_repository"),
    old: Old = None,
    datasets: Datasets = Path("datasets"),
    out: Annotated[Path, typer.Option(help="Folder for checkpoint.pt, evaluation.json and report.html.")] = Path(
        "build/added"
    ),
    backbone: Annotated[
        str, typer.Option(metavar="NAME", help="Fine-tune this Hugging Face image classifier instead; name or folder.")
    ] = "",
    search: Annotated[int, typer.Option(metavar="N", help="First look for the best recipe in N trials.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Of the views and the order of photos.")] = 7,
    epochs: Annotated[int, typer.Option(help="At most.", min=1, rich_help_panel=_RECIPE)] = 20,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation loss, then it ends.", min=1, rich_help_panel=_RECIPE)
    ] = 5,
    head_rate: Annotated[float, typer.Option(help="Learning rate of the head.", rich_help_panel=_RECIPE)] = 1e-3,
    block_rate: Annotated[
        float, typer.Option(help="Of the blocks; 0 tunes the head alone.", min=0, rich_help_panel=_RECIPE)
    ] = 1e-4,
    forgetting: Annotated[
        float, typer.Option(help="Weight of distillation against the base.", min=0, rich_help_panel=_RECIPE)
    ] = 1.0,
    old_per_class: Annotated[
        int, typer.Option(help="Old photos of each class that are mixed in.", min=0, rich_help_panel=_RECIPE)
    ] = 20,
    views: Annotated[int, typer.Option(help="Random views of a photo.", min=1, rich_help_panel=_RECIPE)] = 8,
    track: Annotated[bool, typer.Option(help="Write the run to MLflow.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Teach a release the photos of a data set, new species among them, without forgetting the old ones.

    About a quarter of an hour for a thousand photos on two cores. The same command goes on where a killed one
    stopped, after its last whole epoch. Runs are tracked with MLflow: in a file beside the output folder, or
    where MLFLOW_TRACKING_URI says. On several GPUs: torchrun --nproc-per-node N -m training --data ...

    Example: bestiary train --data monkeys --add-species --old ../shared/data

    Exit codes:
    0 trained and measured
    1 it cannot be done; the message says why
    2 wrong usage
    """
    if context.invoked_subcommand is not None:
        return
    if not data:
        typer.echo(context.get_help())
        raise typer.Exit(USAGE)
    if importlib.util.find_spec("torch") is None:
        typer.echo("PyTorch is not installed. Install the training extra: pip install 'bestiary[train]'", err=True)
        raise typer.Exit(FAILED)
    from training.adding.recipe import AddRecipe
    from training.adding.run import Order, run

    recipe = AddRecipe(
        epochs=epochs,
        patience=patience,
        head_rate=head_rate,
        block_rate=block_rate,
        forgetting=forgetting,
        old_per_class=old_per_class,
        views=views,
    )
    order = Order(data, datasets, base, old, out, backbone, search, seed, add_species, track)
    with _bars() as tell:
        try:
            figures = run(order, recipe, tell)
        except TrainingError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILED) from error
    if figures is not None:  # one of several processes speaks for all
        _print(figures, out, as_json)


@contextmanager
def _bars() -> Iterator[Tell]:
    """A progress bar on standard error for what is being done; nothing where it is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


def _print(figures: Figures, out: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    table = Table(title="held-back photos")
    for column in ("", "base release", "after"):
        table.add_column(column, justify="right" if column else "left")
    rows = (("new", "photos of the data set"), ("old", "old species"), ("objects", "objects"), ("boxes", "lions"))
    for name, said in rows:
        if f"{name}.top1" in figures:
            before, after = figures[f"{name}.top1.before"], figures[f"{name}.top1"]
            table.add_row(f"{said}, top-1 ({figures[f'photos.{name}']:.0f})", f"{before:.1%}", f"{after:.1%}")
    if "new.top1.missed" in figures:
        count = figures["photos.new.missed"]
        table.add_row(f"of them not named before ({count:.0f})", "0.0%", f"{figures['new.top1.missed']:.1%}")
    Console().print(table)
    typer.echo(f"{out / 'report.html'} tells more. {out / 'checkpoint.pt'} is what `bestiary export extend` takes.")
