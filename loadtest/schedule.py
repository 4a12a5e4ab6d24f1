"""When photos are sent: all times are known before the first is sent, so that nothing that happens can move them.

Times are seconds from the start of what is judged. A warm-up comes before it, at negative times.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_ARRIVALS: Final = 2_000_000
"""Of one run; each takes about 200 bytes."""


class ScheduleError(ValueError):
    """There is no such schedule; the message says what to give."""


class Arrivals(StrEnum):
    """How arrivals lie in time. All but ``constant`` and ``replay`` are Poisson processes."""

    POISSON = "poisson"
    """One rate: exponential gaps, as from many independent callers."""
    CONSTANT = "constant"
    """One rate, equal gaps."""
    RAMP = "ramp"
    """From one rate to another in a straight line."""
    STEP = "step"
    """From one rate to another in equal steps of equal length."""
    REPLAY = "replay"
    """The times of a recorded trace."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What to plan. Rates in photos a second, times in seconds."""

    arrivals: Arrivals
    rate: float
    seconds: float
    to_rate: float = 0.0
    """Where a ramp or steps end."""
    steps: int = 1
    warm_up_s: float = 0.0
    """Before time 0, at ``rate``; not judged."""
    trace: tuple[float, ...] = ()
    """Times of a replay, ascending, from 0."""

    def __post_init__(self) -> None:
        rates = (self.rate, self.to_rate) if self.arrivals in (Arrivals.RAMP, Arrivals.STEP) else (self.rate,)
        if not all(math.isfinite(rate) and rate > 0 for rate in rates):
            raise ScheduleError("A rate must be above 0 photos a second; a ramp and steps need two, --rate and --to.")
        if not (math.isfinite(self.seconds) and self.seconds > 0 and self.steps > 0 and self.warm_up_s >= 0):
            raise ScheduleError("A schedule needs a time above 0, at least one step and no negative warm-up.")
        if max(rates) * self.seconds + self.rate * self.warm_up_s > MAX_ARRIVALS:
            raise ScheduleError(f"That is more than {MAX_ARRIVALS} photos: take a lower rate or a shorter time.")
        if (self.arrivals is Arrivals.REPLAY) != bool(self.trace):
            raise ScheduleError("A replay needs a trace (--trace FILE), and only a replay takes one.")


def planned_times(schedule: Schedule, seed: int) -> NDArray[np.float64]:
    """The planned times, ascending, float64 [N]; the same for the same seed. Those of the warm-up are negative."""
    chance = np.random.default_rng(seed)
    warm = -_poisson(chance, schedule.rate, schedule.warm_up_s)[::-1]
    return np.concatenate([warm, _judged(schedule, chance)])


def _judged(schedule: Schedule, chance: np.random.Generator) -> NDArray[np.float64]:
    match schedule.arrivals:
        case Arrivals.POISSON:
            return _poisson(chance, schedule.rate, schedule.seconds)
        case Arrivals.CONSTANT:
            return np.arange(round(schedule.rate * schedule.seconds)) / schedule.rate
        case Arrivals.RAMP:
            return _ramp(chance, schedule)
        case Arrivals.STEP:
            rates = np.linspace(schedule.rate, schedule.to_rate, schedule.steps)
            length = schedule.seconds / schedule.steps
            return np.concatenate([_poisson(chance, rate, length) + at * length for at, rate in enumerate(rates)])
        case Arrivals.REPLAY:
            return np.array(schedule.trace)


def _poisson(chance: np.random.Generator, rate: float, seconds: float) -> NDArray[np.float64]:
    """Given their number, the arrivals of a Poisson process are uniform and independent."""
    return np.sort(chance.uniform(0, seconds, chance.poisson(rate * seconds)))


def _ramp(chance: np.random.Generator, schedule: Schedule) -> NDArray[np.float64]:
    """A Poisson process of rate r(t) = a + b t: unit-rate arrivals through the inverse of its integral a t + b t^2/2
    (inversion method, Devroye 1986, VI.1.3)."""
    a, b = schedule.rate, (schedule.to_rate - schedule.rate) / schedule.seconds
    expected = (schedule.rate + schedule.to_rate) / 2 * schedule.seconds
    unit = _poisson(chance, 1.0, expected)
    # The root in the form that does not lose digits where b is 0.
    return np.asarray(2 * unit / (a + np.sqrt(a * a + 2 * b * unit)))


def read_trace(path: Path, speed: float = 1.0) -> tuple[float, ...]:
    """Arrival times of a recorded trace, from 0 and ``speed`` times as fast: a CSV whose column ``time`` (else its
    first) has seconds, of any origin and in any order. Raises ScheduleError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScheduleError(
            f"The trace {path} cannot be read ({error}): give a CSV file of times in seconds."
        ) from error
    named = bool(rows) and _number(rows[0][0]) is None
    column = rows[0].index("time") if named and "time" in rows[0] else 0
    numbers = [_number(row[column]) if column < len(row) else None for row in rows[named:]]
    times = sorted(number for number in numbers if number is not None)
    if not times or len(times) < len(numbers):
        raise ScheduleError(
            f"The trace {path} must have a time in seconds in every row, in the column `time` or the first."
        )
    if not speed > 0:
        raise ScheduleError("The speed of a replay must be above 0.")
    return tuple((time - times[0]) / speed for time in times)


def replay(path: Path, speed: float, warm_up_s: float) -> Schedule:
    """The schedule of a recorded trace. Raises ScheduleError."""
    trace = read_trace(path, speed)
    seconds = max(trace[-1], 1e-3)
    return Schedule(Arrivals.REPLAY, len(trace) / seconds, seconds, warm_up_s=warm_up_s, trace=trace)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
