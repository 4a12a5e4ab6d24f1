"""``bestiary train`` and ``bestiary export``: mounted without importing them, as they need extras."""

from __future__ import annotations

import importlib
import importlib.util

import typer

from cli.options import USAGE

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def mount(app: typer.Typer) -> None:
    """Add both commands to ``app``."""
    app.command(add_help_option=False, context_settings=PASS_ON)(train)
    app.command(add_help_option=False, context_settings=PASS_ON)(export)


def train(context: typer.Context) -> None:
    """Fine-tune the classifier and measure it (training extra)."""
    _run("training", "torch", context)


def export(context: typer.Context) -> None:
    """Turn a checkpoint into a release (export extra)."""
    _run("export", "onnx", context)


def _run(package: str, needs: str, context: typer.Context) -> None:
    if importlib.util.find_spec(needs) is None:
        typer.echo(f"The {package} extra is not installed: make install-dev", err=True)
        raise typer.Exit(USAGE)
    importlib.import_module(f"{package}.cli").app(args=context.args, prog_name=context.command_path)
