"""A server that stands still for a second: the open loop shows it, the closed loop hides it."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from contract.slo import read_objectives
from loadtest.photos import Kind
from loadtest.plan import Plan, Protocol, read_targets
from loadtest.run import execute
from loadtest.samples import percentile
from loadtest.schedule import Arrivals, Schedule
from loadtest.verdict import Outcome, judge
from tests.support.stack import ROOT
from tests.support.stalling import JPEG, Stall, stalling_grpc

STALL_S = 1.0
PER_S = 100
SECONDS = 3.0
PHOTOS = {Kind.SMALL: [JPEG + bytes(30_000)]}


def plan_for(target: str) -> Plan:
    schedule = Schedule(Arrivals.CONSTANT, PER_S, SECONDS, warm_up_s=0.5)
    return Plan(read_targets([target]), schedule, {Kind.SMALL: 1.0}, {Protocol.GRPC: 1.0})


def test_a_stall_of_a_second_is_in_the_p99_of_the_open_loop() -> None:
    stall = Stall(at=2 * PER_S, seconds=STALL_S)
    with stalling_grpc(stall) as target:
        run = execute(plan_for(target), PHOTOS)
    samples = run.samples.judged
    assert len(samples) == PER_S * SECONDS
    assert samples.ok.all()
    assert percentile(samples.seconds, 99) > 0.9 * STALL_S
    waited = samples.seconds > STALL_S / 10
    assert waited.sum() > 0.8 * PER_S * STALL_S, "everybody who came meanwhile"
    verdict = judge(run, read_objectives(ROOT / "deploy" / "slo" / "bestiary.yaml"))
    assert verdict.judgements[0].outcome is Outcome.FAIL
    assert len(set(stall.photos)) == len(stall.photos), "no two photos have the same bytes"
    assert all(len(photo) == 30_002 + struct.calcsize("<II") for photo in stall.photos)
    assert {name: values[0] for name, values in samples.stages.items()} == pytest.approx(
        {"decode": 0.5, "classify": 1.0, "model": 1.6, "triton": 1.8, "total": 2.0, "journal": 0.25}
    )


def test_the_closed_loop_hides_the_same_stall() -> None:
    """Its caller asks nobody meanwhile: one slow photo of hundreds."""
    schedule = Schedule(Arrivals.CONSTANT, PER_S, 4.0)
    with stalling_grpc(Stall(at=PER_S // 2, seconds=STALL_S)) as target:
        run = execute(replace(plan_for(target), schedule=schedule, callers=1), PHOTOS)
    seconds = run.samples.judged.seconds
    assert len(seconds) > 100
    assert seconds.max() > 0.9 * STALL_S, "it was there"
    assert percentile(seconds, 99) < STALL_S / 2
