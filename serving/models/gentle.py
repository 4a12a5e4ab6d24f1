"""Loading beside a release that answers photos, without getting into its way."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NICE: Final = 19
"""Niceness of a thread that loads: it gets 15 parts of processor time where others get 1,024 (sched(7)), and so still
comes to an end on a machine that is never idle, as under SCHED_IDLE it might not."""


@contextmanager
def gently(mark: Path) -> Iterator[Callable[[Callable[[], None]], None]]:
    """``run``, which does some work at once; or, where the file ``mark`` is, on a thread of low priority and after all
    others who do such work under the same mark.

    Only a thread, because a process without privileges can lower its priority and not raise it again. What the work
    raises, ``run`` raises.
    """
    try:
        fd = os.open(mark, os.O_RDONLY)
    except FileNotFoundError:
        yield _at_once
        return
    try:
        yield lambda work: _behind(fd, work)
    finally:
        os.close(fd)


def _at_once(work: Callable[[], None]) -> None:
    work()


def _behind(fd: int, work: Callable[[], None]) -> None:
    def low() -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        fcntl.flock(fd, fcntl.LOCK_EX)
        work()

    with ThreadPoolExecutor(1, thread_name_prefix="load") as thread:
        thread.submit(low).result()
