"""What ``bestiary loadtest`` shows: a table that lives while it runs, and the verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.render import print_table
from loadtest.results import Result
from loadtest.run import OnProgress, Run
from loadtest.samples import Samples, percentile
from loadtest.wire.reply import OK

RECENT: Final = 6
"""Reports of the processes that send that the live table looks back on; each is of a second."""


@contextmanager
def live(console: Console, title: str) -> Iterator[OnProgress]:
    """A table of the last seconds on a terminal; elsewhere nothing. Made anew only when there is news."""
    if not console.is_terminal:
        yield lambda run: None
        return
    with Live(console=console, auto_refresh=False, transient=True) as shown:
        yield lambda run: shown.update(_table(run, title), refresh=True)


def _table(run: Run, title: str) -> Table:
    schedule, workers = run.plan.schedule, max(run.plan.workers, 1)
    recent = Samples.join(run.chunks[-RECENT * workers :])
    at = float(recent.planned.max()) if len(recent) else -schedule.warm_up_s
    stage = "warm-up" if at < 0 else f"{at:.0f} of {schedule.seconds:.0f} s"
    table = Table(title=f"{title}: {stage}", min_width=60)
    for name in ("kind", "sent", "ok", "p50 ms", "p99 ms", "otherwise"):
        table.add_column(name, justify="left" if name in ("kind", "otherwise") else "right")
    for kind in [*sorted(set(recent.kind.tolist())), "all"]:
        its = recent if kind == "all" else recent.where(recent.kind == kind)
        seconds = its.seconds[its.ok | its.unanswered]
        others = Counter(outcome for outcome in its.outcome.tolist() if outcome != OK)
        table.add_row(
            kind, str(len(its)), str(int(its.ok.sum())), _ms(1e3 * percentile(seconds, 50)),
            _ms(1e3 * percentile(seconds, 99)), _words(others),
        )  # fmt: skip
    busy = max((worker.cpu_share for worker in run.workers.values()), default=0.0)
    late = 1e3 * percentile(recent.late, 99)
    table.caption = f"the last {RECENT} s; sent {_ms(late)} ms late (p99), generator at {busy:.0%} of a core"
    return table


def print_result(result: Result) -> None:
    """The end of a run."""
    told, summary = result.told, result.told["summary"]
    latency = summary["latency_ms"]
    print(f"{result.name}: offered {summary['offered_per_s']:.1f}/s, answered {summary['answered_per_s']:.1f}/s")
    print_table(("ms from the planned time", *latency, "photos"), _latency_rows(told))
    print_table(("kind", "outcome", "photos"), _outcome_rows(summary))
    if summary["where_ms"]:
        print_table(("stage", "mean ms"), [(name, f"{value:.1f}") for name, value in summary["where_ms"].items()])
    one = summary["generator"]
    print(
        f"generator: sent {_ms(one['late_p99_ms'])} ms late (p99), event loop {_ms(one['lag_p99_ms'])} ms late (p99), "
        f"{one['cpu_share'] or 0:.0%} of a core, {_ms(one['cpu_ms_per_photo'])} ms of CPU a photo"
    )
    if stages := told["server"].get("gateway_stages_ms"):
        print("gateway's own metrics, mean ms:", ", ".join(f"{name} {value:.1f}" for name, value in stages.items()))
    if batches := told["server"].get("batches"):
        print("executions by batch size:", ", ".join(f"{size}: {number}" for size, number in batches.items()))
    for note in told["notes"]:
        print(note)
    print_verdict(told["verdict"])


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """VALID or INVALID, and a line for every objective."""
    print_table(("objective", "verdict", "target", "measured", "95 % interval", "photos"),
                [_objective_row(one) for one in verdict["objectives"]])  # fmt: skip
    print("VALID" if verdict["valid"] else "INVALID: " + " ".join(verdict["faults"]))


def print_comparison(results: tuple[Result, Result]) -> None:
    """Two runs side by side."""
    rows = [("verdict", *(_verdict_word(result) for result in results), "")]
    rows += [
        _compared(name.replace("_per_s", "/s"), *(result.told["summary"][name] for result in results))
        for name in ("offered_per_s", "answered_per_s")
    ]
    for part in ("latency_ms", "where_ms"):
        parts = [result.told["summary"][part] for result in results]
        rows += [
            _compared(f"{name} ms" if part == "latency_ms" else f"  {name} ms", *(one.get(name) for one in parts))
            for name in dict.fromkeys(name for one in parts for name in one)
        ]
    print_table(("", *(result.name for result in results), "B / A"), rows)


def _verdict_word(result: Result) -> str:
    verdict = result.told["verdict"]
    return f"{'VALID' if verdict['valid'] else 'INVALID'} {'PASS' if verdict['passes'] else 'FAIL'}"


def _compared(name: str, a: float | None, b: float | None) -> tuple[str, str, str, str]:
    return name, _ms(a), _ms(b), f"{b / a:.2f}" if a and b is not None else ""


def _latency_rows(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    summary = told["summary"]
    parts = {"all": (summary["latency_ms"], summary["planned"])}
    parts |= {kind: (its["latency_ms"], its["photos"]) for kind, its in summary["by_kind"].items()}
    if (closed := told["closed_loop"]) is not None:
        parts[f"closed loop, {closed['callers']} callers"] = (closed["latency_ms"], closed["photos"])
    return [(name, *map(_ms, latency.values()), str(photos)) for name, (latency, photos) in parts.items()]


def _outcome_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (kind, outcome, str(number))
        for kind, its in summary["by_kind"].items()
        for outcome, number in its["outcomes"].items()
    ]


def _objective_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{one['slo']} {one['objective']}" + (f" <= {1e3 * one['limit_s']:g} ms" if one["limit_s"] else "")
    if one["share"] is None:
        return name, one["outcome"], f"{one['target']:.2%}", one["reason"], "", "0"
    measured = f"{one['share']:.2%}"
    if one["limit_s"]:
        measured += ", no answer" if one["at_target"] is None else f", {1e3 * one['at_target']:.0f} ms"
    interval = f"{one['share_low']:.2%} to {one['share_high']:.2%}" + ("" if one["certain"] else ", too few to be sure")
    return name, one["outcome"], f"{one['target']:.2%}", measured, interval, str(one["events"])


def _ms(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1f}"


def _words(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.items())
