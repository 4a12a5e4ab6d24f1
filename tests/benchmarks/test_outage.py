"""What the calls around a kill say about it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from benchmarks.callers import Call
from benchmarks.outage import UnexplainedOutage, missing_from_store, outage_of


def ok(began: float, ended: float) -> Call:
    return Call(began, ended, "OK", f"id-{ended}")


def failed(began: float, ended: float, code: str = "UNAVAILABLE") -> Call:
    return Call(began, ended, code, "")


def test_an_outage_ends_with_the_first_answer_after_the_last_failure() -> None:
    calls = [
        ok(9.0, 9.9), ok(9.5, 10.1), failed(9.8, 10.2), failed(10.3, 10.4, "INTERNAL"),
        ok(14.0, 14.2), failed(14.1, 14.3), ok(14.4, 14.6), ok(14.6, 15.0), failed(30.0, 30.1),
    ]  # fmt: skip
    outage = outage_of(calls, 10.0, 20.0, backoff_s=0.5)
    assert outage.first_failure_s == pytest.approx(0.2)
    assert outage.slowest_failure_s == pytest.approx(0.4)
    assert outage.served_again_s == pytest.approx(4.6)
    assert outage.failures == {"UNAVAILABLE": 2, "INTERNAL": 1}
    assert outage.acknowledged == 4


@pytest.mark.parametrize("calls", [[ok(10.0, 10.5)], [ok(10.0, 10.5), failed(10.0, 11.0)]])
def test_calls_that_show_no_outage_or_no_recovery_are_refused(calls: list[Call]) -> None:
    with pytest.raises(UnexplainedOutage):
        outage_of(calls, 10.0, 20.0, backoff_s=0.0)


def test_missing_records_are_counted_in_the_store_itself(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "results.sqlite")
    database.execute("CREATE TABLE records (id TEXT PRIMARY KEY)")
    database.executemany("INSERT INTO records VALUES (?)", [("a",), ("b",)])
    database.commit()
    database.close()
    assert missing_from_store(tmp_path / "results.sqlite", ["a", "b"]) == 0
    assert missing_from_store(tmp_path / "results.sqlite", ["a", "c", "d", "d"]) == 2
