"""``bestiary results``: list and show what is stored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli import render
from cli.client import Client, Filters
from cli.options import DEFAULT_URL, FAILED, Key, Retries, Timeout, Token, Url, complain, credentials, errors_as_exits
from cli.selection import OfVerdict, Since, Species, Until, client, each
from contract.record import Record

app = typer.Typer(
    help="List, show and export stored results.\n\nExample: bestiary results list --species lion", no_args_is_help=True
)


@app.command("list")
def list_results(
    url: Url = DEFAULT_URL,
    token: Token = "",
    api_key: Key = "",
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
    headers = credentials(url, token, api_key)
    filters = Filters(species, verdict, since, until)
    rows: list[tuple[str, ...]] = []

    def take(record: Record) -> None:
        if as_json:
            print(record.model_dump_json(by_alias=True))
        else:
            rows.append(render.listed_row(record))

    with errors_as_exits():
        count = asyncio.run(
            each(
                client(url, timeout, retries, headers),
                filters,
                take,
                None if everything else limit,
            )
        )
    if not as_json:
        render.print_table(render.LISTED, rows)
    if not count:
        complain("No result matches.")


@app.command()
def show(
    record_id: Annotated[UUID, typer.Argument(metavar="ID", help="The id of a result.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    api_key: Key = "",
    as_json: Annotated[bool, typer.Option("--json", help="The whole record.")] = False,
    photo: Annotated[Path | None, typer.Option(metavar="FILE", help="Save the photo here, too.")] = None,
    thumbnail: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw boxes and names on a small copy of the photo, here.")
    ] = None,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """Show one result: its animals, its best species with their taxonomy, photo, timings, release.

    Example: bestiary results show 019a2f6e-5c1b-7d3e-8f00-0123456789ab

    Exit codes:
    0 shown
    1 there is no such result, or the file cannot be written
    2 wrong usage
    3 the service cannot be reached
    """
    headers = credentials(url, token, api_key)
    wanted = photo is not None or thumbnail is not None
    with errors_as_exits():
        record, data = asyncio.run(_fetch(client(url, timeout, retries, headers), record_id, wanted))
    if as_json:
        print(record.model_dump_json(by_alias=True))
    else:
        render.print_record(record)
    if photo is not None and data is not None:
        _save(photo, data, "photo")
    if thumbnail is not None and data is not None:
        from cli import annotate  # brings Pillow, which nothing else here needs

        try:
            _save(thumbnail, annotate.thumbnail(data, record), "thumbnail")
        except ValueError as error:
            complain(f"The photo cannot be drawn on: {error}")
            raise typer.Exit(FAILED) from error


async def _fetch(client: Client, record_id: UUID, with_photo: bool) -> tuple[Record, bytes | None]:
    async with client:
        return await client.record(record_id), await client.photo(record_id) if with_photo else None


def _save(path: Path, data: bytes, what: str) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        complain(f"{path} cannot be written: {error.strerror}.")
        raise typer.Exit(FAILED) from error
    complain(f"Saved the {what} to {path}.")
