"""What MLPerf LoadGen says, and ours beside it."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks.mlperf import Measured, by_loadgen, read_summary, table
from tests.support.stalling import JPEG, Stall, stalling_grpc

SUMMARY = """================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : Server
Mode     : PerformanceOnly
Scheduled samples per second : 29.54
Result is : INVALID
  Min duration satisfied : Yes
================================================
Additional Stats
================================================
99.00 percentile latency (ns)   : 213456789
"""


def test_its_summary_is_read() -> None:
    told = read_summary(SUMMARY)
    assert told["Result is"] == "INVALID"
    assert told["Scheduled samples per second"] == "29.54"
    assert told["99.00 percentile latency (ns)"] == "213456789"
    assert told["Mode"] == "PerformanceOnly"


def test_runs_stand_in_a_table() -> None:
    assert table([Measured("ours", 29.5, 10.0, 20.0, 30.0, "VALID", {"ok": 5})]).row_count == 1


@pytest.mark.skipif(importlib.util.find_spec("mlperf_loadgen") is None, reason="mlcommons-loadgen is not installed")
def test_loadgen_sees_the_stall_too() -> None:
    with stalling_grpc(Stall(at=50, seconds=1.0)) as target:
        measured = by_loadgen(target.removeprefix("grpc://"), [JPEG + bytes(30_000)], 100, 2)
    assert measured.p99_ms > 900
    assert set(measured.outcomes) == {"ok"}
