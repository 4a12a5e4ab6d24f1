"""Where photos wait for a place: interactive before batch, and within each every caller in turn.

Turns are those of deficit round robin (Shreedhar and Varghese, "Efficient fair queuing using deficit round robin",
1995): a caller may spend one unit of cost a round, so one with large photos gets fewer of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from contract.priority import Priority

QUANTUM: Final = 1.0
"""Cost that each caller may spend a round: a small photo."""

COST_BYTES: Final = 1 << 20
"""Each so many bytes cost as much as a small photo: decoding 3 MB takes about four times the whole of one."""

BATCH_TURN: Final = 10
"""One place in so many goes to a batch photo while interactive ones wait too, so that none waits for ever."""

BATCH_SHARE: Final = 1 / BATCH_TURN


def cost_of(size_bytes: int) -> float:
    """What a photo costs, in small photos."""
    return QUANTUM + size_bytes / COST_BYTES


@dataclass(eq=False, slots=True)
class Ticket:
    """One photo that waits."""

    caller: str
    priority: Priority
    cost: float


T = TypeVar("T", bound=Ticket)


@dataclass(slots=True)
class _Flow(Generic[T]):
    """What one caller has waiting."""

    tickets: deque[T] = field(default_factory=deque)
    cost: float = 0.0
    deficit: float = 0.0


class FairQueue(Generic[T]):
    """Tickets of one priority."""

    def __init__(self) -> None:
        self._flows: OrderedDict[str, _Flow[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, ticket: T) -> None:
        """Wait behind one's own; a caller who had nothing here is last in the round."""
        flow = self._flows.setdefault(ticket.caller, _Flow())
        flow.tickets.append(ticket)
        flow.cost += ticket.cost
        self._count += 1

    def pop(self) -> T:
        """The next in turn. Raises IndexError if nothing waits."""
        if not self._flows:
            raise IndexError("nobody waits")
        while True:
            caller, flow = next(iter(self._flows.items()))
            if flow.deficit < flow.tickets[0].cost:
                flow.deficit += QUANTUM
            if flow.deficit >= flow.tickets[0].cost:
                break
            self._flows.move_to_end(caller)
        ticket = flow.tickets.popleft()
        flow.deficit -= ticket.cost
        self._left(ticket, flow)
        if flow.tickets and flow.deficit < flow.tickets[0].cost:
            self._flows.move_to_end(caller)
        return ticket

    def remove(self, ticket: T) -> bool:
        """Take a ticket out of turn; False if it is not here any more."""
        flow = self._flows.get(ticket.caller)
        if flow is None or ticket not in flow.tickets:
            return False
        flow.tickets.remove(ticket)
        self._left(ticket, flow)
        return True

    def ahead(self, caller: str, cost: float) -> float:
        """Cost that is served before a new ticket of ``caller``: all of the caller's own, and of each other caller's
        as much as the rounds until then give it."""
        own = self._flows[caller].cost if caller in self._flows else 0.0
        rounds = own + cost
        return own + sum(min(flow.cost, rounds) for other, flow in self._flows.items() if other != caller)

    def longest(self) -> T | None:
        """The newest ticket of the caller with most waiting."""
        flow = max(self._flows.values(), key=lambda each: each.cost, default=None)
        return flow.tickets[-1] if flow is not None else None

    def waiting_of(self, caller: str) -> float:
        """Cost that ``caller`` has waiting."""
        return self._flows[caller].cost if caller in self._flows else 0.0

    def _left(self, ticket: T, flow: _Flow[T]) -> None:
        flow.cost -= ticket.cost
        self._count -= 1
        if not flow.tickets:
            del self._flows[ticket.caller]


class WaitingRoom(Generic[T]):
    """Both priorities and who is next. Pure: knows no clock; whoever gives up is taken out with :meth:`remove`."""

    def __init__(self, size: int) -> None:
        """``size``: tickets that may wait at once."""
        self._size = size
        self._queues: dict[Priority, FairQueue[T]] = {priority: FairQueue() for priority in Priority}
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def push(self, ticket: T) -> T | None:
        """Let a ticket wait. In a full room somebody has to go for it, and is returned: the newest batch ticket for
        an interactive one, else the newest of the caller with most waiting; that may be the new ticket itself."""
        self._queues[ticket.priority].push(ticket)
        if len(self) <= self._size:
            return None
        batch = self._queues[Priority.BATCH]
        out = (batch if len(batch) else self._queues[Priority.INTERACTIVE]).longest()
        if out is None or self._same_burden(out, ticket):
            out = ticket
        self.remove(out)
        return out

    def pop(self) -> T:
        """Whose turn it is. Raises IndexError if nobody waits."""
        interactive, batch = self._queues[Priority.INTERACTIVE], self._queues[Priority.BATCH]
        if not (interactive and batch):
            return (interactive or batch).pop()
        self._turn = (self._turn + 1) % BATCH_TURN
        return (batch if self._turn == 0 else interactive).pop()

    def remove(self, ticket: T) -> bool:
        """Take a ticket out of turn; False if it is not here any more."""
        return self._queues[ticket.priority].remove(ticket)

    def ahead(self, caller: str, priority: Priority, cost: float) -> float:
        """Cost that is served up to and with a new ticket, as things stand now."""
        mine = self._queues[priority].ahead(caller, cost) + cost
        if priority is Priority.INTERACTIVE:
            return mine / (1 - BATCH_SHARE) if self._queues[Priority.BATCH] else mine
        return mine / BATCH_SHARE if self._queues[Priority.INTERACTIVE] else mine

    def _same_burden(self, out: T, ticket: T) -> bool:
        """Whether pushing ``out`` would only trade one caller's wait for another's."""
        if out.priority is not ticket.priority:
            return False
        queue = self._queues[ticket.priority]
        return queue.waiting_of(ticket.caller) >= queue.waiting_of(out.caller)
