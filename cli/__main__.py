"""``bestiary``: every command put together, nothing else."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from cli import data, extras, keys, releases, results
from cli.classify import classify
from cli.events import events
from cli.export import export
from cli.loadtest import loadtest
from cli.plan import plan
from cli.profile import profile
from cli.releases_agent import agent
from cli.status import status
from cli.tune import tune
from cli.up import up

app = typer.Typer(
    name="bestiary",
    help="Identify, count and classify animals in photos.\n\nExample: bestiary classify photos/",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bestiary {metadata.version('bestiary')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


app.command()(up)
app.command()(classify)
results.app.command()(events)
results.app.command()(export)
app.add_typer(results.app, name="results")
app.add_typer(keys.app, name="keys")
app.add_typer(data.app, name="data")
releases.app.command()(agent)
app.add_typer(releases.app, name="releases")
app.command()(profile)
app.command()(status)
app.command()(plan)
app.command()(tune)
app.command(add_help_option=False, context_settings=extras.PASS_ON)(loadtest)
extras.mount(app)


def main() -> None:
    """The entry point of the installed script."""
    app()


if __name__ == "__main__":
    main()
