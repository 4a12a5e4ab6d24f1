"""A simulation in virtual time: Poisson arrivals at two cores that take 12 ms a photo, with Admission in front."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from contract.priority import Priority
from gateway.admission import Admission, Bounds
from gateway.errors import BestiaryError, Overloaded
from tests.support.virtual_time import LoopClock, in_virtual_time

SLO_S = 0.25
CORES = 2
PHOTO_S = 0.0125
CAPACITY = CORES / PHOTO_S
BOUNDS = Bounds(
    max_inflight=64,
    min_inflight=4,
    max_waiting=256,
    max_photo_bytes=1 << 20,
    max_held_bytes=1 << 30,
    default_timeout_s=10.0,
    max_timeout_s=60.0,
    slo_s=SLO_S,
)


@dataclass
class Outcomes:
    """What became of the photos of a run. Seconds from arrival to answer, by caller."""

    seconds: float
    answered: dict[str, list[float]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    hints: list[float] = field(default_factory=list)

    def goodput(self) -> float:
        return sum(took <= SLO_S for each in self.answered.values() for took in each) / self.seconds

    def rate(self, caller: str) -> float:
        return len(self.answered.get(caller, [])) / self.seconds

    def p99(self, caller: str) -> float:
        took = sorted(self.answered[caller])
        return took[int(0.99 * len(took))]


@dataclass
class Arrivals:
    """Photos of one caller, by the second."""

    caller: str
    per_s: float
    priority: Priority = Priority.INTERACTIVE
    timeout_s: float = 10.0


async def simulate(*arrivals: Arrivals, seconds: float = 16.0, slow: tuple[float, float] = (0, 0)) -> Outcomes:
    """Outcomes of the second half of a run. Between the times ``slow`` a photo takes five times as long."""
    clock = LoopClock()
    door = Admission(BOUNDS, clock)
    door.start()
    cores = asyncio.Semaphore(CORES)
    chance = random.Random(7)
    outcomes = Outcomes(seconds / 2)

    async def photo(source: Arrivals) -> None:
        began = clock.monotonic()
        counted = began > seconds / 2
        try:
            deadline = began + source.timeout_s
            async with door.admit(caller=source.caller, priority=source.priority, deadline=deadline) as place:
                async with cores:
                    factor = 5 if slow[0] <= clock.monotonic() < slow[1] else 1
                    await asyncio.sleep(factor * PHOTO_S * chance.lognormvariate(0, 0.3))
                place.model_answered()
                await asyncio.sleep(0.004)  # the journal
            if counted:
                outcomes.answered.setdefault(source.caller, []).append(clock.monotonic() - began)
        except BestiaryError as error:
            if counted:
                outcomes.refused[source.caller] += 1
                outcomes.hints.append(error.retry_after_s or 0)

    async def arrive(source: Arrivals) -> None:
        while clock.monotonic() < seconds:
            await asyncio.sleep(chance.expovariate(source.per_s))
            group.create_task(photo(source))

    async with asyncio.TaskGroup() as group:
        for source in arrivals:
            group.create_task(arrive(source))
    assert (door.inflight, door.waiting) == (0, 0)
    return outcomes


def run(*arrivals: Arrivals, **options: float) -> Outcomes:
    return in_virtual_time(simulate(*arrivals, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def best() -> float:
    return max(run(Arrivals("a", share * CAPACITY)).goodput() for share in (0.8, 0.9, 1.0))


@pytest.mark.parametrize("load", [1.0, 1.5, 2.0, 3.0, 4.0])
def test_overload_costs_the_admitted_neither_their_time_nor_the_service_its_goodput(best: float, load: float) -> None:
    outcomes = run(Arrivals("a", load * CAPACITY))
    assert outcomes.p99("a") <= SLO_S
    assert outcomes.goodput() >= 0.9 * best


def test_half_the_load_is_hardly_ever_refused() -> None:
    outcomes = run(Arrivals("a", 0.5 * CAPACITY))
    assert outcomes.refused["a"] <= 0.001 * outcomes.rate("a") * outcomes.seconds


def test_who_asks_for_little_gets_it_beside_one_who_asks_for_everything() -> None:
    outcomes = run(Arrivals("greedy", 4 * CAPACITY), Arrivals("modest", 0.25 * CAPACITY))
    assert outcomes.refused["modest"] <= 0.02 * len(outcomes.answered["modest"])
    assert outcomes.p99("modest") <= SLO_S


def test_two_who_ask_for_too_much_get_the_same() -> None:
    outcomes = run(Arrivals("more", 3 * CAPACITY), Arrivals("most", 6 * CAPACITY))
    assert outcomes.rate("more") == pytest.approx(outcomes.rate("most"), rel=0.15)


def test_batch_takes_what_is_left_and_is_never_starved() -> None:
    batch = Arrivals("folder", CAPACITY, Priority.BATCH)
    beside = run(Arrivals("people", 0.5 * CAPACITY), batch)
    assert beside.rate("people") >= 0.98 * 0.5 * CAPACITY
    assert beside.p99("people") <= SLO_S
    assert beside.rate("folder") >= 0.4 * CAPACITY
    under = run(Arrivals("people", 2 * CAPACITY), batch)
    assert under.rate("folder") >= 0.05 * CAPACITY
    assert under.p99("people") <= SLO_S


def test_hints_are_short_when_only_a_little_is_too_much() -> None:
    hints = run(Arrivals("a", 1.5 * CAPACITY)).hints
    assert hints
    assert all(0 < hint < 1 for hint in hints)


def test_a_slow_spell_is_survived_and_forgotten() -> None:
    spell = run(Arrivals("a", CAPACITY), slow=(4.0, 9.0))
    assert spell.p99("a") <= SLO_S
    assert spell.goodput() >= 0.85 * CAPACITY


def test_what_cannot_be_in_time_is_refused_rather_than_kept() -> None:
    outcomes = run(Arrivals("hasty", 2 * CAPACITY, timeout_s=0.1))
    assert outcomes.p99("hasty") <= 0.15
    assert outcomes.rate("hasty") >= 0.9 * CAPACITY


def test_nobody_waits_for_a_model_that_does_not_answer() -> None:
    async def stuck() -> None:
        clock = LoopClock()
        door = Admission(BOUNDS, clock)
        door.start()
        held = [door.admit(caller="a", priority=Priority.INTERACTIVE, deadline=1000) for _ in range(door.limit)]
        for each in held:
            await each.__aenter__()
        with pytest.raises(Overloaded) as caught:
            async with door.admit(caller="b", priority=Priority.INTERACTIVE, deadline=1000):
                pass
        assert caught.value.retry_after_s
        assert clock.monotonic() <= SLO_S
        assert door.waiting == 0
        for each in held:
            await each.__aexit__(None, None, None)
        await door.idle()

    in_virtual_time(stuck())
