"""What breaks a bound surely is rolled back, what chance may have done is not."""

from __future__ import annotations

import random

import pytest

from contract.options import Task
from contract.rollout import Bounds
from gateway.rollout.judge import at_least, at_most, judge, median_interval
from gateway.rollout.watch import CANARY, LOAD, PROBATION, SHADOW, Key, Pace, Watch
from tests.support.rollouts import SLO

BOUNDS = Bounds(min_photos=50, max_error_rate=0.01, max_disagreement=0.2, max_slowdown=2.0)


def watched(stage: str, **counts: int) -> Watch:
    return Watch(Key("2@a", stage, "now"), Pace(SLO.latency_s), Pace(SLO.latency_s), **counts)


def bound(watch: Watch) -> str:
    breach = judge(watch, BOUNDS, SLO)
    return breach.bound if breach else ""


@pytest.mark.parametrize(
    ("photos", "errors", "broken"),
    [(49, 49, False), (50, 50, True), (50, 2, False), (50, 8, True), (1000, 10, False), (1000, 40, True)],
)
@pytest.mark.parametrize("stage", [SHADOW, CANARY, PROBATION])
def test_errors(stage: str, photos: int, errors: int, *, broken: bool) -> None:
    assert bound(watched(stage, photos=photos, errors=errors)) == ("errors" if broken else "")


@pytest.mark.parametrize(
    ("compared", "disagreed", "broken"), [(49, 49, False), (50, 25, True), (50, 15, False), (1000, 200, False)]
)
def test_disagreement_counts_in_the_shadow(compared: int, disagreed: int, *, broken: bool) -> None:
    counts = {"photos": compared, "compared": compared, "disagreed": disagreed}
    assert bound(watched(SHADOW, **counts)) == ("disagreement" if broken else "")
    assert bound(watched(CANARY, **counts)) == ""


@pytest.mark.parametrize(
    ("factor", "count", "broken"), [(10, 49, False), (10, 50, True), (2.5, 200, True), (1.8, 200, False)]
)
def test_slowdown(factor: float, count: int, *, broken: bool) -> None:
    noise = random.Random(1)
    watch = watched(CANARY)
    for _ in range(count):
        watch.other.add_ms(noise.gauss(20, 2), Task.FULL)
        watch.own.add_ms(factor * noise.gauss(20, 2), Task.FULL)
    assert bound(watch) == ("slowdown" if broken else "")


@pytest.mark.parametrize(("own", "other", "broken"), [(8, 1, False), (8, 8, True), (2, 1, True), (1, 8, True)])
def test_a_release_with_more_photos_at_once_may_take_longer(own: int, other: int, *, broken: bool) -> None:
    watch = watched(PROBATION)
    for _ in range(100):
        watch.other.add_ms(20, Task.FULL, other)
        watch.own.add_ms(160, Task.FULL, own)
    assert bound(watch) == ("slowdown" if broken else "")


def test_releases_with_other_tasks_are_not_compared() -> None:
    watch = watched(CANARY)
    for _ in range(200):
        watch.other.add_ms(5, Task.SPECIES)
        watch.own.add_ms(50, Task.FULL)
    assert bound(watch) == ""


@pytest.mark.parametrize(
    ("own", "other", "broken"),
    [
        ((60, 60), (0, 0), False),
        ((20, 60), (0, 200), True),
        ((2, 60), (0, 200), False),
        ((12, 60), (40, 200), False),
        ((40, 60), (10, 200), True),
    ],
)
def test_lateness_beyond_the_objective_and_beyond_the_other_release(
    own: tuple[int, int], other: tuple[int, int], *, broken: bool
) -> None:
    watch = watched(PROBATION)
    for pace, (late, count) in ((watch.own, own), (watch.other, other)):
        pace.late.extend([True] * late + [False] * (count - late))
    assert bound(watch) == ("latency" if broken else "")


def test_a_release_that_only_loads_is_not_judged() -> None:
    assert bound(watched(LOAD, photos=100, errors=100)) == ""


def test_chance_rolls_nothing_back() -> None:
    """A release at half its bounds, looked at after each of 2,000 photos, forty times over."""
    noise, broken = random.Random(5), 0
    for _ in range(40):
        watch = watched(SHADOW)
        for _ in range(2000):
            watch.photos += 1
            watch.errors += noise.random() < BOUNDS.max_error_rate / 2
            watch.compared += 1
            watch.disagreed += noise.random() < BOUNDS.max_disagreement / 2
            if judge(watch, BOUNDS, SLO):
                broken += 1
                break
    assert broken <= 1


def test_intervals() -> None:
    """Wilson's for 10 of 100 at z = 3: his formula by hand gives 0.0407 and 0.2253."""
    assert at_least(10, 100) == pytest.approx(0.0407, abs=1e-4)
    assert at_most(10, 100) == pytest.approx(0.2253, abs=1e-4)
    assert (at_least(0, 0), at_most(0, 0)) == (0.0, 1.0)
    assert at_least(0, 50) == 0.0
    assert at_most(50, 50) == 1.0
    low, high = median_interval(range(101))
    assert low < 50 < high
    assert median_interval([3.0]) == (3.0, 3.0)
