"""``python -m export``: a release from a checkpoint, a TensorRT plan from a release. Mounted by ``bestiary export``."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from export.errors import ExportError
from export.layout import ONNX_PATH, PLAN_PATH
from export.plan_release import serve_plan
from export.tensorrt import build_plan

app = typer.Typer(help="Turn a checkpoint into a release.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FAILED = 1


@app.command()
def build(
    checkpoint: Annotated[Path, typer.Option(help="checkpoint.pt of `fit`, with evaluation.json beside it.")],
    data: Annotated[Path, typer.Option(help="Directory of the data set.")],
    out: Annotated[Path, typer.Option(help="Model repository to write; replaced as a whole.")],
    name: Annotated[str, typer.Option(help="Name of the release, e.g. 1.")],
    as_json: AsJson = False,
) -> None:
    """Export to ONNX, hold it against the checkpoint and write the release.

    Example: python -m export build --checkpoint build/training/checkpoint.pt --data ../shared/data
    --out model_repository --name 1
    """
    if importlib.util.find_spec("torch") is None:
        raise _failure("PyTorch is not installed. Install the export extra: pip install 'bestiary[export]'")
    from export.repository import build_release
    from training.errors import TrainingError

    with Console(stderr=True).status("reading the checkpoint") as status:
        try:
            release = build_release(
                checkpoint, data, out, name, lambda what, done, total: status.update(f"{what} {done}/{total}")
            )
        except (ExportError, TrainingError) as error:
            raise _failure(str(error)) from error
    if as_json:
        typer.echo(json.dumps({"release": release.identity, "repository": str(out)}))
    else:
        typer.echo(f"Wrote release {release.identity} to {out}.")


@app.command()
def plan(
    repository: Annotated[Path, typer.Option(help="Model repository of a release.")] = Path("model_repository"),
    as_json: AsJson = False,
) -> None:
    """Build a TensorRT plan beside the release's ONNX file and let the gpu profile serve it.

    Example: python -m export plan --repository model_repository
    """
    try:
        build_plan(repository / ONNX_PATH, repository / PLAN_PATH)
    except ExportError as error:
        raise _failure(str(error)) from error
    release = serve_plan(repository)
    typer.echo(json.dumps({"release": release}) if as_json else f"Release {release} now holds {PLAN_PATH}.")


def _failure(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(FAILED)
