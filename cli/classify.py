"""``bestiary classify``: photos in, one answer each; never more photos in memory than are in work."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli import render
from cli.client import Client
from cli.errors import Unreachable
from cli.ledger import LedgerInUse
from cli.options import (
    DEFAULT_URL,
    FAILED,
    INTERRUPTED,
    UNREACHABLE,
    DeploymentBy,
    EventGap,
    Key,
    Retries,
    Timeout,
    Token,
    Url,
    complain,
    credentials,
)
from cli.photos import NoPhotos, Source, find
from cli.report import Report
from cli.thumbnails import Thumbnails
from cli.work import Ledgers, Outcome, Work
from contract.options import Task
from contract.priority import PRIORITY, Priority
from contract.record import AckLevel
from interchange.places import By, Places

_FROM_THE_RELEASE = " 0 to 1; by default what the release says."
DetectFrom = Annotated[
    float | None, typer.Option(min=0, max=1, help="A box with this score is an animal." + _FROM_THE_RELEASE)
]
Overlap = Annotated[
    float | None, typer.Option(min=0, max=1, help="Boxes that overlap more are one animal." + _FROM_THE_RELEASE)
]
SureFrom = Annotated[
    float | None, typer.Option(min=0, max=1, help="A name with this probability is given." + _FROM_THE_RELEASE)
]
EmptyFrom = Annotated[
    float | None, typer.Option(min=0, max=1, help="No animal with this probability is empty." + _FROM_THE_RELEASE)
]


def classify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Photos, folders, or - for standard input.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    api_key: Key = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, in the order they finish.")] = False,
    tasks: Annotated[Task | None, typer.Option(help="How much to find out; species is the cheapest.")] = None,
    detect_from: DetectFrom = None,
    overlap: Overlap = None,
    sure_from: SureFrom = None,
    empty_from: EmptyFrom = None,
    keep_location: Annotated[bool, typer.Option("--keep-location", help="Keep the GPS position of EXIF.")] = False,
    thumbnails: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw boxes and names on small copies of the photos, there.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Classify photos of earlier runs once more.")] = False,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the folder's ledger here, not in it.")
    ] = None,
    event_gap: EventGap = 60,
    deployment_by: DeploymentBy = By.FOLDER,
    ack: Annotated[AckLevel | None, typer.Option(help="How safe a record is before its answer.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Photos in work at once.")] = 8,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """Find, count and name the animals in photos.

    A folder is searched with all its subfolders for jpg, jpeg, png, webp, bmp,
    gif, tif and tiff files; hidden ones are skipped. One bad photo never stops
    the others.

    What became of each photo of a folder is kept in its ledger,
    .bestiary/ledger.jsonl. The next run on the folder does only what is new,
    what has changed, and what failed for a passing reason; so a run that was
    stopped goes on where it stopped.

    With --json each line is {"path", "record"} or
    {"path", "error": {"code", "detail", "retryable"}}, written as soon as its
    photo is done: not in the order of the photos.

    Example: bestiary classify --json card/DCIM > results.jsonl

    Exit codes:
    0 all photos are answered, now or by an earlier run
    1 some have no answer
    2 wrong usage, no such path, a folder without photos or with a run on it
    3 the service cannot be reached
    130 stopped by Ctrl-C
    """
    try:
        sources = find(paths)
    except NoPhotos as error:
        raise typer.BadParameter(str(error), param_hint="PATH") from error
    given = {"tasks": tasks, "detect_from": detect_from, "overlap": overlap, "sure_from": sure_from}
    asked = _asked({**given, "empty_from": empty_from, "keep_location": "true" if keep_location else None})
    headers = credentials(url, token, api_key)
    report = Report(as_json, len(sources), Places(deployment_by), timedelta(seconds=event_gap))
    # On one terminal, lines of results and the bar would overwrite each other.
    bar = len(sources) > 1 and sys.stderr.isatty() and not (as_json and sys.stdout.isatty())
    code = 0
    with Ledgers() as ledgers, render.progress(bar) as progress:
        _open(ledgers, sources, ledger, url, asked)
        notice = render.notice(progress.console)
        client = Client(
            url, timeout_s=timeout, retries=retries, connections=concurrency, notice=notice, headers=headers
        )
        # Nobody waits for one of many photos; one alone is somebody's question.
        urgency = {PRIORITY: Priority.BATCH.value} if len(sources) > 1 else {}
        work = Work(client, concurrency, ack, asked | urgency, notice=render.aloud(progress.console))
        if not again:
            work.settled = ledgers.find
        if thumbnails is not None:
            _draw(work, thumbnails, sources)
        task = progress.add_task("photos", total=len(sources))
        try:
            asyncio.run(_run(work, sources, _each(report, ledgers, lambda: progress.advance(task))))
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Unreachable as error:
            complain(str(error))
            code = UNREACHABLE
    report.finish()
    raise typer.Exit(code or (FAILED if report.failures else 0))


def _asked(given: Mapping[str, object]) -> dict[str, str]:
    """Query parameters for what was given."""
    return {name: str(value) for name, value in given.items() if value is not None}


def _open(ledgers: Ledgers, sources: Sequence[Source], ledger: Path | None, url: str, asked: Mapping[str, str]) -> None:
    """Open the ledger of each folder; a folder that cannot be written is worked on without one."""
    folders = {Path(source.folder).resolve(): source.folder for source in sources if source.folder is not None}
    if ledger is not None and len(folders) != 1:
        raise typer.BadParameter("give it with one folder", param_hint="--ledger")
    for folder in folders.values():
        try:
            ledgers.open(folder, ledger, url, asked)
        except LedgerInUse as error:
            message = f"Another bestiary classify works on {folder}: wait for it to end, or stop it."
            raise typer.BadParameter(message, param_hint="PATH") from error
        except OSError as error:
            complain(
                f"This run on {folder} cannot be resumed, as its ledger cannot be written ({error.strerror}): "
                "give --ledger FILE if it should be."
            )


def _draw(work: Work, folder: Path, sources: Sequence[Source]) -> None:
    try:
        thumbnails = Thumbnails(folder, sources)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--thumbnails") from error
    work.draw, work.drawn = thumbnails.draw, thumbnails.there


def _each(report: Report, ledgers: Ledgers, advance: Callable[[], None]) -> Callable[[Outcome], None]:
    full = False

    def each(outcome: Outcome) -> None:
        nonlocal full
        report.add(outcome)  # told first: what is written down is not told again, whatever ends this run
        try:
            ledgers.note(outcome)
        except OSError as error:
            if not full:
                complain(f"The ledger cannot be written ({error.strerror}): what follows will be done again.")
            full = True
        advance()

    return each


async def _run(work: Work, sources: Sequence[Source], each: Callable[[Outcome], None]) -> None:
    async with work.client, aclosing(work.outcomes(sources)) as done:
        async for outcome in done:
            each(outcome)
