"""What may be said after a run."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from contract.options import Task
from contract.priority import Priority
from contract.slo import Objective, Threshold, read_objectives, read_selector
from loadtest.run import Run
from loadtest.verdict import Outcome, judge, wilson
from tests.support.stack import ROOT

OBJECTIVES = read_objectives(ROOT / "deploy" / "slo" / "bestiary.yaml")
MakeRun = Callable[..., Run]

GOOD = [(0.1, "ok")] * 1000


def outcomes(run: Run) -> list[Outcome]:
    """Of interactive-latency and answered."""
    return [judgement.outcome for judgement in judge(run, OBJECTIVES).judgements]


def test_a_quick_server_passes_every_objective(make_run: MakeRun) -> None:
    verdict = judge(make_run(GOOD), OBJECTIVES)
    assert verdict.passes
    assert [one.objective.slo for one in verdict.judgements] == [objective.slo for objective in OBJECTIVES]
    assert verdict.judgements[0].at_target == pytest.approx(0.1)
    assert (verdict.judgements[0].events, verdict.judgements[0].share) == (1000, 1.0)


@pytest.mark.parametrize(("slow", "expected"), [(10, Outcome.PASS), (11, Outcome.FAIL)])
def test_one_in_a_hundred_may_be_slow(make_run: MakeRun, slow: int, expected: Outcome) -> None:
    assert outcomes(make_run(GOOD[slow:] + [(0.3, "ok")] * slow))[0] is expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("internal", Outcome.FAIL), ("model_failed", Outcome.FAIL), ("storage_unavailable", Outcome.FAIL),
     ("timeout", Outcome.FAIL), ("connection", Outcome.FAIL), ("unexpected_answer", Outcome.FAIL),
     ("overloaded", Outcome.PASS), ("truncated", Outcome.PASS)],
)  # fmt: skip
def test_what_counts_as_our_fault(make_run: MakeRun, reason: str, expected: Outcome) -> None:
    """The service cannot count those of which no word came; a caller can."""
    assert outcomes(make_run(GOOD + [(0.01, reason)] * 2))[1] is expected


def test_a_photo_without_any_answer_was_not_answered_in_time(make_run: MakeRun) -> None:
    verdict = judge(make_run(GOOD[:100] + [(0.01, "timeout")] * 2), OBJECTIVES)
    assert verdict.judgements[0].outcome is Outcome.FAIL
    assert verdict.judgements[0].at_target == math.inf


def test_a_refusal_at_once_is_no_latency_but_a_late_one_is(make_run: MakeRun) -> None:
    assert outcomes(make_run(GOOD + [(0.01, "overloaded")] * 100))[0] is Outcome.PASS
    assert outcomes(make_run(GOOD + [(0.4, "overloaded")] * 100))[0] is Outcome.FAIL


@pytest.mark.parametrize("plan", [{"tasks": Task.FULL}, {"priority": Priority.BATCH}])
def test_an_objective_about_other_photos_is_no_pass(make_run: MakeRun, plan: dict[str, object]) -> None:
    verdict = judge(make_run(GOOD, **plan), OBJECTIVES)
    assert [one.outcome for one in verdict.judgements] == [Outcome.UNJUDGED, Outcome.PASS]
    assert verdict.valid
    assert not verdict.passes


def test_an_objective_that_no_caller_sees_is_no_pass(make_run: MakeRun) -> None:
    hidden = Objective("lag", "lag", "", 0.9, Threshold(read_selector("bestiary_drain_lag_seconds"), "lte", 5))
    judgement = judge(make_run(GOOD), [hidden]).judgements[0]
    assert judgement.outcome is Outcome.UNJUDGED
    assert "bestiary_drain_lag_seconds" in judgement.reason


def test_a_generator_that_was_late_says_nothing(make_run: MakeRun) -> None:
    assert judge(make_run(GOOD, late_s=0.02), OBJECTIVES).valid
    verdict = judge(make_run(GOOD, late_s=0.03), OBJECTIVES)
    assert not verdict.valid
    assert not verdict.passes
    assert "30 ms late" in verdict.faults[0]


def test_nor_one_without_cpu_time(make_run: MakeRun) -> None:
    run = make_run(GOOD)
    run.workers[0].cpu_s = 9.0
    assert "90% of a core" in judge(run, OBJECTIVES).faults[0]


def test_nor_one_whose_event_loop_hung(make_run: MakeRun) -> None:
    run = make_run(GOOD)
    run.workers[0].lags += [0.05] * 5
    assert "event loop" in judge(run, OBJECTIVES).faults[0]


def test_nor_one_that_did_not_send_everything(make_run: MakeRun) -> None:
    assert "not sent" in judge(make_run([*GOOD, (0.0, "unsent")]), OBJECTIVES).faults[0]
    lost = make_run(GOOD)
    for column in ("planned", "sent", "ended", "kind", "user", "outcome"):
        del lost.chunks[0][column][500:]
    assert "500 came back" in judge(lost, OBJECTIVES).faults[0]


def test_a_closed_loop_proves_nothing(make_run: MakeRun) -> None:
    assert "closed loop" in judge(make_run(GOOD, callers=4), OBJECTIVES).faults[0]


def test_the_interval_of_a_share() -> None:
    """Newcombe 1998, table I: 81 of 263 and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=2e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=2e-4)
    assert all(math.isnan(bound) for bound in wilson(0, 0))


def test_few_photos_are_not_enough_to_be_sure(make_run: MakeRun) -> None:
    certain = [judge(make_run([(0.1, "ok")] * number), OBJECTIVES).judgements[0].certain for number in (100, 1000)]
    assert certain == [False, True]
