"""What the samples of a load say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load import UNSENT, Sample
from benchmarks.overload import kept, plot, step_of
from contract.slo import Slo

SLO = Slo(0.25, 0.99, 0.999)


def ok(planned: float, seconds: float, late_s: float = 0.0) -> Sample:
    return Sample(planned, planned + late_s, planned + seconds, "OK", "ok")


def test_goodput_is_what_was_in_time_from_the_planned_moment() -> None:
    samples = [ok(0, 0.1), ok(1, 0.25), ok(2, 0.3, late_s=0.2), Sample(3, 3, 3.01, "RESOURCE_EXHAUSTED", "overloaded")]
    step = step_of(2.0, samples, 2.0, SLO)
    assert (step.offered_per_s, step.answered_per_s, step.goodput_per_s) == (2.0, 1.5, 1.0)
    assert step.p99_ms == pytest.approx(300)
    assert step.refused == {"overloaded": 1}
    assert not step.healthy, "its generator was late"


def test_what_the_generator_did_not_send_is_its_own_fault() -> None:
    step = step_of(4.0, [ok(0, 0.1), Sample(1, 1, 1, UNSENT, UNSENT)], 1.0, SLO)
    assert step.unsent == 1
    assert step.refused == {}
    assert not step.healthy


@pytest.mark.parametrize(
    ("at_two", "holds"), [((9, 0.2), True), ((8, 0.2), False), ((9, 0.26), False), ((100, 0.26), False)]
)
def test_the_promise_is_of_latency_and_goodput_both(at_two: tuple[int, float], holds: bool) -> None:
    number, seconds = at_two
    one = step_of(1.0, [ok(at, 0.1) for at in range(10)], 1.0, SLO)
    two = step_of(2.0, [ok(at, seconds) for at in range(number)], 1.0, SLO)
    assert kept([one, two], SLO) is holds
    assert not kept([one], SLO), "without the step there is nothing to keep"


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(tmp_path / "x.png", 10, [step_of(load, [ok(0, 0.1), ok(1, 0.2)], 1.0, SLO) for load in (0.5, 1, 2)], SLO)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
