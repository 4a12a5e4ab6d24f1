"""``bestiary results export``: stored results in the formats of the field's tools."""

from __future__ import annotations

import sys
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from cli import render
from cli.client import Filters
from cli.options import (
    DEFAULT_URL,
    FAILED,
    USAGE,
    DeploymentBy,
    EventGap,
    Key,
    Retries,
    Timeout,
    Token,
    Url,
    complain,
    credentials,
    errors_as_exits,
)
from cli.selection import LedgerOption, OfVerdict, Since, Species, Until, chosen, client
from cli.writing import DESCRIPTOR, FILES_ONLY, Format, Order
from cli.writing import export as write
from interchange import camtrap_schema, parquet
from interchange.camtrap_dp import DEFAULT_TITLE, Facts, Schemas
from interchange.clocks import zone
from interchange.errors import InterchangeError
from interchange.places import By, Places, read_deployments
from interchange.tables import Per


class SamplingDesign(StrEnum):
    """As Camtrap DP knows them."""

    SIMPLE_RANDOM = "simpleRandom"
    SYSTEMATIC_RANDOM = "systematicRandom"
    CLUSTERED_RANDOM = "clusteredRandom"
    EXPERIMENTAL = "experimental"
    TARGETED = "targeted"
    OPPORTUNISTIC = "opportunistic"


class CaptureMethod(StrEnum):
    """As Camtrap DP knows them."""

    ACTIVITY = "activityDetection"
    TIME_LAPSE = "timeLapse"


_PANEL: Final = "Camtrap DP"
Timezone = Annotated[
    str, typer.Option(help="Of the cameras' clocks, e.g. Europe/Berlin or +02:00.", rich_help_panel=_PANEL)
]
Deployments = Annotated[
    Path | None, typer.Option(metavar="FILE", help="CSV: deploymentID,latitude,longitude,...", rich_help_panel=_PANEL)
]
Title = Annotated[str, typer.Option(help="Of the project.", rich_help_panel=_PANEL)]
Contributors = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Or 'Name <address>'; may be repeated.", rich_help_panel=_PANEL)
]
Design = Annotated[SamplingDesign, typer.Option(help="How places were chosen.", rich_help_panel=_PANEL)]
Method = Annotated[CaptureMethod, typer.Option(help="What made cameras take photos.", rich_help_panel=_PANEL)]
WhereSchemas = Annotated[
    Schemas, typer.Option(help="In the package, or links to the standard.", rich_help_panel=_PANEL)
]


def export(
    url: Url = DEFAULT_URL,
    token: Token = "",
    api_key: Key = "",
    kind: Annotated[Format, typer.Option("--format", help="See docs/formats.md.")] = Format.CSV,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write here; camtrap-dp makes a folder, or a .zip.")
    ] = None,
    per: Annotated[Per, typer.Option(help="What a row of csv and parquet is.")] = Per.PHOTO,
    ledger: LedgerOption = None,
    deployment_by: DeploymentBy = By.FOLDER,
    event_gap: EventGap = 60,
    timezone: Timezone = "",
    deployments: Deployments = None,
    title: Title = DEFAULT_TITLE,
    contributor: Contributors = None,
    sampling_design: Design = SamplingDesign.OPPORTUNISTIC,
    capture_method: Method = CaptureMethod.ACTIVITY,
    schemas: WhereSchemas = Schemas.ENCLOSED,
    species: Species = "",
    verdict: OfVerdict = None,
    since: Since = None,
    until: Until = None,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """Write all results that match.

    csv and jsonl have every result, newest first; parquet has the columns of
    csv with types. md-json (MegaDetector's format, read by Timelapse and
    AddaxAI), camtrap-dp (a Camtrap DP data package) and coco-ct (COCO Camera
    Traps) have each photo once, with its newest result. What each holds, and
    how to open it: docs/formats.md.

    Example: bestiary results export --format md-json --ledger card/ --out card/bestiary.json

    Exit codes; after 1 and 3 csv and jsonl are not all, other files are not there:
    0 written, even if there are none
    1 refused, or the file cannot be written
    2 wrong usage, or a fact is missing that the format needs
    3 the service cannot be reached
    """
    kind = Format.JSONL if as_json else kind
    which = chosen(ledger, Filters(species, verdict, since, until))
    headers = credentials(url, token, api_key)
    shown = out is not None and sys.stderr.isatty()  # on a terminal, a spinner would overwrite the records
    try:
        _check(kind, out, timezone)
        given = _deployments(deployments)
        places, gap = Places(deployment_by, frozenset(given)), timedelta(seconds=event_gap)
        package = None
        if kind is Format.CAMTRAP_DP:
            names = contributor or ()
            where, design, method = zone(timezone), sampling_design.value, capture_method.value
            package = Facts(where, places, given, gap, title, names, design, method, schemas)
        order = Order(kind, which, out, per, places, gap, package)
        with render.counter(shown) as progress, errors_as_exits():
            task = progress.add_task("", total=None)
            told = write(order, client(url, timeout, retries, headers), lambda: progress.advance(task))
    except InterchangeError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from error
    except OSError as error:
        if out is None:
            raise
        complain(f"{out} cannot be written: {error.strerror}.")
        raise typer.Exit(FAILED) from error
    if out is not None:
        complain(f"Wrote {told} to {out}.")
    if package is not None and out is not None and out.suffix != ".zip" and schemas is Schemas.ENCLOSED:
        complain(f"To validate it: cd {out} && frictionless validate {DESCRIPTOR}")


def _check(kind: Format, out: Path | None, timezone: str) -> None:
    """Raises InterchangeError, before anything is fetched, for what is known to be missing."""
    if kind in FILES_ONLY and out is None:
        raise InterchangeError(f"{kind.value} cannot go to standard output: give --out.")
    if kind is Format.PARQUET:
        parquet.check_installed()
    if kind is Format.CAMTRAP_DP and not timezone:
        raise InterchangeError(
            "Camtrap DP needs the time zone of the cameras' clocks, which EXIF does not have: give --timezone, "
            "e.g. --timezone Europe/Berlin, or --timezone +01:00 for clocks that do not follow summer time."
        )


def _deployments(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return read_deployments(stream, camtrap_schema.columns("deployments"))
    except OSError as error:
        raise InterchangeError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InterchangeError(f"{path} is not UTF-8: save it as CSV UTF-8.") from error
