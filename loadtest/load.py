"""Inside a process that sends: the two loops. Which of them runs is the plan's matter."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import gevent  # type: ignore[import-untyped]
from gevent.pool import Group  # type: ignore[import-untyped]

from loadtest.handover import Photos
from loadtest.photos import Kind, draw
from loadtest.plan import MAX_OPEN, Plan, Protocol
from loadtest.recorder import Recorder, Watch
from loadtest.schedule import planned_times
from loadtest.wire import sender
from loadtest.wire.reply import OK, TIMEOUT, UNSENT, Reply, Sender

LEAD_S: Final = 0.2
"""From the start of a loop to its first photo."""

MIN_PAUSE_S: Final = 0.02
"""A refused caller of the closed loop waits so long."""

GRACE_S: Final = 2.0
"""For the last answers, on top of their deadline."""

Observe = Callable[[str, str, float, str], None]
"""Takes user, kind, seconds from the planned time, outcome."""


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of a plan: every ``of``-th arrival from ``index`` on."""

    index: int = 0
    of: int = 1


class Load:
    """Sends one process's share of a plan and records what comes of it."""

    def __init__(self, plan: Plan, photos: Photos, share: Share, observe: Observe) -> None:
        self.recorder, self.watch = Recorder(), Watch()
        self.failure: BaseException | None = None
        self._plan, self._share, self._observe = plan, share, observe
        self._senders: dict[Protocol, Sender] = {protocol: sender(protocol, plan) for protocol in plan.users}
        self._requests: dict[tuple[Protocol, Kind], Iterator[tuple[bytes, bool]]] = {
            (protocol, kind): _in_turn(photos[kind], its, share.index)
            for protocol, its in self._senders.items()
            for kind in plan.mix
        }
        self._serial = itertools.count(share.index, share.of)
        self._nonce = struct.pack("<I", time.time_ns() // 1_000_000 % 2**32)
        self._open = Group()
        self._closed_began = 0.0

    @property
    def length_s(self) -> float:
        """How long it takes at most, seconds."""
        schedule = self._plan.schedule
        return LEAD_S + schedule.warm_up_s + schedule.seconds + self._plan.timeout_s + GRACE_S

    def open_loop(self) -> None:
        """Send every photo at its time, whatever became of those before it, and wait for the last answers."""
        plan, share = self._plan, self._share
        times = planned_times(plan.schedule, plan.seed)
        mine = slice(share.index, None, share.of)
        kinds, users = tuple(plan.mix), tuple(plan.users)
        of_kind = draw(list(plan.mix.values()), len(times), plan.seed)[mine].tolist()
        of_user = draw(list(plan.users.values()), len(times), plan.seed + 1)[mine].tolist()
        zero = time.monotonic() + LEAD_S + plan.schedule.warm_up_s
        for at, kind, user in zip(times[mine].tolist(), of_kind, of_user, strict=True):
            while (pause := zero + at - time.monotonic()) > 0:
                gevent.sleep(pause)
            if len(self._open) >= MAX_OPEN:
                self.recorder.add(at, at, at, kinds[kind], users[user], Reply(UNSENT))
            else:
                self._open.spawn(self._one, zero, at, kinds[kind], users[user])
        self._open.join(plan.timeout_s + GRACE_S)
        self._open.kill()

    def closed_loop(self, caller: int) -> None:
        """One caller, who sends the next photo when the last is answered: a server that stalls makes him wait, and so
        is asked less. For comparison only."""
        plan = self._plan
        self._closed_began = self._closed_began or time.monotonic()
        zero = self._closed_began + plan.schedule.warm_up_s
        kinds, users = tuple(plan.mix), tuple(plan.users)
        of_kind = itertools.cycle(draw(list(plan.mix.values()), 4096, plan.seed + caller).tolist())
        of_user = itertools.cycle(draw(list(plan.users.values()), 4096, plan.seed + caller + 1).tolist())
        while (at := time.monotonic() - zero) < plan.schedule.seconds:
            if self._one(zero, at, kinds[next(of_kind)], users[next(of_user)]) != OK:
                gevent.sleep(MIN_PAUSE_S)

    def close(self) -> None:
        """Close connections and stop watching."""
        self.watch.close()
        for its in self._senders.values():
            its.close()

    def _one(self, zero: float, planned: float, kind: Kind, user: Protocol) -> str:
        try:
            head, whole = next(self._requests[user, kind])
            request = head if whole else head + self._nonce + struct.pack("<I", next(self._serial) % 2**32)
            sent = time.monotonic() - zero
            reply = self._send(user, request)
            ended = time.monotonic() - zero
        except BaseException as error:
            self.failure = self.failure or error  # a fault in here, so the run says nothing
            raise
        self.recorder.add(planned, sent, ended, kind, user, reply)
        self._observe(user, kind, ended - planned, reply.outcome)
        return reply.outcome

    def _send(self, user: Protocol, request: bytes) -> Reply:
        try:
            return self._senders[user].send(request)
        except gevent.GreenletExit:  # the run is over
            return Reply(TIMEOUT)


def _in_turn(photos: Sequence[bytes], its: Sender, first: int) -> Iterator[tuple[bytes, bool]]:
    """Requests without end, each with whether it is whole: an empty photo gets no serial number, or it would not be
    empty."""
    ready: list[tuple[bytes, bool]] = [(its.prepare(photo), not photo) for photo in photos]
    return itertools.islice(itertools.cycle(ready), first % len(ready), None)
