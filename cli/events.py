"""``bestiary results events``: bursts of photos as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

import typer

from cli import render
from cli.client import Filters
from cli.options import (
    DEFAULT_URL,
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
from cli.selection import LedgerOption, OfVerdict, Since, Species, Spool, Until, chosen, client, each
from interchange.dataset import latest
from interchange.events import Event, Shot, group, shot
from interchange.findings import rank_of
from interchange.places import By, Places


def events(
    url: Url = DEFAULT_URL,
    token: Token = "",
    api_key: Key = "",
    as_json: Annotated[bool, typer.Option("--json", help="One event a line instead of a table.")] = False,
    ledger: LedgerOption = None,
    event_gap: EventGap = 60,
    deployment_by: DeploymentBy = By.FOLDER,
    species: Species = "",
    verdict: OfVerdict = None,
    since: Since = None,
    until: Until = None,
    timeout: Timeout = 30.0,
    retries: Retries = 5,
) -> None:
    """Group photos into events by place and capture time, and say what each shows.

    An event's animals are those with enough votes of its photos, each as many
    times as the fullest photo shows. Of a photo that was classified more than
    once the newest result counts.

    Example: bestiary results events --ledger card/ --event-gap 120

    Exit codes:
    0 listed, even if there are none
    1 refused
    2 wrong usage
    3 the service cannot be reached
    """
    which = chosen(ledger, Filters(species, verdict, since, until))
    headers = credentials(url, token, api_key)
    places = Places(deployment_by)
    with Spool() as spool, errors_as_exits():
        asyncio.run(each(client(url, timeout, retries, headers), which, spool.add))
        shots = [shot(record, places.of(record)) for record in latest(spool)]
    found = group(shots, timedelta(seconds=event_gap))
    if as_json:
        for event in found:
            print(json.dumps(_line(event)))
    else:
        render.print_table(render.EVENTS, map(render.event_row, found))
    if timeless := sum(one.at is None for one in shots):
        complain(f"{timeless} photos have no capture time and belong to no event.")
    if not found:
        complain("No photo that matches has a capture time.")


def _line(event: Event) -> dict[str, object]:
    return {
        "id": event.id,
        "deployment": event.place,
        "start": event.start.isoformat(),
        "end": event.end.isoformat(),
        "photos": [_photo(one) for one in event.shots],
        "animals": list(_animals(event)),
    }


def _photo(one: Shot) -> dict[str, str]:
    return {"id": str(one.id), "filename": one.name}


def _animals(event: Event) -> Iterator[dict[str, object]]:
    for seen in event.seen:
        yield {
            "common_name": seen.taxon.common_name,
            "scientific_name": seen.taxon.name,
            "rank": rank_of(seen.taxon),
            "count": seen.count,
            "photos": seen.photos,
            "score": seen.score,
        }
