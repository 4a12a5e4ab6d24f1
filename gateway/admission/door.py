"""Who may come in: is the service open, is the photo small enough, is there room, is there time left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from contract.photo_status import PhotoStatus
from contract.priority import Priority
from gateway.admission.limiter import Limiter
from gateway.admission.reserve import Reserve
from gateway.admission.room import Ticket, WaitingRoom, cost_of
from gateway.admission.service_time import ServiceTime
from gateway.errors import DeadlineExceeded, InvalidRequest, NotReady, Overloaded, PhotoRejected
from gateway.ports import Clock

TRITON_SHARE: Final = 0.25
"""Share of the SLO that a mean photo may spend in Triton before its queue counts as too long. What is left is
waited here, where priority and fairness hold."""

RESERVE: Final = 0.2
"""Share of the SLO for what is not seen from here: the way through the edge, the journal's fsync, the reply. It is what
:class:`Reserve` begins with."""

UNSEEN_TURNS: Final = 3.0
"""Turns of the event loop that a request takes outside: read, decoded, reply written. How long one is, a photo that
waited knows: from being let in until it runs."""

LEAST_WAIT: Final = 0.5
"""Photos so slow that the SLO leaves no time to wait may still wait half of what one takes; and where hardly anybody
waits, half the SLO: a pause of the machine is soon over, and an answer that may be late beats none."""

MIN_RETRY_S: Final = 0.02
MAX_RETRY_S: Final = 10.0
"""Bounds of a retry hint, seconds: not in the same instant, and not later than an overload is likely to last."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What admission may not exceed; where the numbers come from says ``gateway.settings``."""

    max_inflight: int
    min_inflight: int
    max_waiting: int
    max_photo_bytes: int
    max_held_bytes: int
    default_timeout_s: float
    max_timeout_s: float
    slo_s: float
    """Within so many seconds an admitted interactive photo has to be answered."""


@dataclass(eq=False, slots=True)
class _Waiting(Ticket):
    turn: asyncio.Future[bool]
    """True: there is a place; False: pushed out of a full room."""
    called: float = 0.0
    """When ``turn`` was set, on the monotonic clock."""


class Place:
    """A place in work. Tell it when the model has answered, so that the next photo can go to Triton."""

    def __init__(self, leave_triton: Callable[[bool], None], waited_s: float) -> None:
        self.waited_s = waited_s
        self._leave_triton: Callable[[bool], None] | None = leave_triton

    def model_answered(self) -> None:
        """The photo is through Triton; what remains is keeping its record."""
        self._leave(answered=True)

    def _leave(self, *, answered: bool) -> None:
        leave, self._leave_triton = self._leave_triton, None
        if leave is not None:
            leave(answered)

    @property
    def in_triton(self) -> bool:
        """Whether the model has yet to answer."""
        return self._leave_triton is not None

    def leave(self) -> None:
        """The photo will not be answered by the model any more."""
        self._leave(answered=False)


