"""Waiting for what happens beside the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Waits until a condition holds; fails after ten seconds."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        ends = time.monotonic() + 10
        while not await condition():
            assert time.monotonic() < ends, "it never happened"
            await asyncio.sleep(0.01)

    return wait
