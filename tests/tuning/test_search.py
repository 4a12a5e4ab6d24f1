"""The search on machines whose best settings are known."""

from __future__ import annotations

import pytest

from tuning.search import GIVE_UP_BELOW, OPEN_SHARES, RUN_OFF, Found, GivenUp, search
from tuning.settings import Settings, defaults


class Machine:
    """Answers as ``rate`` says, in steps of a second; a clock that stands still unless a trial runs."""

    def __init__(self, rate, open_at: float = 0.7) -> None:
        self.rate = rate
        self.open_at = open_at
        self.now = 0.0
        self.measured: list[Settings] = []
        self.given_up: list[Settings] = []
        self.confirmed: list[tuple[Settings, float]] = []

    def closed(self, settings, worth) -> float:
        self.measured.append(settings)
        rate = self.rate(settings)
        for second in range(1, 7):
            self.now += 1
            if not worth(second, rate):
                self.given_up.append(settings)
                raise GivenUp
        return rate

    def open(self, settings, per_s) -> bool:
        self.confirmed.append((settings, per_s))
        return per_s <= self.open_at * self.rate(settings)

    def search(self, cores: int = 2, budget_s: float = 300.0) -> Found:
        return search(self.closed, self.open, defaults(cores).settings, cores, budget_s, clock=lambda: self.now)


def test_what_is_clearly_best_is_found():
    machine = Machine(lambda s: 100 - 20 * abs(s.instances - 2) - 10 * (s.workers - 1) - s.min_inflight)
    found = machine.search()
    assert (found.settings.instances, found.settings.workers) == (2, 1)
    assert found.closed_per_s > found.shipped_per_s


def test_the_shipped_settings_are_tried_first_and_stay_unless_something_is_better_by_more_than_noise():
    machine = Machine(lambda s: 102.0 if s.instances == 2 else 100.0)
    found = machine.search()
    assert machine.measured[0] == defaults(2).settings
    assert found.settings == defaults(2).settings
    assert found.gain == 0


def test_nothing_is_measured_twice_where_nothing_is_better():
    machine = Machine(lambda s: 100.0)
    machine.search()
    assert len(machine.measured) == len(set(machine.measured))
    assert len(machine.measured) > 5


def test_what_was_best_is_held_beside_the_shipped_settings_again():
    machine = Machine(lambda s: 100.0 + 10 * (s.instances == 2))
    found = machine.search()
    shipped = defaults(2).settings
    assert machine.measured[-2 * RUN_OFF :] == [found.settings, shipped, shipped, found.settings]
    assert found.settings.instances == 2


def test_a_machine_that_was_slow_in_the_beginning_does_not_make_the_shipped_settings_look_bad():
    machine = Machine(lambda s: 100.0 if machine.now < 10 else 140.0)
    found = machine.search()
    assert found.settings == defaults(2).settings
    assert found.gain == 0
    assert found.shipped_per_s == 140


def test_hopeless_trials_are_given_up_early_and_do_not_win():
    machine = Machine(lambda s: 50.0 if s.workers == 2 else 100.0)
    found = machine.search()
    assert machine.given_up
    assert all(machine.rate(settings) < GIVE_UP_BELOW * found.closed_per_s for settings in machine.given_up)
    assert found.settings.workers == 1
    assert {trial.rate for trial in found.trials if trial.settings.workers == 2} == {None}


def test_the_search_ends_with_its_time():
    machine = Machine(lambda s: 100.0)
    machine.search(budget_s=10.0)
    assert len(machine.measured) == 3  # the shipped ones before the time counts, then two of 6 s


def test_the_best_is_confirmed_at_falling_rates_until_one_is_met():
    found = (machine := Machine(lambda s: 100.0, open_at=0.75)).search()
    assert [rate for _, rate in machine.confirmed] == pytest.approx([90, 80, 70])
    assert found.open_per_s == pytest.approx(70)
    assert {settings for settings, _ in machine.confirmed} == {found.settings}


def test_a_machine_that_meets_nothing_is_told_as_that():
    found = (machine := Machine(lambda s: 100.0, open_at=0.1)).search()
    assert found.open_per_s is None
    assert len(machine.confirmed) == len(OPEN_SHARES)


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 64])
def test_every_machine_has_something_to_try(cores):
    machine = Machine(lambda s: 100.0 + s.instances)
    found = machine.search(cores, budget_s=60.0)
    assert all(s.min_inflight > s.instances for s in machine.measured)
    assert len(found.trials) >= 5
