"""What the client commands share: options, exit codes, and how an error is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import httpx
import typer

from cli.client import is_loopback
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
Token = Annotated[
    str, typer.Option("--token", envvar="BESTIARY_TOKEN", show_default=False, help="Bearer token of Entra ID.")
]
Key = Annotated[
    str, typer.Option("--api-key", envvar="BESTIARY_API_KEY", show_default=False, help="API key of this machine.")
]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds that one request may take.")]
Retries = Annotated[
    int, typer.Option(min=0, help="How often to try again after 429, 503 or a connection that was refused or lost.")
]

EventGap = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="Photos of one place closer than this are one event.")
]
DeploymentBy = Annotated[By, typer.Option(help="What makes a deployment: a folder, a camera, or none: all are one.")]


def credentials(url: str, token: str, api_key: str) -> dict[str, str]:
    """Headers that say who calls; none without. Raises typer.BadParameter if they would go over the network in clear
    text, or if there are two."""
    if not token and not api_key:
        return {}
    if token and api_key:
        raise typer.BadParameter("give one of the two (BESTIARY_TOKEN and BESTIARY_API_KEY too)", param_hint="--token")
    target = httpx.URL(url)
    if target.scheme == "http" and not is_loopback(target.host):
        raise typer.BadParameter("credentials are only sent by https, or to this machine", param_hint="--url")
    given = f"Bearer {token}" if token else api_key
    if not given.isascii() or not given.isprintable():
        raise typer.BadParameter("this is no token or key: it has letters that none has", param_hint="--token")
    return {"Authorization": given} if token else {"X-API-Key": given}


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
