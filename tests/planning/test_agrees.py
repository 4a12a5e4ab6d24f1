"""Constants that planning cannot import are those of the gateway and of the models."""

from __future__ import annotations

from contract import tensors
from gateway.admission import door, limiter, reserve, service_time
from gateway.settings import Settings
from planning import admission, node
from planning.node import Setup


def test_admission_is_the_gateways():
    assert (admission.TRITON_SHARE, admission.RESERVE, admission.LEAST_WAIT) == (
        door.TRITON_SHARE, door.RESERVE, door.LEAST_WAIT,
    )  # fmt: skip
    assert (admission.STEP, admission.BACK_OFF) == (limiter.STEP, limiter.BACK_OFF)
    assert (admission.GAIN, admission.PRIOR, admission.DEVIATIONS) == (
        service_time.GAIN, service_time.PRIOR, service_time.DEVIATIONS,
    )  # fmt: skip
    assert (admission.RESERVE_LEAST, admission.RESERVE_MOST, admission.RESERVE_STEP) == (
        reserve.LEAST, reserve.MOST, reserve.STEP,
    )  # fmt: skip
    assert (admission.LATE_SHARE, admission.JAM, admission.AIM) == (reserve.LATE_SHARE, reserve.JAM, reserve.AIM)


def test_the_limit_follows_latency_as_the_gateways_does():
    theirs = limiter.Limiter(least=4, most=64, target_s=admission.TRITON_SHARE * 0.25)
    ours = admission.Limit(0.25, 4, 64)
    for turn in range(2000):
        seconds = 0.02 if turn < 800 else 0.09 if turn < 1200 else 0.05
        theirs.answered(seconds, theirs.limit)
        ours.answered(seconds, ours.places)
        assert ours.places == theirs.limit


def test_the_largest_batch_and_the_places_are_the_contracts():
    assert node.MAX_BATCH == tensors.MAX_BATCH
    settings = Settings()
    assert (Setup(2, 3).min_inflight, Setup(2, 3).max_inflight) == (settings.min_inflight, settings.max_inflight)
