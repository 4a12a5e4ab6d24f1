"""The gateway's models by its settings: one fixed release, or whichever the rollout says."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable

from contract.slo import read_slo
from gateway.metrics import Metrics
from gateway.ports import Clock, Releases, TensorServer
from gateway.rollout.follower import Follower
from gateway.rollout.lane import FixedRelease, fixed_lane
from gateway.rollout.plan import Plan
from gateway.rollout.router import Router
from gateway.rollout.shadow import Shadow
from gateway.settings import Settings
from rollout.errors import RolloutError
from rollout.store import open_model_store


class Models:
    """The router, who says what it does, and what goes on beside it."""

    def __init__(
        self, settings: Settings, models: TensorServer, clock: Clock, metrics: Metrics, busy: Callable[[], bool]
    ) -> None:
        """``busy`` says whether callers wait for the model. Blocks; raises OSError, ValueError."""
        slo = read_slo(settings.slo_file)
        self._shadow = Shadow(models, clock, metrics, busy)
        self.router = Router(models, clock, self._shadow, metrics, slo.latency_s)
        self._follower: Follower | None = None
        if not settings.model_store:
            lane = fixed_lane(settings.release_dir)
            self.router.plan = Plan(lane)
            self.releases: Releases = FixedRelease(lane)
            return
        try:
            self._store = open_model_store(settings.model_store)
        except RolloutError as error:
            raise ValueError(f"BESTIARY_MODEL_STORE: {error}") from error
        self.releases = self._follower = Follower(
            self._store, self.router, models,
            name=gateway_name(settings), poll_s=settings.model_poll_s, slo=slo, clock=clock, metrics=metrics,
        )  # fmt: skip

    async def start(self) -> None:
        """Follow the rollout, if there is one."""
        if self._follower is not None:
            await self._follower.start()

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        if self._follower is not None:
            self._follower.refresh()

    async def close(self) -> None:
        """Drop copies that are on their way and follow no more."""
        await self._shadow.close()
        if self._follower is not None:
            await self._follower.close()
            await self._store.close()


def gateway_name(settings: Settings) -> str:
    """What this process signs its reports with: the same after a restart, so that a dead one leaves nothing behind."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip(".-") or "gateway"
    name = settings.gateway_name or f"{host[:80]}-{settings.http_port or os.getpid()}"
    return name if settings.worker is None else f"{name}-{settings.worker}"
