"""``bestiary loadtest``: mounted without importing it, as it needs an extra and takes a while."""

from __future__ import annotations

import importlib
import importlib.util

import typer

from cli.options import USAGE, complain

_NEEDS = ("locust", "jinja2", "matplotlib")


def loadtest(context: typer.Context) -> None:
    """Load tests with a verdict on every objective (loadtest extra)."""
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        complain(f"{', '.join(missing)} is not installed: pip install 'bestiary[loadtest]', or make install-dev.")
        raise typer.Exit(USAGE)
    importlib.import_module("cli.load_commands").app(args=context.args, prog_name=context.command_path)
