"""The reserve rests where as many answers are late as may be, and forgets a jam."""

from __future__ import annotations

import random

import pytest

from gateway.admission.reserve import AIM, LATE_SHARE, LEAST, MOST, Reserve

SLO_S = 0.25


@pytest.mark.parametrize("unseen_s", [0.02, 0.04, 0.06])
def test_few_answers_are_late_whatever_is_not_seen(unseen_s: float) -> None:
    rng, subject = random.Random(7), Reserve(SLO_S, 0.2)
    late = 0
    for number in range(40_000):
        seconds = SLO_S - subject.seconds + unseen_s * rng.betavariate(2, 2)
        late += number >= 4_000 and seconds > AIM * SLO_S
        subject.answered(seconds)
    assert late / 36_000 <= 2 * LATE_SHARE
    assert LEAST * SLO_S <= subject.seconds <= unseen_s + 0.02 * SLO_S + (1 - AIM) * SLO_S


def test_one_jam_counts_once_and_is_forgotten() -> None:
    subject = Reserve(SLO_S, 0.2)
    for _ in range(16):
        subject.answered(1.0)
    assert subject.seconds < 0.23 * SLO_S
    for _ in range(2_000):
        subject.answered(1.0)
    assert subject.seconds == MOST * SLO_S
    for _ in range(3_000):
        subject.answered(0.1)
    assert subject.seconds == LEAST * SLO_S
