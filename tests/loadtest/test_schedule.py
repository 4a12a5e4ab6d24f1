"""Planned times."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from loadtest.schedule import Arrivals, Schedule, ScheduleError, planned_times, read_trace, replay

POISSON = Schedule(Arrivals.POISSON, 200, 100)


def test_poisson_arrivals_have_exponential_gaps_at_the_rate() -> None:
    gaps = np.diff(planned_times(POISSON, 1))
    assert len(gaps) == pytest.approx(20_000, abs=4 * math.sqrt(20_000))
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.mean(gaps > 1 / 200) == pytest.approx(math.exp(-1), abs=0.02)


def test_the_same_seed_plans_the_same_and_another_does_not() -> None:
    assert np.array_equal(planned_times(POISSON, 5), planned_times(POISSON, 5))
    assert not np.array_equal(planned_times(POISSON, 5), planned_times(POISSON, 6))


def test_constant_arrivals_have_equal_gaps() -> None:
    times = planned_times(Schedule(Arrivals.CONSTANT, 50, 2), 0)
    assert len(times) == 100
    assert np.diff(times) == pytest.approx(0.02)


def test_a_ramp_begins_and_ends_at_its_rates() -> None:
    times = planned_times(Schedule(Arrivals.RAMP, 20, 100, 220), 3)
    tenths = np.histogram(times, 10, (0, 100))[0] / 10
    assert tenths == pytest.approx(np.arange(30, 230, 20), rel=0.2)


def test_a_ramp_may_fall_and_may_be_flat() -> None:
    falling = planned_times(Schedule(Arrivals.RAMP, 200, 50, 10), 3)
    assert (falling < 25).sum() > 2 * (falling >= 25).sum()
    assert len(planned_times(Schedule(Arrivals.RAMP, 100, 50, 100), 3)) == pytest.approx(5000, abs=300)


def test_steps_are_flat_and_equally_long() -> None:
    times = planned_times(Schedule(Arrivals.STEP, 50, 90, 150, steps=3), 2)
    assert np.histogram(times, 3, (0, 90))[0] / 30 == pytest.approx([50, 100, 150], rel=0.1)


@pytest.mark.parametrize("arrivals", [Arrivals.POISSON, Arrivals.CONSTANT, Arrivals.RAMP, Arrivals.STEP])
def test_the_warm_up_comes_before_the_start(arrivals: Arrivals) -> None:
    times = planned_times(Schedule(arrivals, 50, 10, 60, 2, warm_up_s=4), 2)
    assert (np.diff(times) >= 0).all()
    assert times[0] >= -4
    assert (times < 0).sum() == pytest.approx(200, abs=60)


def test_a_trace_is_replayed_from_its_first_time_on(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("photo,time\na,1000.5\nb,1000.0\nc,1003\n")
    assert read_trace(file) == (0.0, 0.5, 3.0)
    schedule = replay(file, 2.0, 0.0)
    assert planned_times(schedule, 9).tolist() == [0.0, 0.25, 1.5]
    file.write_text("7\n8\n")
    assert read_trace(file) == (0.0, 1.0)


@pytest.mark.parametrize("text", ["", "time\n", "time\nsoon\n", "1\n\n2,\nx\n", "time\nnan\n"])
def test_a_trace_without_times_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(ScheduleError, match="time"):
        read_trace(file)


@pytest.mark.parametrize(
    "given",
    [
        {"rate": 0.0}, {"rate": math.nan}, {"seconds": 0.0}, {"rate": 1e9}, {"arrivals": Arrivals.RAMP},
        {"arrivals": Arrivals.REPLAY}, {"trace": (0.0,)}, {"warm_up_s": -1.0},
    ],
)  # fmt: skip
def test_no_schedule_without_a_rate_and_a_time(given: dict[str, object]) -> None:
    usual: dict[str, object] = {"arrivals": Arrivals.POISSON, "rate": 1.0, "seconds": 1.0}
    with pytest.raises(ScheduleError):
        Schedule(**usual | given)  # type: ignore[arg-type]
