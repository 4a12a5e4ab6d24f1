"""What the rounds come to: a table, a plot, and how far the aims are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import median
from benchmarks.peers.measure import BOUNDS, SYSTEMS
from benchmarks.peers.photos import CAMERA, LARGE, SETS, SMALL
from benchmarks.peers.running import OURS

AIMS: Final = (
    ("float32", SMALL, 1.3),
    ("float32", CAMERA, 3.0),
    ("float32", LARGE, 5.0),
    ("as shipped", SMALL, 1.5),
)
"""Network, photo set, and how many times the best peer's rate ours should be."""

BOUND_AIM: Final = 0.85
"""Of the bound's rate, as shipped, small photos."""


@dataclass(frozen=True, slots=True)
class Row:
    """One system with one photo set over all rounds: medians, and how far the rates lie apart."""

    system: str
    photos: str
    rate: float
    lowest: float
    highest: float
    cpu_ms: float | None
    instructions: float | None
    p99_ms: float | None
    generator_cpu_ms: float | None
    rounds: int


def chosen(cells: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """System -> its best setting, from the cells of ``tune``: the highest product of the rates over the photo sets."""
    products: dict[tuple[str, str], float] = {}
    for cell in cells:
        key = cell["system"], cell["variant"]
        products[key] = products.get(key, 1.0) * (cell["rate"] or 0.0)
    return {
        system: max((key[1] for key in products if key[0] == system), key=lambda variant: products[system, variant])
        for system, _ in products
    }


def rows_of(cells: Sequence[Mapping[str, Any]]) -> list[Row]:
    """From the cells of a results file. A round in which no rate passed counts as 0; an error counts as no round."""
    rows = []
    for photos in SETS:
        for system in SYSTEMS:
            mine = [
                cell for cell in cells if cell["system"] == system and cell["photos"] == photos and not cell["error"]
            ]
            if not mine:
                continue
            rates = [cell["rate"] or 0.0 for cell in mine]
            rows.append(
                Row(
                    system,
                    photos,
                    median(rates),
                    min(rates),
                    max(rates),
                    _median(mine, "cpu_ms"),
                    _median(mine, "instructions"),
                    _median(mine, "p99_ms"),
                    _median(mine, "generator_cpu_ms"),
                    len(mine),
                )
            )
    return rows


def _median(cells: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [cell[name] for cell in cells if cell[name] is not None]
    return median(values) if values else None


def best_peer(rows: Sequence[Row], photos: str) -> Row | None:
    """The fastest of the others."""
    peers = [row for row in rows if row.photos == photos and row.system not in OURS and row.system not in BOUNDS]
    return max(peers, key=lambda row: row.rate, default=None)


def verdicts(rows: Sequence[Row]) -> list[str]:
    """A sentence for each aim and each of our protocols that was measured."""
    found = {(row.system, row.photos): row for row in rows}
    said = []
    for network, photos, aim in AIMS:
        peer = best_peer(rows, photos)
        for protocol in ("http", "grpc"):
            mine = found.get((f"ours-{protocol}{'-float32' if network == 'float32' else ''}", photos))
            if mine is None or peer is None or not peer.rate:
                continue
            ratio = mine.rate / peer.rate
            said.append(
                f"{SYSTEMS[mine.system]}, {photos}: {ratio:.2f} times {SYSTEMS[peer.system]}, the best peer "
                f"(aim {aim:g}): {'met' if ratio >= aim else 'NOT met'}"
            )
    bound = found.get(("bound", SMALL))
    for system in ("ours-http", "ours-grpc"):
        mine = found.get((system, SMALL))
        if mine is not None and bound is not None:
            ratio = mine.rate / bound.rate
            said.append(
                f"{SYSTEMS[system]}, {SMALL}: {ratio:.2f} of the bound (aim {BOUND_AIM:g}): "
                f"{'met' if ratio >= BOUND_AIM else 'NOT met'}"
            )
    return said


def markdown(facts: Mapping[str, Any]) -> str:
    """The whole result for a reader: one table for each photo set, then the aims."""
    rows, machine = rows_of(facts["cells"]), facts["machine"]
    parts = [
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, load before "
        f"the run {machine['load_average_1min']}. {facts['rounds']} rounds, steps of {facts['seconds']:g} s or more; "
        "medians, lowest-highest in brackets."
    ]
    for photos in SETS:
        peer = best_peer(rows, photos)
        mine = [row for row in rows if row.photos == photos]
        if not mine:
            continue
        about = facts["photos"][photos]
        parts.append(
            f"**{about['name']}**, {about['mean_bytes'] / 1e3:.0f} kB on average\n\n{_table(facts, mine, peer)}"
        )
    said = verdicts(rows)
    if said:
        parts.append("\n".join(f"- {line}" for line in said))
    failed = sorted({f"{SYSTEMS[cell['system']]}: {cell['error']}" for cell in facts["cells"] if cell["error"]})
    if failed:
        parts.append("Not measured:\n\n" + "\n".join(f"- {line}" for line in failed))
    return "\n\n".join(parts) + "\n"


def _table(facts: Mapping[str, Any], rows: Sequence[Row], peer: Row | None) -> str:
    head = (
        "system",
        "setting",
        "photos/s",
        "of the best peer",
        "CPU ms",
        "M instructions",
        "p99 ms",
        "client's CPU ms",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in sorted(rows, key=lambda row: -row.rate):
        instructions = None if row.instructions is None else row.instructions / 1e6
        share = row.rate / peer.rate if peer is not None and peer.rate else None
        figures = [
            f"{row.rate:.1f} ({row.lowest:.1f}-{row.highest:.1f})",
            _figure(share, 2),
            _figure(row.cpu_ms, 1),
            _figure(instructions, 0),
            _figure(row.p99_ms, 0),
            _figure(row.generator_cpu_ms, 2),
        ]
        setting = facts["variants"].get(row.system) or "no server, no limit"
        lines.append("| " + " | ".join([SYSTEMS[row.system], setting, *figures]) + " |")
    return "\n".join(lines)


def _figure(number: float | None, digits: int) -> str:
    return "-" if number is None else f"{number:.{digits}f}"


def plot(path: Path, facts: Mapping[str, Any]) -> None:
    """Rates as bars, one panel a photo set, as a PNG. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = rows_of(facts["cells"])
    sets = [photos for photos in SETS if any(row.photos == photos for row in rows)]
    figure, panels = pyplot.subplots(1, len(sets), figsize=(5 * len(sets), 5), layout="constrained", squeeze=False)
    for panel, photos in zip(panels[0], sets, strict=True):
        mine = sorted((row for row in rows if row.photos == photos), key=lambda row: row.rate)
        colours = [
            "tab:blue" if row.system in OURS else "0.8" if row.system in BOUNDS else "tab:orange" for row in mine
        ]
        rates = [row.rate for row in mine]
        below = [row.rate - row.lowest for row in mine]
        above = [row.highest - row.rate for row in mine]
        bars = panel.barh([SYSTEMS[row.system] for row in mine], rates, color=colours, xerr=[below, above])
        panel.bar_label(bars, labels=[f" {rate:.0f}" if rate >= 20 else f" {rate:.1f}" for rate in rates], padding=4)
        panel.margins(x=0.2)
        panel.set_title(facts["photos"][photos]["name"].split(":")[0])
        panel.set_xlabel("photos/s with p99 within 250 ms, no error\n(grey: no server, no limit)")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
