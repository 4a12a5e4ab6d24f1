"""A budget of request units a second, as a token bucket that is charged after the fact.

A store learns what an operation cost from its reply (Cosmos DB: ``x-ms-request-charge``), so a charge may take
the bucket below zero; nobody who asks goes on before the debt is paid. A full bucket holds one second's units,
which is how Cosmos DB counts provisioned throughput.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.ports import Clock


class RequestUnitBudget:
    """Units are Cosmos DB request units (RU). ``rate_per_s`` None is no limit; charges are counted all the same."""

    def __init__(
        self,
        rate_per_s: float | None,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.charged = 0.0
        """Units since the start, for metrics."""
        self._rate = rate_per_s
        self._clock = clock
        self._sleep = sleep
        self._units = rate_per_s or 0.0
        self._at = clock.monotonic()
        self._turn = asyncio.Lock()

    def charge(self, units: float) -> None:
        """Take what an operation cost. Stores call it, for reads as well as writes: they share the container."""
        self._refill()
        self.charged += units
        self._units -= units

    async def ready(self) -> None:
        """Return once something is left, in the order of the calls."""
        if self._rate is None:
            return
        async with self._turn:
            self._refill()
            if self._units <= 0:
                # One unit more than the debt, so that a rounding error does not end just below zero.
                await self._sleep((1.0 - self._units) / self._rate)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        if self._rate is not None:
            self._units = min(self._rate, self._units + (now - self._at) * self._rate)
        self._at = now
