"""The clock of the simulation: events at times, and jobs that share processors."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable

from planning.node import Speeds

Then = Callable[[], None]

EPSILON_S = 1e-9


class _Job:
    __slots__ = ("batch", "left_s", "then")

    def __init__(self, left_s: float, batch: int, then: Then) -> None:
        self.left_s = left_s
        self.batch = batch
        self.then = then


class Clock:
    """Runs what is planned, in order of time. Seconds from 0."""

    def __init__(self, speeds: Speeds) -> None:
        self.now = 0.0
        self._speeds = speeds
        self._timers: list[tuple[float, int, Then]] = []
        self._serial = itertools.count()
        self._jobs: list[_Job] = []

    def at(self, moment: float, then: Then) -> None:
        """Call ``then`` at a time that is not past."""
        heapq.heappush(self._timers, (moment, next(self._serial), then))

    def after(self, seconds: float, then: Then) -> None:
        """Call ``then`` after a wait that takes no processor."""
        self.at(self.now + seconds, then)

    def work(self, seconds: float, then: Then, batch: int = 1) -> None:
        """Call ``then`` after ``seconds`` of processor, longer where others want it, too. ``batch``: whose slowdown."""
        self._jobs.append(_Job(seconds, batch, then))

    def run(self) -> None:
        """Until nothing is planned and nothing in work, or :meth:`stop`."""
        while self._timers or self._jobs:
            self._step()

    def stop(self) -> None:
        """Forget everything that is planned and in work."""
        self._timers, self._jobs = [], []

    def _step(self) -> None:
        jobs, number = self._jobs, len(self._jobs)
        speeds = [self._speeds.of(job.batch, number) for job in jobs]
        ends = math.inf
        for job, speed in zip(jobs, speeds, strict=True):
            ends = min(ends, job.left_s / speed)
        timer = self._timers[0][0] - self.now if self._timers else math.inf
        step = min(ends, timer)
        for job, speed in zip(jobs, speeds, strict=True):
            job.left_s -= step * speed
        self.now += step
        if timer <= ends:
            heapq.heappop(self._timers)[2]()
            return
        done = [job for job in jobs if job.left_s <= EPSILON_S]
        self._jobs = [job for job in jobs if job.left_s > EPSILON_S]
        for job in done:
            job.then()


class Thread:
    """One thread that does one thing after the other: an event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[tuple[float, Then]] = deque()
        self._busy = False

    def work(self, seconds: float, then: Then) -> None:
        """Do it when everything before it is done."""
        self._queue.append((seconds, then))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        if not self._queue:
            self._busy = False
            return
        self._busy = True
        seconds, then = self._queue.popleft()
        self._clock.work(seconds, lambda: self._done(then))

    def _done(self, then: Then) -> None:
        then()
        self._next()
