"""Figures as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from training.evaluate import Figures


def table(figures: Figures, title: str) -> Table:
    """One row a figure: shares in percent, counts of photos as they are."""
    rows = Table(title=title)
    rows.add_column("figure")
    rows.add_column("value", justify="right")
    for name, value in figures.items():
        rows.add_row(name, shown(name, value))
    return rows


def shown(name: str, value: float) -> str:
    """A figure as text: ``477`` for a count, ``96.3 %`` for a share."""
    return f"{value:.0f}" if name.startswith("photos.") else f"{value:.1%}".replace("%", " %")
