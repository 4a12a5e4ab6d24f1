"""The search for the highest rate."""

from __future__ import annotations

import pytest

from loadtest.find_max import Trial, find_max


@pytest.mark.parametrize("capacity", [3.0, 37.0, 50.0, 64.0, 900.0])
@pytest.mark.parametrize("start", [5.0, 50.0])
def test_it_ends_within_its_resolution_below_the_capacity(capacity: float, start: float) -> None:
    found = find_max(lambda rate, _: Trial.MET if rate <= capacity else Trial.MISSED, start, 0.05, 20)
    assert found.rate is not None
    assert capacity / 1.05 <= found.rate <= capacity
    assert found.resolution <= 0.05
    assert found.runs[-1] == (found.rate, Trial.MET), "its end was confirmed"
    assert len(found.runs) <= 15
    assert not found.limited_by_generator


def test_every_run_has_arrivals_of_its_own() -> None:
    numbers: list[int] = []
    find_max(lambda rate, number: numbers.append(number) or (Trial.MET if rate < 30 else Trial.MISSED), 10, 0.1, 12)
    assert len(set(numbers)) == len(numbers)


def test_a_rate_that_held_by_luck_is_lowered() -> None:
    lucky = iter([Trial.MET, Trial.MISSED])

    def attempt(rate: float, _: int) -> Trial:
        return next(lucky) if rate == 100 else Trial.MET if rate < 98 else Trial.MISSED

    found = find_max(attempt, 100, 2.0, 2)
    assert found.rate == pytest.approx(100 / 3)
    assert found.above == 100


def test_what_the_generator_cannot_send_bounds_the_search_and_is_told() -> None:
    found = find_max(lambda rate, _: Trial.MET if rate <= 40 else Trial.INVALID, 10, 0.1, 12)
    assert found.rate is not None
    assert found.limited_by_generator


def test_nothing_holds() -> None:
    found = find_max(lambda rate, _: Trial.MISSED, 64, 0.1, 4)
    assert found.rate is None
    assert [rate for rate, _ in found.runs] == [64, 32, 16, 8]
