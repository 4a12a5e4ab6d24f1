from __future__ import annotations

import itertools

import pytest

from benchmarks.load import Generator, Target
from benchmarks.plan_curves import explained, fsync_ms, photos_of, physical_cores
from benchmarks.plan_validation import DEFAULT, SHARES, Row, arrivals, highest, mostly, table
from contract.options import Task
from imaging.decode import decode_photo
from planning.curves import Cell, Curves, Profile
from planning.node import Setup
from planning.simulation import closed_loop
from tests.support.stack import free_ports


def test_the_simulation_replays_what_the_generator_sends():
    """Nobody listens, so every photo fails at once, at its planned time."""
    with Generator(Target(f"127.0.0.1:{free_ports(1)}", (b"photo",), "species")) as generator:
        samples = generator.open(40.0, 1.0, seed=7)
    planned = sorted(sample.planned for sample in samples)
    times = arrivals(40.0, 1.0, 7)
    assert len(times) == len(planned) > 20
    gaps = [after - before for before, after in itertools.pairwise(planned)]
    assert gaps == pytest.approx([after - before for before, after in itertools.pairwise(times)], abs=1e-6)


def test_the_highest_rate_is_bracketed():
    assert highest(lambda rate: rate <= 70, 10, 170, 8) == pytest.approx(70, abs=1)


@pytest.mark.parametrize(
    ("runs", "met", "made"), [([True, True], True, 2), ([False, True, False], False, 3), ([True, False, True], True, 3)]
)
def test_one_bad_minute_does_not_decide_about_a_rate(runs: list[bool], met: bool, made: int):
    left = iter(runs)
    assert mostly(lambda: next(left)) is met
    assert len(list(left)) == len(runs) - made


def test_a_difference_is_the_predictions_share_of_the_measurement():
    assert Row("one", "p50 at 30%", 11.0, 10.0).error == pytest.approx(0.1)
    assert Row("one", "max rate", 50.0, 0.0).error == float("inf")
    assert table([Row("one", "max rate", 50.0, 60.0)]).row_count == 1


def test_a_machine_that_does_not_repeat_itself_is_told():
    assert Row("one", "p50 at 30%", 11.0, 10.0, (9.5, 10.0, 10.8)).repeats
    assert not Row("one", "p50 at 30%", 11.0, 10.0, (9.0, 10.0, 11.0)).repeats
    assert not Row("one", "max rate", 50.0, 60.0).repeats  # measured once


def test_at_least_six_configurations_are_compared_at_three_rates():
    assert len(set(DEFAULT)) >= 6
    assert len(SHARES) == 3


def test_photos_of_a_trap_have_three_megapixels():
    photos = photos_of("trap").photos
    assert len(photos) == len(photos_of("small").photos)
    picture = decode_photo(photos[0])
    assert (picture.width, picture.height) == (2048, 1536)


def test_what_one_photo_takes_is_explained_to_the_last_millisecond():
    profile = Profile(
        task=Task.SPECIES, photos="small", photo_bytes=1, service=(Cell(batch=1, busy=1, ms=10),), edge_loop_ms=2,
        edge_threads_ms=1, triton_ms=0.5, client_ms=1, rest_ms=20,
    )  # fmt: skip
    curves = Curves(
        name="made", measured=None, note="", processor="made", cores=2, physical_cores=2, fsync_ms=(1.0,),
        profiles=(profile,),
    )  # fmt: skip
    known = explained(curves)
    alone = closed_loop(known, known.profiles[0], Setup(cores=2, instances=1, client_here=True), 1, photos=50)
    assert known.profiles[0].rest_ms > 4
    assert alone.percentile_s(50) == pytest.approx(0.020)


def test_this_machine_can_be_asked(tmp_path):
    assert physical_cores() >= 1
    took = fsync_ms(tmp_path, number=10)
    assert list(took) == sorted(took)
    assert took[0] > 0
