"""A rollout as one gateway sees it: a model store in a directory, a fake Triton, the gateway's router and follower."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.manifest import MANIFEST_NAME
from contract.options import DEFAULTS, Options
from contract.priority import Priority
from contract.release import Release
from contract.rollout import (
    Bounds,
    Challenger,
    GatewayReport,
    Probation,
    ReplicaReport,
    RolloutState,
    Stage,
    model_name,
)
from contract.slo import Slo
from contract.tensors import ANIMALS
from gateway.clock import SystemClock
from gateway.metrics import Metrics
from gateway.ports import Inference
from gateway.rollout.follower import Follower
from gateway.rollout.router import Router
from gateway.rollout.shadow import Shadow
from gateway.triton.client import TritonClient
from rollout.store.directory import DirectoryModelStore
from tests.support.gateway import TestClock
from tests.support.stack import ROOT
from tests.support.triton import FakeModel, FakeTriton

SLO = Slo(latency_s=0.25, latency_share=0.99, availability=0.999)
PHOTO = b"a photo"


def write_release(folder: Path, name: str, bounds: Bounds) -> Release:
    """A release in ``folder`` that has all of a real one but the networks; its manifest."""
    taxonomy = (ROOT / "contract" / "taxonomy.csv").read_bytes()
    shipped = json.loads((ROOT / "model_repository" / "animals" / "1" / MANIFEST_NAME).read_text())
    shipped |= {
        "name": name,
        "bounds": bounds.model_dump(),
        "files": {f"{ANIMALS}/1/taxonomy.csv": hashlib.sha256(taxonomy).hexdigest()},
    }
    release = Release.model_validate(shipped)
    version = folder / ANIMALS / "1"
    version.mkdir(parents=True)
    (version / "taxonomy.csv").write_bytes(taxonomy)
    (version / MANIFEST_NAME).write_text(release.to_json())
    return release


@dataclass
class Rollout:
    """What a test may look at or do. ``clock`` is the follower's; photos go by the real one."""

    root: Path
    store: DirectoryModelStore
    triton: FakeTriton
    client: TritonClient
    router: Router
    follower: Follower
    shadow: Shadow
    metrics: Metrics
    clock: TestClock
    busy: bool = False
    state: RolloutState | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def publish(self, name: str, *, bounds: Bounds = Bounds(), load: bool = True, **model: Any) -> str:  # noqa: B008
        """Keep a release and load it in Triton as :class:`FakeModel` with ``model``; its identity."""
        folder = self.root / f"{name}-{next(self._numbers)}"
        await asyncio.to_thread(write_release, folder, name, bounds)
        identity = await self.store.put(folder)
        if load:
            self.load(identity, **model)
        return identity

    def load(self, identity: str, **model: Any) -> FakeModel:
        """Load a release in Triton."""
        made = self.triton.models[model_name(ANIMALS, identity)] = FakeModel(release=identity, **model)
        return made

    def model(self, identity: str) -> FakeModel:
        """A release's model in Triton."""
        return self.triton.models[model_name(ANIMALS, identity)]

    async def write(self, champion: str, **rest: Any) -> None:
        """Make this the rollout's state."""
        before = await self.store.state()
        generation = before.state.generation + 1 if before else 1
        self.state = RolloutState(champion=champion, generation=generation, **rest)
        await self.store.write_state(self.state, before.version if before else None)

    async def newest(self) -> RolloutState:
        """The state in the store."""
        read = await self.store.state()
        assert read is not None
        return read.state

    def challenger(self, release: str, stage: Stage, share: float = 1.0) -> Challenger:
        """One that entered its stage now."""
        return Challenger(release=release, stage=stage, share=share, since=self.clock.now().isoformat())

    def probation(self, previous: str, seconds: float = 600) -> Probation:
        """One that lasts some time yet, by the follower's clock."""
        ends = TestClock()
        ends.moment = self.clock.moment
        ends.pass_s(seconds)
        return Probation(previous=previous, until=ends.now().isoformat())

    async def replica(self, name: str, *loaded: str) -> None:
        """What a model server's agent reports."""
        report = ReplicaReport(replica=name, at=self.clock.now().isoformat(), generation=1, loaded=loaded)
        await self.store.report("replicas", name, report.model_dump_json())

    async def report(self) -> GatewayReport:
        """What the gateway reported last."""
        return GatewayReport.model_validate_json((await self.store.reports("gateways"))["gateway-1"])

    async def ask(
        self, caller: str = "", *, timeout_s: float = 10.0, options: Options = DEFAULTS,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Inference:  # fmt: skip
        """Ask about a photo."""
        deadline = time.monotonic() + timeout_s
        return await self.router.infer(PHOTO, deadline=deadline, options=options, priority=priority, caller=caller)

    async def answers(self, photos: int) -> list[str]:
        """Releases that answer so many photos of different callers."""
        asked = (self.ask(f"caller {number}") for number in range(photos))
        return [one.answer.release for one in await asyncio.gather(*asked)]

    async def copies_done(self) -> None:
        """Return when no copy is on its way."""
        await self.shadow.idle()


@asynccontextmanager
async def running_rollout(root: Path) -> AsyncIterator[Rollout]:
    """All parts, the follower's steps taken by hand."""
    store = DirectoryModelStore(root / "models")
    clock, system, metrics = TestClock(), SystemClock(), Metrics()
    async with FakeTriton() as triton:
        client = TritonClient(triton.address)
        shadow = Shadow(client, system, metrics, lambda: made.busy)
        router = Router(client, system, shadow, metrics, SLO.latency_s)
        follower = Follower(store, router, client, name="gateway-1", poll_s=0.05, slo=SLO, clock=clock, metrics=metrics)
        made = Rollout(root, store, triton, client, router, follower, shadow, metrics, clock)
        try:
            yield made
        finally:
            await shadow.close()
            await follower.close()
            await client.close()
