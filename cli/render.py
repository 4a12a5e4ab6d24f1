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

from contract.record import Alternatives, Record, RecordStatus, SpeciesScore
from contract.taxonomy import NO_ANIMAL
from interchange.events import Event
from interchange.findings import Finding, answer, counted, findings, in_words

CLASSIFIED: Final = ("photo", "animals", "scientific name", "score", "verdict", "size")
LISTED: Final = ("id", "uploaded", "animals", "score", "verdict", "file")
SUMMED: Final = ("animal", "photos", "animals")
EVENTS: Final = ("event", "start", "photos", "animals", "score")
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
    taxon = answer(record)
    return path, counted(record), taxon.name if taxon else "", _score(record), record.verdict.value, size


def failed_row(path: str, code: str) -> tuple[str, ...]:
    """The cells under ``CLASSIFIED`` for a photo that was not answered."""
    return path, "", "", "", f"failed: {code}", ""


def listed_row(record: Record) -> tuple[str, ...]:
    """The cells under ``LISTED``."""
    return (
        str(record.id),
        _moment(record.received_at),
        counted(record),
        _score(record),
        record.verdict.value,
        record.photo.filename or "",
    )


def event_row(event: Event) -> tuple[str, ...]:
    """The cells under ``EVENTS``."""
    animals = in_words((seen.taxon.common_name, seen.count) for seen in event.seen) or "no animal"
    score = f"{event.seen[0].score:.3f}" if event.seen else ""
    return event.place, event.start.isoformat(" ", "seconds"), str(len(event.shots)), animals, score


def print_record(record: Record) -> None:
    """Everything in a record that people ask for."""
    facts = _facts(record)
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = []
    if record.boxes:
        tables.append((_BOXES, [_box_row(number, one) for number, one in enumerate(findings(record), start=1)]))
    tables.append((_SPECIES, [_species_row(one) for one in record.species]))
    if not sys.stdout.isatty():
        print(_plain(list(facts.items())), *(_plain([columns, *rows]) for columns, rows in tables), sep="\n\n")
        return
    grid = Table.grid(padding=(0, 2))
    for label, value in facts.items():
        grid.add_row(label, Text(printable(value), overflow="fold"))
    parts = [_table(columns, rows) for columns, rows in tables]
    console(sys.stdout).print(Panel(Group(grid, *parts), title="result"))


_SPECIES: Final = ("whole photo", "score", "rank", "taxonomy")
_BOXES: Final = ("box", "animal", "score", "found", "left, top - right, bottom", "may also be")


def _species_row(one: SpeciesScore) -> tuple[str, ...]:
    return _full_name(one), f"{one.score:.3f}", one.rank, _lineage(one)


def _box_row(number: int, finding: Finding) -> tuple[str, ...]:
    """Position in hundredths of the photo's width and height."""
    box, taxon = finding.box, finding.taxon
    if box is None:
        return ()
    place = f"{box.x1:.0%}, {box.y1:.0%} - {box.x2:.0%}, {box.y2:.0%}"
    others = _alternatives(box.alternatives, taxon.common_name)
    return str(number), taxon.common_name, f"{taxon.score:.3f}", f"{box.score:.3f}", place, others


def _alternatives(found: Alternatives | None, but: str = "") -> str:
    """Names of a conformal set, or the taxon that holds them."""
    if found is None:
        return ""
    names = [found.taxon.common_name] if found.taxon else [one.common_name for one in found.species]
    return ", ".join(name for name in names if name != but)


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


def aloud(out: Console) -> Callable[[str], None]:
    """Tells a sentence beside a progress bar, or into a pipe."""
    return lambda sentence: out.print(Text(printable(sentence)), soft_wrap=True)


def _score(record: Record) -> str:
    """How sure the answer is, with three decimals; of an empty photo that it is empty, '' if nobody said."""
    taxon = answer(record)
    if taxon is None:
        return next((f"{one.score:.3f}" for one in record.species if one.key == NO_ANIMAL), "")
    return f"{taxon.score:.3f}"


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
    photo, camera, place = record.photo, record.photo.camera, record.photo.location
    timings = record.timings_ms.model_dump()
    facts = {
        "id": str(record.id),
        "verdict": record.verdict.value + (", partly read" if record.status is RecordStatus.PARTIAL else ""),
        "answer": counted(record) + (f", {_score(record)}" if _score(record) else ""),
        "counted": "not asked for" if record.count is None else str(record.count),
        "may also be": _alternatives(record.alternatives, counted(record)),
        "file": photo.filename or "",
        "photo": f"{photo.format} {photo.width}x{photo.height}, {photo.size_bytes:,} bytes",
        "sha256": photo.sha256,
        "captured": photo.captured_at.isoformat(" ", "seconds") if photo.captured_at else "",
        "camera": " ".join(filter(None, (camera.make, camera.model, camera.serial))) if camera else "",
        "position": f"{place.latitude:.6f}, {place.longitude:.6f}" if place else "",
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
