"""What following a rollout costs a photo inside the gateway: microseconds by what is going on, no model behind it.

``python -m benchmarks.router [--json]``. ``direct`` asks the model server and reads its answer, as before there were
rollouts; the others do it through the router, with nothing going on (``steady``) and beside a challenger.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from contract.answer import AnswerReader, failed_row
from contract.manifest import TAXONOMY_NAME
from contract.options import DEFAULTS, Options
from contract.photo_status import PhotoStatus
from contract.priority import Priority
from contract.rollout import Bounds
from contract.taxonomy import parse_taxonomy
from gateway.clock import SystemClock
from gateway.metrics import Metrics
from gateway.ports import Inference
from gateway.rollout.lane import Lane
from gateway.rollout.plan import Plan
from gateway.rollout.router import Router
from gateway.rollout.shadow import Shadow
from gateway.rollout.watch import CANARY, SHADOW, Key, Pace, Watch

SLO_S = 0.25
CALLS = 1000
ROUNDS = 15

_TAXONOMY = Path("model_repository/animals/1") / TAXONOMY_NAME


class _AtOnce:
    """A TensorServer that answers at once."""

    def __init__(self) -> None:
        self.row = failed_row(PhotoStatus.OK)

    async def infer(
        self, model: str, photo: bytes, *, deadline: float, options: Options, priority: Priority
    ) -> Mapping[str, bytes]:
        return self.row

    async def ready(self, model: str) -> bool:
        return True

    async def config(self, model: str) -> Any:
        raise NotImplementedError

    async def statistics(self, model: str) -> Any:
        raise NotImplementedError


def _cases() -> dict[str, Callable[[], Awaitable[Inference]]]:
    models, clock, metrics = _AtOnce(), SystemClock(), Metrics()
    reader = AnswerReader(parse_taxonomy(_TAXONOMY.read_text()), 0.95)
    lane = Lane("2@0123456789ab", "animals", reader, Bounds(), checked=False)
    shadow = Shadow(models, clock, metrics, lambda: False)

    async def direct() -> Inference:
        row = await models.infer("animals", b"", deadline=0.0, options=DEFAULTS, priority=Priority.INTERACTIVE)
        return Inference(row, reader.read(row))

    def through(stage: str) -> Callable[[], Awaitable[Inference]]:
        watch = Watch(Key(lane.identity, stage, ""), Pace(SLO_S), Pace(SLO_S)) if stage else None
        plan = Plan(lane, lane, lane if watch else None, 0.5, watch, Pace(SLO_S) if watch else None)
        router = Router(models, clock, shadow, metrics, SLO_S, plan)
        return lambda: router.infer(b"", deadline=clock.monotonic() + 10, caller="192.0.2.1")

    return {"direct": direct, "steady": through(""), "canary": through(CANARY), "shadow": through(SHADOW)}


async def measure() -> dict[str, float]:
    """Median over the rounds, cases in turn, microseconds a call."""
    cases = _cases()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            started = time.perf_counter()
            for _ in range(CALLS):
                await call()
            taken[name].append((time.perf_counter() - started) / CALLS * 1e6)
    return {name: round(statistics.median(times), 1) for name, times in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    figures = asyncio.run(measure())
    if as_json:
        print(json.dumps(figures))
        return
    for name, microseconds in figures.items():
        print(f"{name:8} {microseconds:7.1f} us  {microseconds - figures['direct']:+6.1f}")


if __name__ == "__main__":
    main()
