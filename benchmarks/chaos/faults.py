"""What is broken, how long, and how it is mended."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.chaos.world import GatewayProcess, World


@dataclass(frozen=True, slots=True)
class Fault:
    """``inject`` at a moment, ``lift`` after ``hold_s`` seconds; of a kill there is nothing to lift."""

    name: str
    hold_s: float
    inject: Callable[[World, random.Random], None]
    lift: Callable[[World], None] = lambda _: None


def _gateway(world: World, chance: random.Random) -> GatewayProcess:
    return chance.choice(world.gateways)


def _kill_stub(world: World, chance: random.Random) -> None:
    stubs = world.stub_pids()
    if stubs:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(stubs), signal.SIGKILL)


def _tear_tail(world: World, chance: random.Random) -> None:
    """Bytes of a write that never finished stand behind the last whole frame."""
    gateway = _gateway(world, chance)

    def tear() -> None:
        segment = gateway.newest_segment()
        if segment is not None:
            with segment.open("ab") as file:
                file.write(chance.randbytes(chance.randint(1, 4000)))

    gateway.kill(tear)


def _kill_worker(world: World, chance: random.Random) -> None:
    workers = [pid for gateway in world.gateways for pid in gateway.worker_pids()]
    if workers:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)


def _step_clock(world: World, chance: random.Random) -> None:
    alone = [gateway for gateway in world.gateways if gateway.workers == 1]
    chance.choice(alone).step_clock(chance.choice((-7200.0, -60.0, 60.0, 7200.0)))


def _store(how: str, name: str, hold_s: float) -> Fault:
    return Fault(
        f"store: {name}", hold_s, lambda world, _: world.store.misbehave(how), lambda world: world.store.misbehave("")
    )


def _unfill(world: World) -> None:
    for gateway in world.gateways:
        gateway.fill_disk(False)


def _unstep(world: World) -> None:
    for gateway in world.gateways:
        gateway.step_clock(0.0)


FAULTS = (
    Fault("gateway: kill -9", 0, lambda world, chance: _gateway(world, chance).kill()),
    Fault("worker: kill -9", 0, _kill_worker),
    Fault("gateway: torn journal tail", 0, _tear_tail),
    Fault("gateway: full disk", 2.0, lambda world, chance: _gateway(world, chance).fill_disk(True), _unfill),
    Fault("gateway: clock step", 3.0, _step_clock, _unstep),
    Fault("Triton: kill -9", 0, lambda world, _: world.signal_triton(signal.SIGKILL)),
    Fault("Triton: kill -9 of a model's process", 0, _kill_stub),
    Fault(
        "Triton: SIGSTOP", 3.0, lambda world, _: world.signal_triton(signal.SIGSTOP),
        lambda world: world.signal_triton(signal.SIGCONT),
    ),
    _store("429", "answers 429", 4.0),
    _store("500", "answers 500", 3.0),
    _store("silence", "answers nothing", 4.0),
    _store("cut", "closes mid-body", 3.0),
)  # fmt: skip
