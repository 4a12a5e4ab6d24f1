"""What the client commands share: options, exit codes, and how an error is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import httpx
import typer

from cli.errors import ClientError, Unreachable
from interchange.places import By

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""

DEFAULT_URL: Final = "http://127.0.0.1:8080"


def parse_url(text: str) -> str:
    """A base URL without its trailing slash. Raises typer.BadParameter."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{text!r} is not a URL: {error}.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise typer.BadParameter(f"{text!r} is not an http or https URL, e.g. {DEFAULT_URL}.")
    return text.rstrip("/")


Url = Annotated[
    str, typer.Option("--url", envvar="BESTIARY_URL", callback=parse_url, help="Where the service answers.")
]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds that one request may take.")]
Retries = Annotated[
    int, typer.Option(min=0, help="How often to try again after 429, 503 or a connection that was refused or lost.")
]

EventGap = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="Photos of one place closer than this are one event.")
]
DeploymentBy = Annotated[By, typer.Option(help="What makes a deployment: a folder, a camera, or none: all are one.")]


def complain(message: str) -> None:
    """One line on standard error."""
    typer.echo(message, err=True)


@contextmanager
def errors_as_exits() -> Iterator[None]:
    """Tell a ClientError in one sentence and exit with its code."""
    try:
        yield
    except ClientError as error:
        complain(str(error))
        raise typer.Exit(UNREACHABLE if isinstance(error, Unreachable) else FAILED) from error
