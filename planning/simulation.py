"""One node, photo by photo: Poisson arrivals or a closed loop, edge, admission, Triton's batches, journal.

Why a simulation: bulk service whose times depend on how many instances are busy, on cores that edge and instances
share, behind an admission that follows latency, has no closed form. It is seeded: one question, one answer.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from planning.admission import Limit
from planning.curves import Curves, Profile
from planning.events import Clock, Then, Thread
from planning.node import MAX_BATCH, Setup, Speeds
from planning.outcome import Outcome

SLOWEST_WAIT_S: Final = 10.0
"""A photo that would take longer than the gateway's default deadline counts as refused."""


@dataclass(slots=True)
class _Photo:
    planned: float
    done: Callable[[bool], None]
    entered: float = 0.0
    began: float = 0.0
    waits: bool = False
    parts: int = 2
    """Staging and inference: what has to be there before the record is written."""


class _Triton:
    """The instances of `animals` and the queue in front of them."""

    def __init__(self, clock: Clock, profile: Profile, curves: Curves, setup: Setup, chance: random.Random) -> None:
        self._clock, self._profile, self._chance = clock, profile, chance
        self._on_cpu = curves.device == "cpu"
        self._free = setup.instances
        self._instances = setup.instances
        self._queue: deque[Then] = deque()
        self.executed: list[tuple[float, int]] = []

    def infer(self, then: Then) -> None:
        """One photo."""
        self._clock.work(self._profile.triton_ms / 1e3, lambda: self._enqueue(then))

    def _enqueue(self, then: Then) -> None:
        self._queue.append(then)
        self._start()

    def _start(self) -> None:
        while self._free and self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
            self._free -= 1
            self.executed.append((self._clock.now, len(batch)))
            self._execute(len(batch), partial(self._done, batch))

    def _execute(self, photos: int, then: Then) -> None:
        profile = self._profile
        near = profile.nearest(photos)
        busy = self._instances - self._free
        cell = profile.cell(near) if self._on_cpu else profile.cell(near, busy) or profile.cell(near)
        assert cell is not None  # nearest is one of those measured alone
        seconds = profile.alone_ms(photos) / 1e3 * self._chance.choice(cell.ratios)
        if self._on_cpu:
            self._clock.work(seconds, then, near)
            return
        alone = profile.cell(near)
        assert alone is not None
        shared = cell.ms / alone.ms if cell.busy == busy else busy  # a GPU that is full does one after the other
        self._clock.after(seconds * shared, then)

    def _done(self, batch: Sequence[Then]) -> None:
        self._free += 1
        for then in batch:
            then()
        self._start()


class _Worker:
    """One gateway process: its event loop, its admission, its journal."""

    def __init__(self, node: Node) -> None:
        self._node, self._clock = node, node.clock
        self._loop = Thread(node.clock)
        self._limit = Limit(node.setup.slo_s, node.setup.min_inflight, node.setup.max_inflight)
        self._in_triton = 0
        self._waiting: deque[_Photo] = deque()
        self._records: list[_Photo] = []
        self._syncing = False
        self._half_s = node.profile.edge_loop_ms / 2e3
        """Of the loop's time before the photo is handed on; the other half is for its record and reply."""

    def receive(self, photo: _Photo) -> None:
        """A photo arrives."""
        self._loop.work(self._half_s, lambda: self._admit(photo))

    def _admit(self, photo: _Photo) -> None:
        photo.entered = self._clock.now
        if not self._waiting and self._in_triton < self._limit.places:
            self._send(photo)
            return
        photo.waits = True
        if self._limit.predicted_s(len(self._waiting)) > self._limit.patience_s:
            photo.done(False)
        else:
            self._waiting.append(photo)
            self._clock.after(self._limit.patience_s, lambda: self._too_long(photo))

    def _too_long(self, photo: _Photo) -> None:
        if not photo.began and photo in self._waiting:
            self._waiting.remove(photo)
            photo.done(False)

    def _send(self, photo: _Photo) -> None:
        self._in_triton += 1
        photo.began = self._clock.now
        threads_s = self._node.profile.edge_threads_ms / 1e3
        self._clock.work(threads_s, lambda: self._clock.after(self._node.fsync_s(), lambda: self._part(photo)))
        self._node.triton.infer(lambda: self._clock.after(self._node.profile.rest_ms / 1e3, lambda: self._left(photo)))

    def _left(self, photo: _Photo) -> None:
        self._limit.answered(self._clock.now - photo.began, self._in_triton)
        self._in_triton -= 1
        while self._waiting and self._in_triton < self._limit.places:
            self._send(self._waiting.popleft())
        self._loop.work(self._half_s, lambda: self._part(photo))

    def _part(self, photo: _Photo) -> None:
        photo.parts -= 1
        if not photo.parts:
            self._records.append(photo)
            self._sync()

    def _sync(self) -> None:
        """One fsync for all records that are there; those that come meanwhile take the next."""
        if self._syncing or not self._records:
            return
        self._syncing, batch, self._records = True, self._records, []
        self._clock.after(self._node.fsync_s(), lambda: self._synced(batch))

    def _synced(self, batch: Sequence[_Photo]) -> None:
        self._syncing = False
        for photo in batch:
            if photo.waits:
                self._limit.left(self._clock.now - photo.entered)
            photo.done(True)
        self._sync()


