"""``python -m rollout.gates FOLDER``: check a release without publishing it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from rollout.errors import ReleaseBroken
from rollout.gates.check import LIMIT_S, Findings, check_release

REFUSED: Final = 1

app = typer.Typer(add_completion=False)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Model repository of the release.")],
    champion: Annotated[
        Path | None, typer.Option(help="Model repository of the release that it is compared with.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of photos to ask about as well.")] = None,
    limit_s: Annotated[float, typer.Option(help="Seconds that its networks and code may take.", min=1)] = LIMIT_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a release as publishing does: digests, labels, shapes, finite answers, time.

    Exit codes: 0 it may be published, 1 it is refused, 2 wrong usage.

    Example: python -m rollout.gates build/release-3 --champion model_repository
    """
    if photos is not None and not photos.is_dir():
        raise typer.BadParameter(f"There is no folder {photos}.", param_hint="--photos")
    given = [file.read_bytes() for file in sorted(photos.rglob("*")) if file.is_file()] if photos else []
    try:
        with Console(stderr=True).status("checking the release"):
            findings = check_release(folder, given, champion=champion, limit_s=limit_s)
    except ReleaseBroken as error:
        typer.echo(json.dumps({"passed": False, "reason": str(error)}) if as_json else str(error), err=not as_json)
        raise typer.Exit(REFUSED) from None
    typer.echo(json.dumps({"passed": True, **asdict(findings)}) if as_json else _told(findings))


def _told(findings: Findings) -> str:
    lines = [
        f"Release {findings.release} may be published: {findings.leaves} leaves, {findings.graphs} networks,"
        f" {findings.median_ms:.0f} ms a photo."
    ]
    if findings.champion_median_ms is not None:
        lines.append(f"The champion {findings.champion} takes {findings.champion_median_ms:.0f} ms.")
    if findings.lost:
        lines.append(f"It can no longer name: {', '.join(findings.lost)}.")
    if findings.gained:
        lines.append(f"It can name, as the champion cannot: {', '.join(findings.gained)}.")
    return "\n".join([*lines, *findings.notes])


if __name__ == "__main__":
    app(prog_name="python -m rollout.gates")
