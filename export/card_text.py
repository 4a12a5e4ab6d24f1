"""Words and tables that the sections of the model card share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def percent(value: float | None) -> str:
    """A share as ``96.3 %``; nothing for None."""
    return "" if value is None else f"{100 * value:.1f} %"


def lines(parts: Iterable[str]) -> str:
    """One a line."""
    return "\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return lines(
        [
            f"| {' | '.join(head)} |",
            "|" + "---|" * len(head),
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    )
