"""Tells the model store what this gateway does and what it saw: the ``GatewayReport``."""

from __future__ import annotations

from typing import Final

from contract.rollout import GatewayReport
from gateway.ports import Clock
from gateway.rollout.plan import Plan
from gateway.rollout.watch import LOAD, Watch
from rollout.ports import ModelStore

REPORT_EVERY_S: Final = 2.0
"""At most so often, where something has changed."""

HEARTBEAT_S: Final = 5.0
"""At least so often: who reports no longer is gone."""


class Reporter:
    """Writes one gateway's report, not with every photo."""

    def __init__(self, store: ModelStore, name: str, clock: Clock) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._watch: Watch | None = None
        self._last: GatewayReport | None = None
        self._last_at = 0.0

    async def report(self, generation: int, plan: Plan | None) -> None:
        """Write the report if it is time. Raises StoreUnavailable."""
        now = self._clock.monotonic()
        since_s = now - self._last_at
        moved_on = self._last is None or self._last.generation != generation
        if not moved_on and since_s < REPORT_EVERY_S:
            return
        made = self._made(generation, plan)
        if self._last is not None and since_s < HEARTBEAT_S and made == self._last.model_copy(update={"at": made.at}):
            return
        await self._store.report("gateways", self._name, made.model_dump_json())
        self._last, self._last_at = made, now

    async def withdraw(self) -> None:
        """This gateway is gone. Raises StoreUnavailable."""
        if self._last is not None:
            await self._store.drop_report("gateways", self._name)

    def _made(self, generation: int, plan: Plan | None) -> GatewayReport:
        at = self._clock.now().isoformat(timespec="milliseconds")
        if plan is not None and plan.watch is not None and plan.watch.key.stage != LOAD:
            self._watch = plan.watch
        watch = self._watch  # of a stay that is over, too: who was refused for it is looked at afterwards
        if watch is None:
            return GatewayReport(gateway=self._name, at=at, generation=generation, release="", stage="")
        return GatewayReport(
            gateway=self._name,
            at=at,
            generation=generation,
            release=watch.key.release,
            stage=watch.key.stage,
            tally=watch.tally(),
            examples=tuple(watch.examples),
        )
