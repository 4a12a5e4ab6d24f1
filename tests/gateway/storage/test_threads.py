from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.storage.threads import Threads


async def test_a_call_gives_what_the_work_returns_or_raises():
    threads = Threads(2, "test")
    assert await threads.call(lambda: 6 * 7) == 42
    with pytest.raises(OSError, match="disk"):
        await threads.call(_broken_disk)
    assert await threads.call(threading.get_ident) != threading.get_ident()
    threads.close()
    await threads.ended()


def _broken_disk() -> None:
    raise OSError("disk")


async def test_one_thread_keeps_the_order():
    threads = Threads(1, "test")
    seen: list[int] = []
    await asyncio.gather(*(threads.call(lambda number=number: seen.append(number)) for number in range(100)))
    assert seen == list(range(100))
    threads.close()


async def test_who_stops_waiting_does_not_stop_the_work():
    threads = Threads(1, "test")
    begin, done = threading.Event(), threading.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def work() -> None:
        assert begin.wait(30)
        done.set()

    waiting = asyncio.ensure_future(threads.call(work))
    queued = asyncio.ensure_future(threads.call(done.is_set))
    await asyncio.sleep(0)
    waiting.cancel()
    begin.set()
    assert await queued
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not complaints
    threads.close()


async def test_what_was_called_before_the_end_is_done():
    threads = Threads(1, "test")
    begin, done = threading.Event(), threading.Event()
    first = threads.call(lambda: begin.wait(30))
    second = threads.call(done.set)
    threads.close()
    threads.close()
    with pytest.raises(RuntimeError):
        threads.call(done.set)
    begin.set()
    await threads.ended()
    assert done.is_set()
    await asyncio.gather(first, second)


def test_work_that_outlives_its_loop_harms_nobody():
    threads = Threads(1, "test")
    begin, done = threading.Event(), threading.Event()

    def work() -> None:
        assert begin.wait(30)
        done.set()

    async def leave() -> None:
        threads.call(work)

    asyncio.run(leave())
    begin.set()
    assert done.wait(30)
    assert asyncio.run(_answer(threads)) == 1
    threads.close()


async def _answer(threads: Threads) -> int:
    return await threads.call(lambda: 1)
