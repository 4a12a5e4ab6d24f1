"""``bestiary results``: list, show and export what is stored."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TextIO
from uuid import UUID

import typer

from cli import render
from cli.client import Client, Filters
from cli.options import DEFAULT_URL, FAILED, Retries, Timeout, Url, complain, errors_as_exits
from contract.record import Record, Verdict

app = typer.Typer(
    help="List, show and export stored results.\n\nExample: bestiary results list --species lion", no_args_is_help=True
)

CSV_COLUMNS: Final = (
    "id", "received_at", "captured_at", "filename", "verdict", "common_name", "scientific_name", "rank", "score",
    "count", "width", "height", "sha256", "release",
)  # fmt: skip


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSONL = "jsonl"


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date or time such as 2026-11-22 or 2026-11-22T18:00Z.") from None


Species = Annotated[str, typer.Option(help="Common name of the best species, e.g. lion.")]
OfVerdict = Annotated[Verdict | None, typer.Option(help="Only this verdict.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=_moment, metavar="TIME", help="Uploaded then or later; UTC unless it says otherwise."),
]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="Uploaded before then.")]


@app.command("list")
def list_results(
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="One record a line instead of a table.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them, whatever --limit says.")] = False,
    species: Species = "",
    verdict: OfVerdict = None,
    since: Since = None,
    until: Until = None,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """List results, newest first.

    Example: bestiary results list --species lion --since 2026-11-01

    Exit codes:
    0 listed, even if there are none
    1 refused
    2 wrong usage
    3 the service cannot be reached
    """
    filters = Filters(species, verdict, since, until)
    rows: list[tuple[str, ...]] = []

    def each(record: Record) -> None:
        if as_json:
            print(record.model_dump_json(by_alias=True))
        else:
            rows.append(render.listed_row(record))

    with errors_as_exits():
        count = asyncio.run(_each(_client(url, timeout, retries), filters, None if everything else limit, each))
    if not as_json:
        render.print_table(render.LISTED, rows)
    if not count:
        complain("No result matches.")


@app.command()
def show(
    record_id: Annotated[UUID, typer.Argument(metavar="ID", help="The id of a result.")],
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="The whole record.")] = False,
    photo: Annotated[Path | None, typer.Option(metavar="FILE", help="Save the photo here, too.")] = None,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """Show one result: its best species with their taxonomy, photo, timings, release.

    Example: bestiary results show 019a2f6e-5c1b-7d3e-8f00-0123456789ab

    Exit codes:
    0 shown
    1 there is no such result, or the file cannot be written
    2 wrong usage
    3 the service cannot be reached
    """
    with errors_as_exits():
        record, data = asyncio.run(_fetch(_client(url, timeout, retries), record_id, photo is not None))
    if as_json:
        print(record.model_dump_json(by_alias=True))
    else:
        render.print_record(record)
    if photo is not None and data is not None:
        try:
            photo.write_bytes(data)
        except OSError as error:
            raise _unwritable(photo, error) from error
        complain(f"Saved the photo to {photo}.")


@app.command()
def export(
    url: Url = DEFAULT_URL,
    kind: Annotated[Format, typer.Option("--format", help="csv (RFC 4180) or jsonl: one record a line.")] = Format.CSV,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write here; standard output without it.")] = None,
    species: Species = "",
    verdict: OfVerdict = None,
    since: Since = None,
    until: Until = None,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """Write all results that match, newest first, page by page.

    Example: bestiary results export --verdict animal --out animals.csv

    Exit codes; after 1 and 3 what was written is not all:
    0 written, even if there are none
    1 refused, or the file cannot be written
    2 wrong usage
    3 the service cannot be reached
    """
    filters = Filters(species, verdict, since, until)
    # A spinner goes with a file only: on a terminal it would overwrite the records.
    shown = out is not None and sys.stderr.isatty()
    with _destination(out) as stream, render.counter(shown) as progress, errors_as_exits():
        task = progress.add_task("", total=None)
        write = _writer(stream, Format.JSONL if as_json else kind)

        def each(record: Record) -> None:
            write(record)
            progress.advance(task)

        count = asyncio.run(_each(_client(url, timeout, retries), filters, None, each))
    if out is not None:
        complain(f"Wrote {count} results to {out}.")


def _client(url: str, timeout_s: float, retries: int) -> Client:
    return Client(url, timeout_s=timeout_s, retries=retries, notice=render.notice(render.console(sys.stderr)))


async def _each(client: Client, filters: Filters, limit: int | None, each: Callable[[Record], None]) -> int:
    count = 0
    async with client, aclosing(client.records(filters, limit)) as records:
        async for record in records:
            each(record)
            count += 1
    return count


async def _fetch(client: Client, record_id: UUID, with_photo: bool) -> tuple[Record, bytes | None]:
    async with client:
        return await client.record(record_id), await client.photo(record_id) if with_photo else None


@contextmanager
def _destination(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        with out.open("w", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(path: Path, error: OSError) -> typer.Exit:
    complain(f"{path} cannot be written: {error.strerror}.")
    return typer.Exit(FAILED)


def _writer(stream: TextIO, kind: Format) -> Callable[[Record], None]:
    if kind is Format.JSONL:
        return lambda record: print(record.model_dump_json(by_alias=True), file=stream)
    rows = csv.writer(stream)
    rows.writerow(CSV_COLUMNS)
    return lambda record: rows.writerow(csv_row(record))


def csv_row(record: Record) -> tuple[object, ...]:
    """The cells under ``CSV_COLUMNS``; what is not known is empty."""
    best, photo = (record.species[0] if record.species else None), record.photo
    return (
        record.id,
        record.received_at.isoformat(),
        photo.captured_at.isoformat() if photo.captured_at else "",
        photo.filename or "",
        record.verdict.value,
        render.common_name(record),
        render.scientific_name(record),
        best.rank if best else "",
        best.score if best else "",
        "" if record.count is None else record.count,
        photo.width,
        photo.height,
        photo.sha256,
        record.release,
    )
