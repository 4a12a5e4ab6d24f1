"""Admission counts what is in work and refuses what does not fit."""

from __future__ import annotations

import asyncio

import pytest

from gateway.admission import Admission
from gateway.errors import InvalidRequest, NotReady, Overloaded, PhotoRejected


def admission() -> Admission:
    return Admission(max_inflight=2, max_photo_bytes=2048, max_held_bytes=5000, default_timeout_s=5, max_timeout_s=10)


async def test_nothing_is_admitted_before_start_and_after_stop() -> None:
    door = admission()
    with pytest.raises(NotReady), door.admit():
        pass
    door.start()
    with door.admit():
        door.stop()
        with pytest.raises(NotReady), door.admit():
            pass
    assert door.inflight == 0


async def test_one_more_than_fits_is_told_when_to_try_again() -> None:
    door = admission()
    door.start()
    with door.admit(), door.admit():
        with pytest.raises(Overloaded) as caught, door.admit():
            pass
        assert caught.value.retry_after_s
    with door.admit():
        pass


async def test_a_place_is_given_back_when_the_work_fails() -> None:
    door = admission()
    door.start()
    with pytest.raises(ZeroDivisionError), door.admit():
        raise ZeroDivisionError
    assert door.inflight == 0


async def test_idle_waits_for_the_last_one() -> None:
    door = admission()
    door.start()
    with door.admit():
        waiting = asyncio.create_task(door.idle())
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)


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
