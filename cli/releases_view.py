"""How a rollout looks on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import typer

from cli.render import print_table, printable
from contract.rollout import Disagreement, Event, GatewayReport, RolloutState, Stage
from rollout.operator import Overview

EVENTS = 10
"""Events of the history that are shown; ``--json`` has all."""
PAIRS = 15
EXAMPLES = 8


def state_line(state: RolloutState) -> str:
    """Who answers, who challenges and who answered before, in one line."""
    parts = [f"{state.champion} answers"]
    if state.probation is not None:
        parts[0] += f", on probation until {state.probation.until}"
    if state.challenger is not None:
        share = "" if state.challenger.stage is Stage.LOAD else f" {state.challenger.share:.0%}"
        parts.append(f"{state.challenger.release} is in {state.challenger.stage}{share}")
    if state.previous is not None:
        parts.append(f"{state.previous} answered before")
    return "; ".join(parts) + "."


def print_overview(seen: Overview) -> None:
    """Everything, as tables."""
    typer.echo(state_line(seen.state))
    for release, reason in seen.state.refused.items():
        typer.echo(f"Refused: {release}: {printable(reason)}")
    typer.echo("")
    rows = [
        (one.replica, ", ".join(one.loaded), "; ".join(f"{name}: {why}" for name, why in one.failed.items()))
        for one in seen.replicas
    ]
    print_table(("replica", "loaded", "failed"), [tuple(map(printable, row)) for row in rows])
    typer.echo("")
    print_table(
        ("gateway", "of release", "stage", "photos", "errors", "differ", "median ms"),
        [_tally_row(report) for report in seen.gateways],
    )
    _print_disagreements(seen.gateways)
    typer.echo("")
    print_table(("at", "act", "release", "by", "reason"), [event_row(one) for one in seen.state.history[-EVENTS:]])


def event_row(event: Event) -> tuple[str, ...]:
    """One act of the history."""
    return tuple(map(printable, (event.at[:19], event.act, event.release, event.by, event.reason)))


def _tally_row(report: GatewayReport) -> tuple[str, ...]:
    tally = report.tally
    differ = f"{tally.disagreed} of {tally.compared}" if tally.compared else ""
    times = f"{_ms(tally.median_ms)} ({_ms(tally.champion_median_ms)})" if tally.median_ms is not None else ""
    return (report.gateway, report.release, report.stage, str(tally.photos), str(tally.errors), differ, times)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _print_disagreements(reports: Iterable[GatewayReport]) -> None:
    """What the champion and the challenger called the same photos, most frequent first, with some of the photos."""
    pairs: Counter[tuple[str, str]] = Counter()
    examples: list[Disagreement] = []
    for report in reports:
        for champion, row in report.tally.pairs.items():
            for challenger, photos in row.items():
                pairs[champion, challenger] += photos
        examples += report.examples
    if not pairs:
        return
    typer.echo("")
    rows = [(champion, challenger, str(count)) for (champion, challenger), count in pairs.most_common(PAIRS)]
    print_table(("champion says", "challenger says", "photos"), rows)
    typer.echo("")
    print_table(
        ("champion says", "challenger says", "score", "photo", "record"),
        [(one.champion, one.challenger, f"{one.score:.2f}", one.photo, one.record) for one in examples[-EXAMPLES:]],
    )
