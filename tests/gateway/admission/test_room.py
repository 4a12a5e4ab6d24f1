"""Whose turn it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.priority import Priority
from gateway.admission.room import BATCH_TURN, COST_BYTES, QUANTUM, FairQueue, Ticket, WaitingRoom, cost_of

MAX_COST = 5.0
CALLERS = "abc"
TICKETS = st.lists(
    st.builds(
        Ticket, st.sampled_from(CALLERS), st.sampled_from(Priority), st.floats(min_value=QUANTUM, max_value=MAX_COST)
    ),
    max_size=60,
)


def ticket(caller: str = "a", priority: Priority = Priority.INTERACTIVE, cost: float = QUANTUM) -> Ticket:
    return Ticket(caller, priority, cost)


def drain(room: WaitingRoom[Ticket]) -> list[Ticket]:
    return [room.pop() for _ in range(len(room))]


@given(TICKETS, st.sets(st.integers(0, 59)))
def test_everybody_gets_one_turn_in_the_order_of_their_own(tickets: list[Ticket], leave: set[int]) -> None:
    room: WaitingRoom[Ticket] = WaitingRoom(100)
    for each in tickets:
        assert room.push(each) is None
    gone = [each for at, each in enumerate(tickets) if at in leave]
    assert all(room.remove(each) for each in gone)
    assert not any(room.remove(each) for each in gone)
    served = drain(room)
    stayed = [each for each in tickets if each not in gone]
    assert Counter(map(id, served)) == Counter(map(id, stayed))
    for caller in CALLERS:
        for priority in Priority:
            mine = [each for each in stayed if (each.caller, each.priority) == (caller, priority)]
            assert [each for each in served if each in mine] == mine
    with pytest.raises(IndexError):
        room.pop()


@given(TICKETS, st.data())
def test_while_two_wait_neither_gets_more_than_a_round_ahead(tickets: list[Ticket], data: st.DataObject) -> None:
    queue: FairQueue[Ticket] = FairQueue()
    for each in tickets:
        queue.push(each)
    served = Counter(dict.fromkeys(CALLERS, 0.0))
    left = Counter(each.caller for each in tickets)
    both = [caller for caller in CALLERS if left[caller]]
    while len(both) > 1 and all(left[caller] for caller in both):
        each = queue.pop()
        left[each.caller] -= 1
        served[each.caller] += each.cost
        spread = max(served[caller] for caller in both) - min(served[caller] for caller in both)
        assert spread <= QUANTUM + 2 * MAX_COST  # Shreedhar and Varghese, lemma 2


@given(TICKETS)
def test_the_room_never_holds_more_than_its_size(tickets: list[Ticket]) -> None:
    room: WaitingRoom[Ticket] = WaitingRoom(4)
    out = [pushed for each in tickets if (pushed := room.push(each)) is not None]
    assert len(room) == min(4, len(tickets))
    assert Counter(map(id, drain(room) + out)) == Counter(map(id, tickets))


@given(TICKETS, st.sampled_from(CALLERS), st.floats(min_value=QUANTUM, max_value=MAX_COST))
def test_what_is_predicted_to_be_ahead_is_what_is_served_before(
    tickets: list[Ticket], caller: str, cost: float
) -> None:
    queue: FairQueue[Ticket] = FairQueue()
    for each in tickets:
        queue.push(each)
    predicted = queue.ahead(caller, cost)
    mine = ticket(caller, cost=cost)
    queue.push(mine)
    served = 0.0
    while (each := queue.pop()) is not mine:
        served += each.cost
    rounding = (len(CALLERS) - 1) * (QUANTUM + MAX_COST)  # a round for each of the others
    assert abs(served - predicted) <= rounding + 1e-6


def test_interactive_goes_first_and_batch_has_every_tenth_turn() -> None:
    room: WaitingRoom[Ticket] = WaitingRoom(100)
    for priority in (Priority.BATCH, Priority.INTERACTIVE):
        for _ in range(30):
            room.push(ticket(priority=priority))
    turns = [each.priority for each in drain(room)]
    first = turns[: turns.index(Priority.INTERACTIVE, 25) + 1]
    assert first.count(Priority.BATCH) == len(first) // BATCH_TURN
    assert set(turns[-20:]) == {Priority.BATCH}


def test_an_interactive_photo_pushes_out_a_batch_one_and_never_the_other_way() -> None:
    room: WaitingRoom[Ticket] = WaitingRoom(2)
    batch, person = ticket("a", Priority.BATCH), ticket("b")
    assert room.push(batch) is None
    assert room.push(person) is None
    assert room.push(other := ticket("b")) is batch
    late = ticket("c", Priority.BATCH)
    assert room.push(late) is late
    assert drain(room) == [person, other]


def test_large_photos_cost_more_turns() -> None:
    queue: FairQueue[Ticket] = FairQueue()
    for _ in range(8):
        queue.push(ticket("large", cost=cost_of(3 * COST_BYTES)))
        queue.push(ticket("small", cost=cost_of(0)))
    first = [queue.pop().caller for _ in range(10)]
    assert first.count("small") == 8
    assert first.count("large") == 2
