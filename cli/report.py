"""What ``bestiary classify`` tells: each photo, or what many of them show; events; failures by reason."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cli import render
from cli.ledger import Entry, Failure
from cli.options import complain
from cli.work import Outcome
from contract.record import Record
from interchange.events import Event, Shot, group, shot
from interchange.findings import findings
from interchange.places import Places

MOST_ROWS: Final = 100
"""More photos than this are summed up instead of listed."""

MOST_COMPLAINTS: Final = 20
"""More failures than this are told by reason, with an example each."""


@dataclass(slots=True)
class Report:
    """Takes outcomes as they come; memory grows with what has to be told in the end, not with the photos' bytes."""

    as_json: bool
    total: int
    places: Places
    gap: timedelta
    answered: int = 0
    earlier: int = 0
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    rows: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    animals: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Common name -> photos it is on, animals counted."""

    def add(self, outcome: Outcome) -> None:
        """Take one outcome. Raises OSError if standard output is gone."""
        result = outcome.result
        if isinstance(result, Entry):
            self._add_earlier(outcome, result)
            return
        if isinstance(result, Failure):
            self.failures.append((outcome.path, result))
        else:
            self.answered += 1
        if self.as_json:
            print(_line(outcome.path, result), flush=True)
        elif isinstance(result, Record):
            self._add_record(outcome, result)
        elif self.total <= MOST_ROWS:
            self.rows.append((outcome.place, render.failed_row(outcome.path, result.code)))

    def _add_earlier(self, outcome: Outcome, entry: Entry) -> None:
        if entry.failure is None:
            self.earlier += 1
        else:
            self.failures.append((outcome.path, entry.failure))

    def _add_record(self, outcome: Outcome, record: Record) -> None:
        if self.total <= MOST_ROWS:
            self.rows.append((outcome.place, render.classified_row(outcome.path, record)))
        self.shots.append(shot(record, self.places.of(record)))
        names = Counter(finding.taxon.common_name for finding in findings(record))
        for name in names or ("no animal",):
            self.animals[name]["photos"] += 1
            self.animals[name]["animals"] += names[name] if record.boxes else 0

    def finish(self) -> None:
        """Print what is left to print: photos or their sum, events, failures in words, and how many there were."""
        if self.rows:
            render.print_table(render.CLASSIFIED, [row for _, row in sorted(self.rows)])
        elif self.animals:
            render.print_table(render.SUMMED, _sum(self.animals))
        events = group(self.shots, self.gap)
        if len(events) < len(self.shots) and events:
            print()
            render.print_table(render.EVENTS, [render.event_row(event) for event in _telling(events)])
        if not self.as_json:
            self._complain()
        done = self.answered + self.earlier + len(self.failures)
        if done < self.total:
            complain(f"Stopped after {done} of {self.total} photos.")
        elif self.total > 1:
            earlier = f", {self.earlier} answered in an earlier run" if self.earlier else ""
            complain(f"{self.answered} answered{earlier}, {len(self.failures)} failed.")

    def _complain(self) -> None:
        failures = sorted(self.failures, key=lambda failed: failed[0])
        if len(failures) <= MOST_COMPLAINTS:
            for path, failure in failures:
                complain(f"{render.printable(path)}: {failure.detail}")
            return
        by_reason: dict[str, list[tuple[str, Failure]]] = defaultdict(list)
        for path, failure in failures:
            by_reason[failure.code].append((path, failure))
        for code, some in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            path, failure = some[0]
            complain(f"{len(some)} {code}, such as {render.printable(path)}: {failure.detail}")


def _line(path: str, result: Record | Failure) -> str:
    """One line of ``--json``."""
    if isinstance(result, Record):
        return json.dumps({"path": path, "record": result.model_dump(mode="json", by_alias=True)})
    error = {"code": result.code, "detail": result.detail, "retryable": result.retryable}
    return json.dumps({"path": path, "error": error})


def _sum(animals: dict[str, Counter[str]]) -> list[tuple[str, ...]]:
    """Rows under ``render.SUMMED``, most photos first."""
    ordered = sorted(animals.items(), key=lambda item: (-item[1]["photos"], item[0]))
    return [(name, str(tally["photos"]), str(tally["animals"] or "")) for name, tally in ordered]


def _telling(events: Sequence[Event]) -> Sequence[Event]:
    """Those with an animal, if there are many."""
    return events if len(events) <= MOST_ROWS else [event for event in events if event.seen]
