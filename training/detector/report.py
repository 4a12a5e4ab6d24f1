"""Figures of detectors side by side, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from training import report
from training.evaluate import Figures


def table(detectors: Mapping[str, Figures], title: str) -> Table:
    """One row a figure, one column a detector."""
    rows = Table(title=title)
    rows.add_column("figure")
    for name in detectors:
        rows.add_column(name, justify="right")
    for name in next(iter(detectors.values())):
        rows.add_row(name, *(shown(name, figures[name]) for figures in detectors.values()))
    return rows


def shown(name: str, value: float) -> str:
    """A figure as text: animals for ``count_error`` and ``count_bias``, else as ``training.report`` has it."""
    return f"{value:.2f}" if name.startswith(("count_error", "count_bias")) else report.shown(name, value)
