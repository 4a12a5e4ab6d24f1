"""The limit rises while answers are fast and all places are needed, and falls when they are slow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.limiter import Limiter
from gateway.admission.service_time import ServiceTime

TARGET_S = 0.06


def limiter(most: int = 32) -> Limiter:
    return Limiter(least=4, most=most, target_s=TARGET_S)


def answer(subject: Limiter, seconds: float, number: int, *, inflight: int | None = None) -> None:
    for _ in range(number):
        subject.answered(seconds, subject.limit if inflight is None else inflight)


def test_it_grows_by_one_a_window_and_only_when_needed() -> None:
    subject = limiter()
    answer(subject, 0.01, 4)
    assert subject.limit == 5
    answer(subject, 0.01, 4, inflight=1)
    assert subject.limit == 5, "the window is not over"
    answer(subject, 0.01, 100, inflight=1)
    assert subject.limit == 5
    answer(subject, 0.01, 1000)
    assert subject.limit == 32


def test_a_slow_window_costs_a_tenth_and_one_slow_answer_nothing() -> None:
    subject = limiter(most=20)
    while subject.limit < 20:
        answer(subject, 0.01, subject.limit)
    answer(subject, 0.5, 1)
    answer(subject, 0.01, 19)
    assert subject.limit == 20
    answer(subject, 0.1, 20)
    assert subject.limit == 18


def test_photos_that_fail_in_one_jam_halve_it_once() -> None:
    subject = limiter()
    answer(subject, 0.01, 1000)
    for _ in range(10):
        subject.overrun()
    assert subject.limit == 16
    for _ in range(200):
        subject.overrun()
    assert subject.limit == 4


@given(st.lists(st.one_of(st.none(), st.floats(min_value=0, max_value=10)), max_size=300), st.integers(1, 40))
def test_it_stays_within_its_bounds(answers: list[float | None], most: int) -> None:
    subject = limiter(most)
    for seconds in answers:
        if seconds is None:
            subject.overrun()
        else:
            subject.answered(seconds, 1000)
        assert min(4, most) <= subject.limit <= most


@given(st.floats(min_value=0.001, max_value=1), st.floats(min_value=1, max_value=30))
def test_the_service_time_settles_on_what_is_steady(seconds: float, cost: float) -> None:
    subject = ServiceTime(0.06)
    for _ in range(300):
        subject.add(seconds, cost)
    assert abs(subject.mean_s - seconds) < 1e-6
    assert abs(subject.mean_cost - cost) < 1e-6
    assert seconds <= subject.careful_s < 1.001 * seconds
    subject.add(10 * seconds, cost)
    assert subject.careful_s > 1.5 * seconds
