"""Tables and panels. On a terminal they fold to its width; into a pipe goes plain text, nothing cut."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from contract.record import Record, SpeciesScore

CLASSIFIED: Final = ("photo", "animal", "scientific name", "score", "verdict", "size")
LISTED: Final = ("id", "uploaded", "animal", "score", "verdict", "file")
_RANKS: Final = ("class_", "order", "family", "genus", "species")


def console(stream: TextIO) -> Console:
    """A console on ``stream`` that writes no control codes where it is no terminal, whatever the environment says."""
    return Console(file=stream) if stream.isatty() else Console(file=stream, force_terminal=False, color_system=None)


def printable(text: str) -> str:
    """``text`` with control characters, which file names may hold, replaced: they would reach the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output."""
    if sys.stdout.isatty():
        console(sys.stdout).print(_table(columns, rows))
    else:
        print(_plain([columns, *rows]))


def classified_row(path: str, record: Record) -> tuple[str, ...]:
    """The cells under ``CLASSIFIED`` for an answered photo."""
    size = f"{record.photo.width}x{record.photo.height}"
    return path, common_name(record), scientific_name(record), score(record), record.verdict.value, size


def failed_row(path: str, code: str) -> tuple[str, ...]:
    """The cells under ``CLASSIFIED`` for a photo that was not answered."""
    return path, "", "", "", f"failed: {code}", ""


def listed_row(record: Record) -> tuple[str, ...]:
    """The cells under ``LISTED``."""
    return (
        str(record.id),
        _moment(record.received_at),
        common_name(record),
        score(record),
        record.verdict.value,
        record.photo.filename or "",
    )


def print_record(record: Record) -> None:
    """Everything in a record that people ask for."""
    facts = _facts(record)
    columns = ("animal", "score", "rank", "taxonomy")
    candidates = [(_full_name(one), f"{one.score:.3f}", one.rank, _lineage(one)) for one in record.species]
    if not sys.stdout.isatty():
        print(_plain(list(facts.items())), _plain([columns, *candidates]), sep="\n\n")
        return
    grid = Table.grid(padding=(0, 2))
    for label, value in facts.items():
        grid.add_row(label, Text(printable(value), overflow="fold"))
    console(sys.stdout).print(Panel(Group(grid, _table(columns, candidates)), title="result"))


def print_checks(url: str, ready: bool, checks: Mapping[str, str]) -> None:
    """The answer to ``bestiary status``."""
    print(f"{url} is {'ready' if ready else 'not ready'}")
    print_table(("check", "state"), checks.items())


def progress(shown: bool) -> Progress:
    """A bar on standard error that counts photos."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(sys.stderr),
        disable=not shown,
        transient=True,
        redirect_stdout=False,  # it would send our results to standard error
        redirect_stderr=False,
    )


def counter(shown: bool) -> Progress:
    """A spinner on standard error that counts records."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.completed} results"),
        console=console(sys.stderr),
        disable=not shown,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def notice(out: Console) -> Callable[[str], None]:
    """Tells a person why it takes longer; says nothing where nobody watches."""
    return lambda sentence: out.print(Text(sentence)) if out.is_terminal else None


def common_name(record: Record) -> str:
    """The best species' common name, '' without one."""
    return record.species[0].common_name if record.species else ""


def scientific_name(record: Record) -> str:
    """The best species' name at its narrowest rank, '' without one."""
    names = [getattr(record.species[0], rank) for rank in _RANKS] if record.species else []
    return next((name for name in reversed(names) if name), "")


def score(record: Record) -> str:
    """The best species' score with three decimals, '' without one."""
    return f"{record.species[0].score:.3f}" if record.species else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _plain(rows: Sequence[Sequence[str]]) -> str:
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(_padded, row, widths)).rstrip() for row in cells)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def _facts(record: Record) -> dict[str, str]:
    photo = record.photo
    timings = record.timings_ms.model_dump()
    facts = {
        "id": str(record.id),
        "verdict": record.verdict.value,
        "animals": "not counted" if record.count is None else str(record.count),
        "by species": ", ".join(f"{count} {name}" for name, count in record.counts.items()),
        "file": photo.filename or "",
        "photo": f"{photo.format} {photo.width}x{photo.height}, {photo.size_bytes:,} bytes",
        "sha256": photo.sha256,
        "captured": photo.captured_at.isoformat(" ", "seconds") if photo.captured_at else "",
        "uploaded": _moment(record.received_at),
        "release": record.release,
        "timings": ", ".join(f"{stage} {ms:g} ms" for stage, ms in timings.items()),
    }
    return {label: value for label, value in facts.items() if value}


def _full_name(species: SpeciesScore) -> str:
    return f"{species.common_name} ({species.variety})" if species.variety else species.common_name


def _lineage(species: SpeciesScore) -> str:
    return " > ".join(name for name in (getattr(species, rank) for rank in _RANKS) if name)


def _moment(moment: datetime) -> str:
    return moment.isoformat(" ", "seconds")
