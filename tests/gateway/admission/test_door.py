"""Admission counts what is in work, lets wait what will be in time and refuses the rest."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from contract.priority import Priority
from gateway.admission import Admission, Bounds, Place
from gateway.clock import SystemClock
from gateway.errors import DeadlineExceeded, InvalidRequest, NotReady, Overloaded, PhotoRejected
from tests.support.virtual_time import LoopClock, in_virtual_time

BOUNDS = Bounds(
    max_inflight=8,
    min_inflight=2,
    max_waiting=3,
    max_photo_bytes=2048,
    max_held_bytes=5000,
    default_timeout_s=5,
    max_timeout_s=10,
    slo_s=0.25,
)


def admission(**changes: Any) -> Admission:
    return Admission(dataclasses.replace(BOUNDS, **changes), SystemClock())


def admit(
    door: Admission,
    caller: str = "a",
    priority: Priority = Priority.INTERACTIVE,
    deadline: float = float("inf"),
    size_bytes: int = 0,
) -> AbstractAsyncContextManager[Place]:
    return door.admit(caller=caller, priority=priority, deadline=deadline, size_bytes=size_bytes)


async def visit(door: Admission, *arguments: Any, seconds: float = 0.1, log: list[str] | None = None) -> None:
    """Come in, stay for so long, leave a note."""
    async with admit(door, *arguments) as place:
        await asyncio.sleep(seconds)
        place.model_answered()
    if log is not None:
        log.append(f"{arguments[0]} {asyncio.get_running_loop().time():.2f}")


async def learn(door: Admission, seconds: float) -> None:
    """So long does a photo take: enough of them for the door to be sure."""
    for _ in range(100):
        await visit(door, "a", seconds=seconds)


def opened(**changes: Any) -> Admission:
    door = Admission(dataclasses.replace(BOUNDS, **changes), LoopClock())
    door.start()
    return door


async def test_nothing_is_admitted_before_start_and_after_stop() -> None:
    door = admission()
    with pytest.raises(NotReady):
        await visit(door)
    door.start()
    async with admit(door):
        door.stop()
        with pytest.raises(NotReady):
            await visit(door)
    assert door.inflight == 0


async def test_a_place_is_given_back_when_the_work_fails() -> None:
    door = admission()
    door.start()
    with pytest.raises(ZeroDivisionError):
        async with admit(door):
            raise ZeroDivisionError
    assert door.inflight == 0


async def test_idle_waits_for_the_last_one() -> None:
    door = admission()
    door.start()
    async with admit(door):
        waiting = asyncio.create_task(door.idle())
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)


def test_idle_waits_for_those_who_wait_too_even_after_stop() -> None:
    async def scene() -> None:
        door, log = opened(), list[str]()
        visits = [asyncio.create_task(visit(door, name, log=log)) for name in "abc"]
        await asyncio.sleep(0)
        door.stop()
        assert (door.inflight, door.waiting) == (2, 1)
        await door.idle()
        await asyncio.gather(*visits)
        assert log == ["a 0.10", "b 0.10", "c 0.20"]

    in_virtual_time(scene())


def test_a_photo_whose_turn_comes_too_late_is_refused_at_once_with_when_to_come_back() -> None:
    async def scene() -> None:
        door = opened()
        await learn(door, 0.05)
        visits = [asyncio.create_task(visit(door, "a", seconds=0.05)) for _ in range(2)]
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded) as caught:
            await visit(door, "a", Priority.INTERACTIVE, began + 0.055)
        assert asyncio.get_running_loop().time() == began
        # One turn is 25 ms away and 5 ms of the deadline are left to wait.
        assert caught.value.retry_after_s == pytest.approx(0.02, abs=0.001)
        await asyncio.gather(*visits)

    in_virtual_time(scene())


def test_a_slow_first_photo_does_not_close_the_door() -> None:
    async def scene() -> None:
        door = opened(min_inflight=4, max_waiting=100)
        first = [asyncio.create_task(visit(door, "a", seconds=0.3)) for _ in range(4)]  # everything is cold
        await asyncio.sleep(0.29)
        await asyncio.gather(*first, *(visit(door, "a", seconds=0.03) for _ in range(4)))

    in_virtual_time(scene())


def test_interactive_photos_wait_no_longer_than_the_slo_allows_and_batch_until_its_deadline() -> None:
    async def scene() -> None:
        door = opened(max_waiting=100)
        await visit(door, "a", seconds=0.1)
        people = [asyncio.create_task(visit(door, "a", seconds=0.1)) for _ in range(10)]
        folder = [
            asyncio.create_task(visit(door, "a", Priority.BATCH, asyncio.get_running_loop().time() + 30, seconds=0.1))
            for _ in range(10)
        ]
        answers = await asyncio.gather(*people, return_exceptions=True)
        assert any(isinstance(answer, Overloaded) for answer in answers)
        assert await asyncio.gather(*folder) == [None] * 10

    in_virtual_time(scene())


def test_who_waits_is_dropped_once_the_deadline_cannot_be_met() -> None:
    async def scene() -> None:
        door = opened()
        await learn(door, 0.05)
        for_long = [asyncio.create_task(visit(door, "a", seconds=100)) for _ in range(2)]
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded):
            await visit(door, "b", Priority.BATCH, began + 1)
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.95, abs=1e-3)
        assert door.waiting == 0
        await asyncio.gather(*for_long)

    in_virtual_time(scene())


def test_a_caller_who_goes_while_waiting_takes_no_place_with_it() -> None:
    async def scene(just_given: bool) -> None:
        door = opened(min_inflight=1)
        async with admit(door):
            gone = asyncio.create_task(visit(door, "gone"))
            stays = asyncio.create_task(visit(door, "stays"))
            await asyncio.sleep(0)
            if not just_given:
                gone.cancel()
        gone.cancel()  # with the place given and the task not yet running
        await asyncio.gather(gone, stays, return_exceptions=True)
        assert gone.cancelled()
        assert stays.exception() is None
        assert (door.inflight, door.waiting) == (0, 0)
        await door.idle()

    for just_given in (True, False):
        in_virtual_time(scene(just_given))


def test_a_full_room_takes_the_caller_with_less_and_sends_off_the_one_with_most() -> None:
    async def scene() -> None:
        door = opened(min_inflight=1)
        log: list[str] = []
        far = 1000.0
        async with admit(door):
            greedy = [asyncio.create_task(visit(door, "greedy", Priority.BATCH, far, log=log)) for _ in range(4)]
            await asyncio.sleep(0)
            assert door.waiting == 3
            modest = asyncio.create_task(visit(door, "modest", Priority.BATCH, far, log=log))
            await asyncio.sleep(0)
            assert door.waiting == 3
        answers = await asyncio.gather(*greedy, modest, return_exceptions=True)
        assert [type(answer) for answer in answers] == [type(None), type(None), Overloaded, Overloaded, type(None)]
        assert [line.split()[0] for line in log] == ["greedy", "modest", "greedy"]

    in_virtual_time(scene())


def test_the_limit_follows_what_triton_does() -> None:
    async def scene() -> None:
        door = opened(max_waiting=1000)
        assert door.limit == BOUNDS.min_inflight
        folder = ("folder", Priority.BATCH, 1e6)
        await asyncio.gather(*(visit(door, *folder, seconds=0.02) for _ in range(200)))
        assert door.limit == BOUNDS.max_inflight
        await asyncio.gather(*(visit(door, *folder, seconds=0.2) for _ in range(200)))
        assert door.limit == BOUNDS.min_inflight

    in_virtual_time(scene())


def test_triton_refusing_halves_the_limit_and_a_full_journal_does_not() -> None:
    async def scene() -> None:
        door = opened(max_waiting=1000)
        await asyncio.gather(*(visit(door, "folder", Priority.BATCH, 1e6, seconds=0.02) for _ in range(200)))
        before = door.limit
        with pytest.raises(Overloaded):
            async with admit(door) as place:
                place.model_answered()
                raise Overloaded("the journal is full")
        assert door.limit == before
        with pytest.raises(Overloaded):
            async with admit(door):
                raise Overloaded("Triton's queue is full")
        assert door.limit == before // 2

    in_virtual_time(scene())


def test_what_is_in_triton_and_what_is_being_kept_are_counted_apart() -> None:
    async def scene() -> None:
        door = opened(min_inflight=1, max_inflight=2)
        async with admit(door) as first:
            first.model_answered()
            async with admit(door) as second:
                second.model_answered()
                with pytest.raises(Overloaded):  # no room for a third record that waits for the disk
                    await visit(door, "a", Priority.INTERACTIVE, 0.07)
        assert door.inflight == 0

    in_virtual_time(scene())


async def test_a_deadline_that_has_passed_is_said_as_such() -> None:
    door = admission()
    door.start()
    with pytest.raises(DeadlineExceeded):
        await visit(door, "a", Priority.INTERACTIVE, SystemClock().monotonic() - 1)


def test_sizes_and_timeouts_have_limits() -> None:
    door = admission()
    door.check_size(2048)
    with pytest.raises(PhotoRejected, match="MiB"):
        door.check_size(2049)
    assert (door.timeout_s(None), door.timeout_s(3), door.timeout_s(99)) == (5, 3, 10)
    for nonsense in (0, -1, float("nan")):
        with pytest.raises(InvalidRequest):
            door.timeout_s(nonsense)


async def test_bytes_in_memory_are_bounded_and_given_back() -> None:
    door = admission()
    with pytest.raises(NotReady), door.hold():
        pass
    door.start()
    with door.hold() as take, door.hold() as take_too:
        take(3000)
        take_too(2000)
        with pytest.raises(Overloaded):
            take(1)
    with door.hold() as take:
        take(5000)