class Node:
    """Everything on one machine."""

    def __init__(self, curves: Curves, profile: Profile, setup: Setup, seed: int) -> None:
        self.profile, self.setup = profile, setup
        self.clock = Clock(Speeds(profile, curves, setup.cores))
        self._chance = random.Random(seed)
        self._fsync_ms = curves.fsync_ms
        self.triton = _Triton(self.clock, profile, curves, setup, self._chance)
        self._workers = [_Worker(self) for _ in range(setup.workers)]
        self._client = Thread(self.clock)
        self._client_s = profile.client_ms / 2e3 if setup.client_here else 0.0

    def fsync_s(self) -> float:
        """How long the next one takes."""
        return self._chance.choice(self._fsync_ms) / 1e3

    def send_at(self, planned: float, done: Callable[[bool], None]) -> None:
        """A photo that is to be sent at ``planned``, which is now; ``done`` is told whether it was answered."""
        self.send(_Photo(planned, done))

    def send(self, photo: _Photo) -> None:
        """Hand a photo to one of the gateway processes; its answer passes the client, too."""
        answer = photo.done

        def done(answered: bool) -> None:
            self._client.work(self._client_s, lambda: answer(answered))

        photo.done = done
        worker = self._chance.choice(self._workers)
        self._client.work(self._client_s, lambda: worker.receive(photo))


@dataclass(frozen=True, slots=True)
class Needed:
    """What is asked of a simulation that may end as soon as it is missed."""

    within_s: float
    share: float
    """Of all photos."""


def open_loop(
    curves: Curves, profile: Profile, setup: Setup, per_s: float, *, photos: int = 4000, seed: int = 1,
    warm_up: float = 0.15, needed: Needed | None = None,
) -> Outcome:  # fmt: skip
    """Poisson arrivals of ``per_s`` photos a second; ``warm_up`` is the share that is left out at the beginning."""
    arrivals = random.Random(seed + 1)
    times = list(itertools.accumulate(arrivals.expovariate(per_s) for _ in range(photos)))
    return replay(curves, profile, setup, times, seed=seed, warm_up=warm_up, needed=needed)


def replay(
    curves: Curves, profile: Profile, setup: Setup, times: Sequence[float], *, seed: int = 1, warm_up: float = 0.0,
    needed: Needed | None = None,
) -> Outcome:  # fmt: skip
    """Photos at given times, ascending, seconds; at least two. It ends early when ``needed`` cannot be met any more."""
    node = Node(curves, profile, setup, seed)
    first = times[int(warm_up * len(times))]
    outcome = Outcome(seconds=times[-1] - first)
    may_be_late = (1 - needed.share) * len(times) if needed else math.inf
    late = 0

    def answer(planned: float, answered: bool) -> None:
        nonlocal late
        _note(outcome, node.clock, planned, first, answered)
        if needed and planned >= first and not (answered and node.clock.now - planned <= needed.within_s):
            late += 1
            if late > may_be_late:
                node.clock.stop()

    for planned in times:
        node.clock.at(planned, partial(node.send_at, planned, partial(answer, planned)))
    node.clock.run()
    return _finished(outcome, node, first)


def closed_loop(
    curves: Curves, profile: Profile, setup: Setup, callers: int, *, photos: int = 1500, seed: int = 1,
    warm_up: float = 0.15,
) -> Outcome:  # fmt: skip
    """So many callers, each of whom sends the next photo when the last is answered (20 ms later if it was refused)."""
    node = Node(curves, profile, setup, seed)
    first_photo, sent = int(warm_up * photos), 0
    outcome = Outcome(seconds=0.0)
    began = 0.0

    def call() -> None:
        nonlocal sent, began
        if sent >= photos:
            return
        sent += 1
        if sent == first_photo:
            began = node.clock.now
        planned = node.clock.now
        node.send(_Photo(planned, partial(done, planned, sent >= first_photo)))

    def done(planned: float, counts: bool, answered: bool) -> None:
        if counts:
            _note(outcome, node.clock, planned, 0.0, answered)
        outcome.seconds = node.clock.now - began
        node.clock.after(0.0 if answered else 0.02, call)

    for _ in range(callers):
        call()
    node.clock.run()
    return _finished(outcome, node, began)


def _note(outcome: Outcome, clock: Clock, planned: float, first: float, answered: bool) -> None:
    if planned < first:
        return
    outcome.offered += 1
    took = clock.now - planned
    if answered and took <= SLOWEST_WAIT_S:
        outcome.latencies_s.append(took)
    else:
        outcome.refused += 1


def _finished(outcome: Outcome, node: Node, first: float) -> Outcome:
    outcome.latencies_s.sort()
    outcome.batches = [photos for moment, photos in node.triton.executed if moment >= first]
    return outcome
