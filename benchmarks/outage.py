"""What one kill did to the callers, and what it did to the store."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.callers import Call


class UnexplainedOutage(RuntimeError):
    """The calls around a kill do not show a failure and a recovery."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds count from the kill but for ``slowest_failure_s``, the longest that a failing caller waited."""

    first_failure_s: float
    slowest_failure_s: float
    served_again_s: float
    """When the first photo after the last failure was answered."""

    backoff_s: float
    """How long the supervisor waits before it starts Triton again, for this kill of so many in a row."""

    failures: dict[str, int]
    """By gRPC code."""

    acknowledged: int
    """Photos acknowledged from this kill to the next."""


def outage_of(calls: Sequence[Call], killed: float, until: float, *, backoff_s: float) -> Outage:
    """The outage after a kill, from the calls that ended in ``[killed, until)``. Raises UnexplainedOutage."""
    ended = sorted((call for call in calls if killed <= call.ended < until), key=lambda call: call.ended)
    failed = [call for call in ended if not call.record_id]
    if not failed:
        raise UnexplainedOutage("No call failed after the kill.")
    again = [call.ended for call in ended if call.record_id and call.ended > failed[-1].ended]
    if not again:
        raise UnexplainedOutage("No photo was answered between the last failure and the next kill.")
    return Outage(
        first_failure_s=failed[0].ended - killed,
        slowest_failure_s=max(call.seconds for call in failed),
        served_again_s=again[0] - killed,
        backoff_s=backoff_s,
        failures=dict(Counter(call.code for call in failed)),
        acknowledged=sum(1 for call in ended if call.record_id),
    )


def missing_from_store(results: Path, record_ids: Sequence[str]) -> int:
    """How many of these records the result store of a stopped stack does not have."""
    with closing(sqlite3.connect(f"file:{results}?mode=ro", uri=True)) as database:
        stored = {row[0] for row in database.execute("SELECT id FROM records")}
    return len(set(record_ids) - stored)
