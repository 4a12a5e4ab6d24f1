"""``bestiary classify``: photos in, one answer each; never more photos in memory than are in work."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated

import typer

from cli import render
from cli.client import Client
from cli.errors import ClientError, Unreachable
from cli.options import DEFAULT_URL, FAILED, INTERRUPTED, UNREACHABLE, Retries, Timeout, Url, complain
from cli.photos import NoPhotos, Source, find
from contract.record import AckLevel, Record


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one photo has no answer, in the service's words where it spoke."""

    code: str
    detail: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """One photo and what became of it."""

    place: int
    path: str
    result: Record | Failure

    def json(self) -> str:
        """One line of ``--json``."""
        if isinstance(self.result, Record):
            return json.dumps({"path": self.path, "record": self.result.model_dump(mode="json", by_alias=True)})
        error = {"code": self.result.code, "detail": self.result.detail, "retryable": self.result.retryable}
        return json.dumps({"path": self.path, "error": error})

    def row(self) -> tuple[str, ...]:
        """One line of the table."""
        if isinstance(self.result, Record):
            return render.classified_row(self.path, self.result)
        return render.failed_row(self.path, self.result.code)


@dataclass(slots=True)
class Report:
    """What was done: lines at once with ``--json``, else rows for the table at the end."""

    as_json: bool
    total: int
    answered: int = 0
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    rows: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Take one outcome. Raises OSError if standard output is gone."""
        if isinstance(outcome.result, Failure):
            self.failures.append((outcome.path, outcome.result))
        else:
            self.answered += 1
        if self.as_json:
            print(outcome.json(), flush=True)
        else:
            self.rows.append((outcome.place, outcome.row()))

    def finish(self) -> None:
        """Print what is left to print: the table in the order of the photos, failures in words."""
        if self.rows:
            render.print_table(render.CLASSIFIED, [row for _, row in sorted(self.rows)])
        if not self.as_json:
            for path, failure in self.failures:
                complain(f"{render.printable(path)}: {failure.detail}")
        done = self.answered + len(self.failures)
        if done < self.total:
            complain(f"Stopped after {done} of {self.total} photos.")
        elif self.total > 1:
            complain(f"{self.answered} answered, {len(self.failures)} failed.")


def classify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Photos, folders, or - for standard input.")],
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, in the order they finish.")] = False,
    ack: Annotated[AckLevel | None, typer.Option(help="How safe a record is before its answer.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Photos in work at once.")] = 8,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """Name the animals in photos.

    A folder is searched with all its subfolders for jpg, jpeg, png, webp, bmp,
    gif, tif and tiff files; hidden ones are skipped. One bad photo never stops
    the others.

    With --json each line is {"path", "record"} or
    {"path", "error": {"code", "detail", "retryable"}}, written as soon as its
    photo is done: not in the order of the photos.

    Example: bestiary classify --json card/DCIM > results.jsonl

    Exit codes:
    0 all photos were answered
    1 some failed
    2 wrong usage, no such path or a folder without photos
    3 the service cannot be reached
    130 stopped by Ctrl-C
    """
    try:
        sources = find(paths)
    except NoPhotos as error:
        raise typer.BadParameter(str(error), param_hint="PATH") from error
    report = Report(as_json, len(sources))
    # On one terminal, lines of results and the bar would overwrite each other.
    bar = len(sources) > 1 and sys.stderr.isatty() and not (as_json and sys.stdout.isatty())
    code = 0
    try:
        with render.progress(bar) as progress:
            task = progress.add_task("photos", total=len(sources))
            client = Client(
                url, timeout_s=timeout, retries=retries, connections=concurrency, notice=render.notice(progress.console)
            )
            asyncio.run(_run(client, sources, concurrency, ack, _each(report, lambda: progress.advance(task))))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Unreachable as error:
        complain(str(error))
        code = UNREACHABLE
    report.finish()
    raise typer.Exit(code or (FAILED if report.failures else 0))


def _each(report: Report, advance: Callable[[], None]) -> Callable[[Outcome], None]:
    def each(outcome: Outcome) -> None:
        report.add(outcome)
        advance()

    return each


async def _run(
    client: Client, sources: Sequence[Source], concurrency: int, ack: AckLevel | None, each: Callable[[Outcome], None]
) -> None:
    async with client, aclosing(outcomes(client, sources, concurrency, ack)) as done:
        async for outcome in done:
            each(outcome)


async def outcomes(
    client: Client, sources: Sequence[Source], concurrency: int, ack: AckLevel | None
) -> AsyncGenerator[Outcome, None]:
    """Each photo's outcome as soon as it is there, ``concurrency`` at a time. Raises Unreachable."""
    waiting = enumerate(sources)
    running: set[asyncio.Task[Outcome]] = set()
    try:
        while True:
            for place, source in islice(waiting, concurrency - len(running)):
                running.add(asyncio.create_task(_one(client, place, source, ack)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # What was answered is told before an error ends it all.
            for task in sorted(done, key=lambda task: task.exception() is not None):
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _one(client: Client, place: int, source: Source, ack: AckLevel | None) -> Outcome:
    try:
        photo = await asyncio.to_thread(source.read)
        return Outcome(place, source.path, await client.classify(photo, filename=source.filename, ack=ack))
    except OSError as error:
        detail = f"The file cannot be read: {error.strerror}."
        return Outcome(place, source.path, Failure("unreadable", detail, False))
    except Unreachable:
        raise
    except ClientError as error:
        return Outcome(place, source.path, Failure(error.code, str(error), error.retryable))
