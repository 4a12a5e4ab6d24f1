"""``python -m export``: a release from a checkpoint, a TensorRT plan from a release. Mounted by ``bestiary export``."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from contract.tensors import CLASSIFIER
from export.errors import ExportError
from export.layout import NETWORKS, onnx_path, plan_path
from export.plan_release import serve_plans
from export.tensorrt import build_plan

app = typer.Typer(help="Turn a checkpoint into a release.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FAILED = 1


@app.command()
def build(
    checkpoint: Annotated[
        Path, typer.Option(help="checkpoint.pt of `fit`, with evaluation.json and leave_out.json beside it.")
    ],
    detector: Annotated[Path, typer.Option(help="checkpoint.pt of `fit-detector`, with evaluation.json beside it.")],
    data: Annotated[Path, typer.Option(help="Directory of the data set.")],
    out: Annotated[Path, typer.Option(help="Model repository to write; replaced as a whole.")],
    name: Annotated[str, typer.Option(help="Name of the release, e.g. 2.")],
    dali: Annotated[Path | None, typer.Option(help="What `dali-parity --json` printed, for the model card.")] = None,
    as_json: AsJson = False,
) -> None:
    """Export to ONNX, FP32 and 8-bit, hold that against the checkpoints and write the release.

    Example: python -m export build --checkpoint build/training/checkpoint.pt
    --detector build/detector/checkpoint.pt --data ../shared/data --out model_repository --name 2
    """
    if importlib.util.find_spec("torch") is None:
        raise _failure("PyTorch is not installed. Install the export extra: pip install 'bestiary[export]'")
    from export.repository import build_release
    from training.errors import TrainingError

    with Console(stderr=True).status("reading the checkpoint") as status:
        try:
            release = build_release(
                checkpoint,
                detector,
                data,
                out,
                name,
                dali,
                lambda what, done, total: status.update(f"{what} {done}/{total}"),
            )
        except (ExportError, TrainingError) as error:
            raise _failure(str(error)) from error
    if as_json:
        typer.echo(json.dumps({"release": release.identity, "repository": str(out)}))
    else:
        typer.echo(f"Wrote release {release.identity} to {out}.")


@app.command()
def extend(
    checkpoint: Annotated[
        Path, typer.Option(help="checkpoint.pt of `bestiary train --add-species`, with evaluation.json beside it.")
    ],
    photos: Annotated[
        list[Path], typer.Option(help="Version of a data set, data directory or folder of photos; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(help="Model repository to write; replaced as a whole.")],
    name: Annotated[str, typer.Option(help="Name of the release, e.g. 3.")],
    base: Annotated[Path, typer.Option(help="Model repository of the release that was taught.")] = Path(
        "model_repository"
    ),
    dataset: Annotated[
        Path | None, typer.Option(help="Version of the data set that was learned from, for sources and licences.")
    ] = None,
    tensorrt: Annotated[bool, typer.Option(help="Hold a TensorRT engine against the network, too.")] = False,
    max_disagreement: Annotated[
        float | None,
        typer.Option(help="Share of photos that it may name otherwise than the champion in shadow.", min=0, max=1),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a release that knows more species: its classifier from a checkpoint, the rest from the base release.

    Exit codes: 0 written, 1 refused (a gate, a file that does not fit), 2 wrong usage.

    Example: bestiary export extend --base model_repository --checkpoint build/monkeys/checkpoint.pt
    --photos datasets/monkeys/0123456789ab --photos ../shared/data --out build/release-3 --name 3
    """
    if importlib.util.find_spec("torch") is None:
        raise _failure("PyTorch is not installed. Install the export extra: pip install 'bestiary[export]'")
    from export.extend import Order, extend_release
    from training.errors import TrainingError

    order = Order(base, checkpoint, tuple(photos), out, name, dataset, tensorrt, max_disagreement)
    with _progress() as progress:
        try:
            release = extend_release(order, progress)
        except (ExportError, TrainingError) as error:
            raise _failure(str(error)) from error
    if as_json:
        typer.echo(json.dumps({"release": release.identity, "repository": str(out), "evaluation": release.evaluation}))
    else:
        typer.echo(f"Wrote release {release.identity} to {out}.")


@app.command()
def plan(
    repository: Annotated[Path, typer.Option(help="Model repository of a release.")] = Path("model_repository"),
    as_json: AsJson = False,
) -> None:
    """Build a TensorRT plan beside each ONNX file of a release and let the gpu profile serve them.

    Example: python -m export plan --repository model_repository
    """
    try:
        for network, pictures in NETWORKS.items():
            build_plan(repository / onnx_path(network), repository / plan_path(network), pictures)
    except ExportError as error:
        raise _failure(str(error)) from error
    release = serve_plans(repository)
    typer.echo(json.dumps({"release": release}) if as_json else f"Release {release} now holds the plans.")


@app.command()
def dali_parity(
    data: Annotated[Path, typer.Option(help="Directory of the data set.")],
    repository: Annotated[Path, typer.Option(help="Model repository of a release.")] = Path("model_repository"),
    as_json: AsJson = False,
) -> None:
    """Compare DALI's pictures and answers with those of the shrink-on-load decoder, photo by photo.

    Example: python -m export dali-parity --data ../shared/data
    """
    from export.dali_parity import compare
    from export.extension import read_base
    from training.errors import TrainingError
    from training.predict import onnx_predictor

    with Console(stderr=True).status("starting DALI") as status:
        try:
            figures = compare(
                data,
                onnx_predictor(repository / onnx_path(CLASSIFIER)),
                read_base(repository).taxonomy,
                lambda what, done, total: status.update(f"{what} {done}/{total}"),
            )
        except (ExportError, TrainingError) as error:
            raise _failure(str(error)) from error
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            typer.echo(f"{name:24} {value:.5g}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on the terminal for what is being done now."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield told


def _failure(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(FAILED)
