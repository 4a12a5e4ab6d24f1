"""Threads for calls that block, for less than ``run_in_executor`` takes.

Every photo makes three such calls: its bytes, its name, its record. For each an executor makes two futures, a lock and
a condition, and a shield one future more, at the cost of the event loop (decision 0028).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]

_END: Final = None


class Threads:
    """So many threads that take calls in order. Daemons: a disk that hangs does not keep the process from ending."""

    def __init__(self, number: int, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{one}", daemon=True) for one in range(number)]
        self._begun = False
        self._closed = False

    def call(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """What ``work`` returns or raises, for the running loop. Who stops waiting does not stop the work.

        Raises RuntimeError after :meth:`close`.
        """
        if self._closed:
            raise RuntimeError("These threads were told to end.")
        if not self._begun:
            self._begun = True
            for thread in self._threads:
                thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._calls.put((loop, future, work))
        return future

    def close(self) -> None:
        """Take no more calls, and let the threads end after those that were made. Idempotent."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._calls.put(_END)

    async def ended(self) -> None:
        """After :meth:`close`: return when all calls are done."""
        if self._begun:
            for thread in self._threads:
                await asyncio.to_thread(thread.join)

    def _run(self) -> None:
        while (call := self._calls.get()) is not _END:
            loop, future, work = call
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001  # raised where the call is awaited
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, future, result, error)
            del call, loop, future, work, result, error  # held by nobody while the thread waits


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return  # its caller left
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
