"""Samples and plans as tests need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from loadtest.photos import Kind
from loadtest.plan import Plan, Protocol, Target, Targets
from loadtest.run import Run, Worker
from loadtest.schedule import Arrivals, Schedule

PLAN = Plan(
    targets=Targets(grpc=Target("127.0.0.1", 1, False), http=Target("127.0.0.1", 2, False)),
    schedule=Schedule(Arrivals.REPLAY, 1, 1, trace=(0.0,)),
    mix={Kind.SMALL: 1.0},
    users={Protocol.GRPC: 1.0},
)


def chunk(rows: list[tuple[float, float, float, str]], **stages: list[float]) -> dict[str, Any]:
    """Columns from rows of planned, sent, ended and outcome."""
    planned, sent, ended, outcome = map(list, zip(*rows, strict=True))
    number = len(rows)
    return {"planned": planned, "sent": sent, "ended": ended, "kind": ["small"] * number, "user": ["grpc"] * number,
            "outcome": outcome, "stages": stages}  # fmt: skip


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A finished run of a generator in good health out of (seconds, outcome) a photo, planned 10 ms apart."""

    def make(photos: list[tuple[float, str]], late_s: float = 0.0, **plan: Any) -> Run:
        rows = [(0.01 * at, 0.01 * at + late_s, 0.01 * at + took, outcome) for at, (took, outcome) in enumerate(photos)]
        trace = tuple(row[0] for row in rows)
        schedule = Schedule(Arrivals.REPLAY, 100, 0.01 * len(rows), trace=trace)
        run = Run(replace(PLAN, schedule=schedule, **plan), [chunk(rows)])
        run.workers[0] = Worker([0.0005] * 100, 10.0, 1.0, done=True)
        return run

    return make
