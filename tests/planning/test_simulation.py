"""The simulation against queues whose answers are known."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from planning.node import Setup
from planning.outcome import Outcome
from planning.simulation import Needed, closed_loop, open_loop, replay

ONE = Setup(cores=1, instances=1, slo_s=1e6, min_inflight=10**6, max_inflight=10**6)
"""One server, and an admission that admits everything."""


def run(curves, setup: Setup, per_s: float, photos: int = 12_000) -> Outcome:
    return open_loop(curves, curves.profiles[0], setup, per_s, photos=photos)


def mean(outcome: Outcome) -> float:
    return sum(outcome.latencies_s) / len(outcome.latencies_s)


def test_an_idle_node_takes_the_sum_of_its_parts(curves):
    made = curves(ms=10.0, edge_loop_ms=2.0, edge_threads_ms=1.0, triton_ms=1.5, rest_ms=3.0, fsync_ms=(4.0,))
    # loop 1 + triton 1.5, beside 1 of threads on the one core: 1 more; 10 service, 3 rest, 1 loop, 4 journal
    took = replay(made, made.profiles[0], ONE, [0.0, 10.0]).latencies_s
    assert took == pytest.approx([0.0215, 0.0215], abs=1e-6)


def test_bulk_service_of_constant_time_is_bounded_by_known_means(curves):
    """A batch costs what one photo does (M/D^[1,K]/1): a photo waits for what is left of the running batch, if one
    runs, and then for its own. At a rate of l and a service of d the server is busy for all but a share p0 of time."""
    made = curves(ms=10.0, each=0.0)
    outcome = run(made, ONE, 100.0)
    # A renewal argument: photos that come in a batch's time go together; the number of them is Poisson(1) for l d = 1,
    # so after a batch the server is idle with probability e^-1. An arrival finds it busy with l-weighted probability
    # d / (d + e^-1 / l); it then waits half of d on average before its own batch.
    busy = 1 / (1 + math.exp(-1))
    assert mean(outcome) == pytest.approx(0.010 * (1 + busy / 2), rel=0.03)
    assert outcome.mean_batch == pytest.approx(1 + math.exp(-1), rel=0.03)


def test_a_light_load_waits_as_the_md1_queue_says(curves):
    """Pollaczek and Khinchine for M/D/1: rho d / 2 (1 - rho); at rho 0.1 hardly a batch has two photos."""
    outcome = run(curves(ms=10.0), ONE, 10.0)
    assert mean(outcome) == pytest.approx(0.010 + 0.1 * 0.010 / (2 * 0.9), rel=0.03)


def test_two_instances_on_two_cores_carry_twice_as_much(curves):
    made = curves(cores=2, ms=10.0, slow=(1.0, 1.0, 1.5))
    one = closed_loop(made, made.profiles[0], replace(ONE, cores=2), 16)
    two = closed_loop(made, made.profiles[0], replace(ONE, cores=2, instances=2), 16)
    assert one.answered_per_s == pytest.approx(100, rel=0.02)
    assert two.answered_per_s == pytest.approx(200, rel=0.02)


def test_two_halves_of_one_core_carry_what_was_measured(curves):
    made = curves(cores=2, ms=10.0, slow=(1.0, 1.6, 2.4))
    for instances in (2, 3):
        setup = replace(ONE, cores=2, instances=instances)
        carried = closed_loop(made, made.profiles[0], setup, 16).answered_per_s
        assert carried == pytest.approx(200 / 1.6, rel=0.03)


def test_twice_the_cores_carry_twice_as_much(curves):
    made = curves(cores=2, ms=10.0, slow=(1.0, 1.6, 2.4))
    small = closed_loop(made, made.profiles[0], replace(ONE, cores=2, instances=3), 32)
    large = closed_loop(made, made.profiles[0], replace(ONE, cores=4, instances=6), 64)
    assert large.answered_per_s == pytest.approx(2 * small.answered_per_s, rel=0.03)


def test_the_event_loop_is_one_thread_and_workers_are_several(curves):
    made = curves(cores=16, ms=1.0, edge_loop_ms=10.0, slow=(1.0,) * 16)
    setup = replace(ONE, cores=16, instances=8)
    one = closed_loop(made, made.profiles[0], setup, 64, photos=3000)
    two = closed_loop(made, made.profiles[0], replace(setup, workers=2), 64, photos=3000)
    assert one.answered_per_s == pytest.approx(100, rel=0.03)
    assert 170 < two.answered_per_s <= 201


def test_a_gpu_takes_no_processor(curves):
    made = curves(cores=1, ms=10.0, each=0.1, edge_loop_ms=5.0, device="gpu")
    outcome = closed_loop(made, made.profiles[0], ONE, 32)
    assert outcome.answered_per_s == pytest.approx(200, rel=0.05)  # the event loop's 5 ms, not the GPU's 10


def test_an_overloaded_node_refuses_and_keeps_its_promise(curves):
    made = curves(ms=10.0, edge_loop_ms=1.0)
    setup = Setup(cores=1, instances=1, slo_s=0.25)
    outcome = run(made, setup, 200.0, photos=8000)
    assert outcome.refused_share > 0.4
    assert outcome.percentile_s(99) <= 0.25
    assert outcome.answered_per_s > 80
    assert outcome.offered == outcome.refused + len(outcome.latencies_s)


def test_a_simulation_that_misses_what_is_needed_ends_early_and_still_misses(curves):
    made = curves(ms=10.0)
    whole = run(made, ONE, 95.0, photos=2000)
    early = open_loop(made, made.profiles[0], ONE, 95.0, photos=2000, needed=Needed(0.015, 0.99))
    assert whole.share_within(0.015) < 0.99
    assert early.share_within(0.015) < 0.99
    assert early.offered < whole.offered
    met = open_loop(made, made.profiles[0], ONE, 95.0, photos=2000, needed=Needed(10.0, 0.99))
    assert met.latencies_s == whole.latencies_s


def test_a_refusal_is_no_answer_in_time(curves):
    outcome = Outcome(seconds=1.0, offered=4, refused=1, latencies_s=[0.1, 0.2, 0.3])
    assert outcome.share_within(0.25) == 0.5
    assert outcome.refused_share == 0.25


def test_the_same_seed_has_the_same_answer_and_another_one_another(curves):
    made = curves(ms=10.0, ratios=(0.5, 1.0, 1.5))
    first, again = (run(made, ONE, 60.0, photos=500).latencies_s for _ in range(2))
    other = open_loop(made, made.profiles[0], ONE, 60.0, photos=500, seed=2).latencies_s
    assert first == again != other


def test_percentiles_are_nearest_rank():
    outcome = Outcome(seconds=1.0, latencies_s=[float(number) for number in range(1, 101)])
    assert (outcome.percentile_s(50), outcome.percentile_s(99), outcome.percentile_s(100)) == (50.0, 99.0, 100.0)
    assert math.isnan(Outcome(seconds=1.0).percentile_s(50))


def test_arrivals_are_poisson(curves):
    chance = random.Random(3)
    times, moment = [], 0.0
    for _ in range(2000):
        moment += chance.expovariate(50.0)
        times.append(moment)
    made = curves(ms=0.1)
    outcome = replay(made, made.profiles[0], ONE, times)
    assert outcome.offered == 2000
    assert outcome.answered_per_s == pytest.approx(50, rel=0.06)
