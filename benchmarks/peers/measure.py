"""All systems in turn: for each photo set the highest rate that keeps the promise, and what a photo costs there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import onnxruntime

from benchmarks import bound as bare
from benchmarks.bound import BoundError
from benchmarks.peers import cost, ours
from benchmarks.peers.environments import SetupError
from benchmarks.peers.generator import Generator, GeneratorError, Target
from benchmarks.peers.running import OURS, TITLES, Running, StartError, running
from benchmarks.peers.search import FACTOR, LIMIT_S, NEAR, Step, best, highest_rate, step_of
from benchmarks.photos import PhotoSet
from benchmarks.stack import StackError, workshop
from contract.options import Task
from contract.tensors import IMAGE
from imaging.decode import decode_photo

BOUNDS: Final = {"bound-float32": "Bare libraries, float32", "bound": "Bare libraries, as shipped"}
SYSTEMS: Final = {**{name: TITLES[name] for name in (*OURS, *(name for name in TITLES if name not in OURS))}, **BOUNDS}

WARM_CALLERS: Final = 8
WARM_S: Final = 2.0
START_SHARE: Final = 0.8
"""Of the closed loop's rate: where the first search starts. Later rounds start where the last one ended."""

LEAST_PHOTOS: Final = 150
MOST_S: Final = 12.0
"""A step lasts until it has ``LEAST_PHOTOS``, if that is no longer than this."""

SETTLE_S: Final = 0.3
"""After the last answer, before CPU time is read: what is still written belongs to the photos."""

NAMES_LOOKED_FOR: Final = 3


class WrongAnswer(RuntimeError):
    """A system answered without naming what the photo shows."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One system with one photo set in one round. Rates in photos a second."""

    system: str
    variant: str
    photos: str
    round: int
    rate: float | None
    """The highest that kept the promise; of the bound, what it does. None: none did, or ``error``."""
    cpu_ms: float | None = None
    """A photo, over all processes, at that rate."""
    instructions: float | None = None
    p99_ms: float | None = None
    generator_cpu_ms: float | None = None
    closed_per_s: float | None = None
    """Of a short closed loop that warms up: no verdict."""
    error: str = ""
    steps: tuple[Step, ...] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run."""

    systems: Mapping[str, str]
    """System -> variant, in the order of the first round."""
    photos: Mapping[str, PhotoSet]
    rounds: int
    seconds: float
    cores: int
    first_round: int = 1


Told = Callable[[Cell], None]


def run(plan: Plan, tell: Told) -> None:
    """Every system in every round, each round beginning with another; ``tell`` gets each cell as it is done. A system
    that does not start or dies is told as an error, and the others go on."""
    guesses: dict[tuple[str, str], float] = {}
    names, counter = list(plan.systems), cost.Instructions()
    for number in range(plan.first_round, plan.first_round + plan.rounds):
        turn = (number - 1) * max(1, len(names) // max(plan.rounds, 1)) % len(names)
        for system in names[turn:] + names[:turn]:
            if system in BOUNDS:
                _bound(system, plan, number, tell)
            else:
                _system(system, plan, number, guesses, counter, tell)


def _bound(system: str, plan: Plan, number: int, tell: Told) -> None:
    with workshop("peers-bound") as folder:
        repository = ours.float32_repository(folder) if system.endswith("float32") else ours.SHIPPED
        for name, photos in plan.photos.items():
            try:
                it = bare.measure(photos.photos, repository, Task.SPECIES, plan.seconds)
            except BoundError as error:
                tell(Cell(system, "", name, number, None, error=str(error)))
                continue
            tell(Cell(system, "", name, number, it.photos_per_s, cpu_ms=it.cpu_ms_per_photo))


def _system(
    system: str,
    plan: Plan,
    number: int,
    guesses: dict[tuple[str, str], float],
    counter: cost.Instructions,
    tell: Told,
) -> None:
    variant, waiting = plan.systems[system], list(plan.photos)
    try:
        with running(system, variant, plan.cores) as it:
            while waiting:
                name = waiting[0]
                cell = _search(system, variant, name, number, it, plan, guesses.get((system, name)), counter)
                if cell.rate is not None:
                    guesses[system, name] = cell.rate
                tell(cell)
                del waiting[0]
    except (GeneratorError, SetupError, StackError, StartError, WrongAnswer) as error:
        for name in waiting:
            tell(Cell(system, variant, name, number, None, error=str(error)))


def _search(
    system: str,
    variant: str,
    name: str,
    number: int,
    it: Running,
    plan: Plan,
    guess: float | None,
    counter: cost.Instructions,
) -> Cell:
    photos = plan.photos[name].photos
    with Generator(Target(it.port, it.wire, photos)) as generator:
        _check(system, generator.first(), photos[0])
        warm = generator.closed(WARM_CALLERS, WARM_S)
        if not warm.latencies:
            raise GeneratorError(f"{TITLES[system]} answered no photo: {warm.errors}")
        closed_per_s = len(warm.latencies) / warm.seconds

        def probe(rate: float) -> Step:
            seconds = min(max(plan.seconds, LEAST_PHOTOS / rate), max(MOST_S, plan.seconds))
            pids = cost.processes(it.mark)
            before = cost.cpu_seconds(pids)
            with counter.counting(pids) as instructions:
                samples = generator.open(rate, seconds, number, LIMIT_S)
                time.sleep(SETTLE_S)
            spent = cost.cpu_seconds(pids | cost.processes(it.mark)) - before
            return step_of(rate, samples, cpu_s=spent, instructions=instructions[0] if instructions else None)

        steps = highest_rate(probe, guess or START_SHARE * closed_per_s, NEAR if guess else FACTOR)
    found = best(steps)
    if found is None:
        return Cell(system, variant, name, number, None, closed_per_s=closed_per_s, steps=tuple(steps))
    return Cell(
        system,
        variant,
        name,
        number,
        found.rate,
        cpu_ms=found.cpu_ms,
        instructions=found.instructions,
        p99_ms=found.p99_ms,
        generator_cpu_ms=found.generator_cpu_ms,
        closed_per_s=closed_per_s,
        steps=tuple(steps),
    )


def _check(system: str, body: bytes, photo: bytes) -> None:
    """Raise WrongAnswer unless the answer names one of the species that the float32 network sees first."""
    expected = _species(photo)
    if not any(label.encode() in body for label in expected):
        raise WrongAnswer(f"{TITLES[system]} named none of {', '.join(expected)}: it answered {body[:200]!r}.")


def _species(photo: bytes) -> Sequence[str]:
    repository = ours.SHIPPED / "classifier"
    session = onnxruntime.InferenceSession(
        str(repository / "1" / ours.FLOAT32_FILE), providers=["CPUExecutionProvider"]
    )
    row = session.run(None, {IMAGE.name: decode_photo(photo).pixels[None]})[0][0]
    labels = Path(repository / "labels.txt").read_text().splitlines()
    return [labels[at] for at in row.argsort()[: -NAMES_LOOKED_FOR - 1 : -1]]
