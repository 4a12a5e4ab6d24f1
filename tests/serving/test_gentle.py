"""Loading beside a release that answers: on a thread of low priority, one process after the other, and only then."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from serving.models.gentle import NICE, gently


def test_without_the_mark_it_loads_at_once_where_it_is(tmp_path: Path) -> None:
    ran: list[int] = []
    with gently(tmp_path / "mark") as run:
        run(lambda: ran.append(threading.get_ident()))
    assert ran == [threading.get_ident()]


def test_under_the_mark_only_its_own_thread_is_low(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    seen: list[int] = []
    with gently(mark) as run:
        run(lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    assert seen == [NICE]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_who_loads_under_the_same_mark_waits(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    loaded = threading.Event()

    def load() -> None:
        with gently(mark) as run:
            run(loaded.set)

    fd = os.open(mark, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    waiting = threading.Thread(target=load)
    waiting.start()
    assert not loaded.wait(0.2)
    os.close(fd)
    assert loaded.wait(30)
    waiting.join()


def test_what_loading_raises_is_raised(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()

    def load() -> None:
        raise ValueError("no such label")

    with gently(tmp_path / "mark") as run, pytest.raises(ValueError, match="no such label"):
        run(load)
