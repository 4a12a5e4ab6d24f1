"""``bestiary status``: is it there, and would it answer a photo now?"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from cli import render
from cli.client import Client, Readiness
from cli.errors import ClientError, Unreachable
from cli.options import DEFAULT_URL, FAILED, UNREACHABLE, Timeout, Url, complain


def status(
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print {url, live, ready, checks}.")] = False,
    timeout: Timeout = 5.0,
) -> None:
    """Ask the service whether it would answer a photo now, and if not, why.

    Example: until bestiary status > /dev/null; do sleep 1; done

    Exit codes:
    0 ready
    1 not ready
    2 wrong usage
    3 the service cannot be reached
    """
    try:
        readiness = asyncio.run(_ask(url, timeout))
    except ClientError as error:
        if as_json:
            typer.echo(json.dumps({"url": url, "live": False, "ready": False, "checks": {}}))
        complain(str(error if isinstance(error, Unreachable) else Unreachable(url)))
        raise typer.Exit(UNREACHABLE) from error
    if as_json:
        answer = {"url": url, "live": True, "ready": readiness.ready, "checks": dict(readiness.checks)}
        typer.echo(json.dumps(answer))
    else:
        render.print_checks(url, readiness.ready, readiness.checks)
    raise typer.Exit(0 if readiness.ready else FAILED)


async def _ask(url: str, timeout_s: float) -> Readiness:
    async with Client(url, timeout_s=timeout_s, retries=0) as client:
        await client.live()
        return await client.readiness()