class Admission:
    """Counts the photos in work, lets a few wait in fair order and refuses the rest. One event loop only.

    A photo waits only if, as things stand, it will be answered within its deadline and, if it is interactive, within
    the SLO. The number of places in front of Triton follows measured latency (:class:`Limiter`).
    """

    def __init__(self, bounds: Bounds, clock: Clock) -> None:
        self.max_photo_bytes = bounds.max_photo_bytes
        self._bounds = bounds
        self._clock = clock
        self._limiter = Limiter(
            least=bounds.min_inflight, most=bounds.max_inflight, target_s=TRITON_SHARE * bounds.slo_s
        )
        self._service_time = ServiceTime(TRITON_SHARE * bounds.slo_s)
        self._reserve = Reserve(bounds.slo_s, RESERVE)
        self._room: WaitingRoom[_Waiting] = WaitingRoom(bounds.max_waiting)
        self._held_bytes = 0
        self._in_triton = 0
        self._inflight = 0
        self._open = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def inflight(self) -> int:
        """Photos in work; those that wait are not."""
        return self._inflight

    @property
    def waiting(self) -> int:
        """Photos that wait for a place."""
        return len(self._room)

    @property
    def limit(self) -> int:
        """Photos that may be in Triton at once, now."""
        return self._limiter.limit

    @property
    def open(self) -> bool:
        """Whether new photos are admitted at all."""
        return self._open

    def start(self) -> None:
        """Begin to admit."""
        self._open = True

    def stop(self) -> None:
        """Admit nothing more; what is in work or waits goes on."""
        self._open = False

    async def idle(self) -> None:
        """Return once nothing is in work and nothing waits."""
        await self._idle.wait()

    def check_size(self, size_bytes: int) -> None:
        """Raise PhotoRejected(TOO_MANY_BYTES) for a photo of ``size_bytes`` that is over the limit."""
        if size_bytes > self.max_photo_bytes:
            limit = self.max_photo_bytes / (1 << 20)
            raise PhotoRejected(
                PhotoStatus.TOO_MANY_BYTES,
                f"The photo has more than {limit:g} MiB, the limit here. Send a smaller file or re-encode it as JPEG.",
            )

    def timeout_s(self, asked_s: float | None) -> float:
        """The time a caller gets, seconds: what it asked for within the maximum, else the default."""
        if asked_s is None:
            return self._bounds.default_timeout_s
        if not asked_s > 0:
            raise InvalidRequest("The timeout must be a positive number.")
        return min(asked_s, self._bounds.max_timeout_s)

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes that a request keeps in memory, from its first chunk until it is answered.

        Gives a function that takes a number of bytes more. It raises Overloaded when all requests together hold
        too much, so that slow or many uploads cost bounded memory; NotReady when nothing is admitted.
        """
        self._check_open()
        held = 0

        def take(size_bytes: int) -> None:
            nonlocal held
            if self._held_bytes + size_bytes > self._bounds.max_held_bytes:
                raise Overloaded("Too many photos are being uploaded: try again shortly.", retry_after_s=1.0)
            held += size_bytes
            self._held_bytes += size_bytes

        try:
            yield take
        finally:
            self._held_bytes -= held

    @asynccontextmanager
    async def admit(
        self, *, caller: str, priority: Priority, deadline: float, size_bytes: int = 0
    ) -> AsyncIterator[Place]:
        """Hold one place while a photo is in work, after waiting for it if that is worth while.

        ``caller``: whose share it is; ``deadline``: on the monotonic clock, seconds. Raises NotReady, Overloaded with
        a hint when a place is likely, DeadlineExceeded.
        """
        self._check_open()
        entered = self._clock.monotonic()
        if deadline <= entered:
            raise DeadlineExceeded("The deadline had passed before the photo was looked at: allow more time.")
        cost = cost_of(size_bytes)
        waits = bool(self._room) or not self._free()
        turn_s = 0.0
        if waits:
            turn_s = await self._wait(caller, priority, deadline, cost)
        else:
            self._take()
        began = self._clock.monotonic()
        place = Place(lambda answered: self._left_triton(began, cost, answered=answered), began - entered)
        try:
            yield place
            if waits and priority is Priority.INTERACTIVE:
                self._reserve.answered(self._clock.monotonic() - entered + UNSEEN_TURNS * turn_s)
        except Overloaded:
            if place.in_triton:
                self._limiter.overrun()
            raise
        finally:
            place.leave()
            self._inflight -= 1
            self._next()

    async def _wait(self, caller: str, priority: Priority, deadline: float, cost: float) -> float:
        """Return with a place taken: how long it took to come to run after that, seconds. Raises Overloaded."""
        patience_s = self._patience_s(priority, deadline)
        predicted_s = self._predicted_s(caller, priority, cost)
        if predicted_s > patience_s:
            raise self._refusal(predicted_s - max(0.0, patience_s))
        ticket = _Waiting(caller, priority, cost, asyncio.get_running_loop().create_future())
        pushed_out = self._room.push(ticket)
        if pushed_out is ticket:
            raise self._refusal(predicted_s)
        if pushed_out is not None:
            pushed_out.turn.set_result(False)
        self._idle.clear()
        try:
            async with asyncio.timeout(patience_s):
                admitted = await ticket.turn
        except BaseException as error:
            self._give_up(ticket)
            if isinstance(error, TimeoutError):
                raise self._refusal(self._predicted_s(caller, priority, cost)) from None
            raise
        if not admitted:
            self._next()
            raise self._refusal(self._predicted_s(caller, priority, cost))
        return self._clock.monotonic() - ticket.called

    def _give_up(self, ticket: _Waiting) -> None:
        """Out of the room; a place that came in the same instant goes to the next."""
        self._room.remove(ticket)
        if ticket.turn.done() and not ticket.turn.cancelled() and ticket.turn.result():
            self._in_triton -= 1
            self._inflight -= 1
        self._next()

    def _patience_s(self, priority: Priority, deadline: float) -> float:
        """How long a photo may wait and still be answered in time, seconds."""
        left_s = deadline - self._clock.monotonic() - self._service_time.mean_s
        if priority is Priority.BATCH:
            return left_s
        slo_s = self._bounds.slo_s - self._reserve.seconds - self._service_time.careful_s
        few = len(self._room) < self._bounds.min_inflight
        return min(left_s, max(slo_s, LEAST_WAIT * (self._bounds.slo_s if few else self._service_time.mean_s)))

    def _predicted_s(self, caller: str, priority: Priority, cost: float) -> float:
        """How long a photo would wait, seconds: places become free at the rate of Little's law."""
        photos = self._room.ahead(caller, priority, cost) / self._service_time.mean_cost
        return photos * self._service_time.mean_s / self.limit

    def _refusal(self, retry_after_s: float) -> Overloaded:
        return Overloaded(
            "There is no place in time: try again after the hint, or send fewer at once.",
            retry_after_s=min(MAX_RETRY_S, max(MIN_RETRY_S, retry_after_s)),
        )

    def _check_open(self) -> None:
        if not self._open:
            raise NotReady("The service is starting or shutting down: try again shortly.", retry_after_s=1.0)

    def _free(self) -> bool:
        return self._in_triton < self.limit and self._inflight < self._bounds.max_inflight

    def _take(self) -> None:
        self._in_triton += 1
        self._inflight += 1
        self._idle.clear()

    def _left_triton(self, began: float, cost: float, *, answered: bool) -> None:
        seconds = self._clock.monotonic() - began
        if answered:
            self._limiter.answered(seconds, self._in_triton)
            self._service_time.add(seconds, cost)
        elif seconds > TRITON_SHARE * self._bounds.slo_s:  # given up: the slowest of all must not go uncounted
            self._limiter.overrun()
        self._in_triton -= 1
        self._next()

    def _next(self) -> None:
        """Give free places to those whose turn it is."""
        while self._room and self._free():
            ticket = self._room.pop()
            if not ticket.turn.done():  # else it is being cancelled
                self._take()
                ticket.called = self._clock.monotonic()
                ticket.turn.set_result(True)
        if self._inflight == 0 and not self._room:
            self._idle.set()
