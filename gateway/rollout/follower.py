"""Follows the rollout's state in the model store and puts it in force in this process.

Each step: read the state, prepare the lanes of its releases, put the plan in force as far as the model servers have
loaded it, judge what is under watch, report. A store that is away changes nothing of what is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from contract.rollout import Challenger, ReplicaReport, RolloutState, Stage, Tally
from contract.slo import Slo
from gateway.audit import audit
from gateway.metrics import Metrics
from gateway.ports import Clock, ReleaseStatus, TensorServer
from gateway.rollout.judge import Breach, judge
from gateway.rollout.lane import Lane, stored_lane
from gateway.rollout.plan import Plan
from gateway.rollout.reporter import Reporter
from gateway.rollout.router import Router
from gateway.rollout.watch import CANARY, LOAD, PROBATION, Key, Pace, Watch
from rollout.errors import RolloutError, StateConflict
from rollout.ports import ModelStore, Versioned
from rollout.replicas import live, loaded_by_all
from rollout.transitions import refused

STORE_TIMEOUT_S: Final = 10.0
"""How long one step may wait for the store."""

LOOK_AGAIN_S: Final = 5.0
"""How often the replicas of a challenger that is in use are counted anew."""

log = logging.getLogger(__name__)


class Follower:
    """Keeps ``router.plan`` as the store says. ``start`` it, ``close`` it; or call :meth:`step`."""

    def __init__(
        self, store: ModelStore, router: Router, models: TensorServer, *,
        name: str, poll_s: float, slo: Slo, clock: Clock, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._store = store
        self._router = router
        self._models = models
        self._name = name
        self._poll_s = poll_s
        self._slo = slo
        self._clock = clock
        self._metrics = metrics
        self._reporter = Reporter(store, name, clock)
        self._read: Versioned | None = None
        self._read_at = clock.monotonic()
        self._lanes: dict[str, Lane] = {}
        self._paces: dict[str, Pace] = {}
        self._usable: dict[str, float] = {}
        self._watches: dict[Key, Watch] = {}
        self._condemned: dict[Key, Breach] = {}
        self._generation = 0
        self._trouble = "the model store was not read yet"
        self._said: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take one step, whatever comes of it, then follow."""
        await self._safe_step()
        self._task = asyncio.create_task(self._follow(), name="follower")

    async def close(self) -> None:
        """Follow no more, and take the report back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with contextlib.suppress(RolloutError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._reporter.withdraw()

    def check(self) -> str:
        """See ``gateway.ports.Releases``."""
        return "ok" if self._router.plan is not None else self._trouble

    def status(self) -> ReleaseStatus:
        """See ``gateway.ports.Releases``."""
        plan = self._router.plan
        if plan is None:
            return ReleaseStatus(champion="")
        watch = plan.watch
        challenger = "" if watch is None or watch.key.stage == PROBATION else watch.key.release
        return ReleaseStatus(
            champion=plan.champion.identity,
            challenger=challenger,
            stage="" if watch is None else watch.key.stage,
            share=plan.share,
            previous=plan.previous.identity if plan.previous else "",
            generation=self._generation,
            tally=Tally() if watch is None else watch.tally().model_copy(update={"pairs": {}}),
        )

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        self._metrics.state_age.set(self._clock.monotonic() - self._read_at)

    async def step(self) -> None:
        """Once all of it. Raises RolloutError, TimeoutError if the store cannot be used; what is in force stays."""
        async with asyncio.timeout(STORE_TIMEOUT_S):
            if self._judge() and self._read is not None:
                await self._put_in_force(self._read.state)
            read = await self._store.state()
            self._read_at = self._clock.monotonic()
            if read is None:
                self._trouble = "no release has been published: run `bestiary releases publish`"
                return
            self._read = await self._withdrawn(read)
            await self._put_in_force(self._read.state)
            await self._reporter.report(self._generation, self._router.plan)
        self._said.pop("store", None)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._safe_step()

    async def _safe_step(self) -> None:
        """A follower that dies would never roll back again, so that it survives whatever a step meets."""
        try:
            await self.step()
        except (RolloutError, TimeoutError) as error:
            self._say("store", f"the model store cannot be used: {error or 'it does not answer'}")
            if self._read is None:
                self._trouble = "the model store cannot be used: see the gateway's log"
        except Exception:
            log.exception("a step of the rollout failed; what is in force stays")

    async def _put_in_force(self, state: RolloutState) -> None:
        await self._prepare(state)
        before = self._router.plan
        champion_id = self._champion_of(state)
        champion = self._lanes.get(champion_id)
        if champion is None or not await self._may_answer(champion, before):
            if before is None:
                loaded = "cannot be read: see the gateway's log" if champion is None else "is not loaded everywhere yet"
                self._trouble = f"release {champion_id} {loaded}"
                return
            champion = before.champion
        plan = await self._plan(state, champion, before)
        if plan != before:
            self._router.plan = plan
            self._announce(before, plan)
        if champion.identity == champion_id:
            self._generation = state.generation

    async def _prepare(self, state: RolloutState) -> None:
        """Lanes for all releases that the state names; those that nobody needs any more are forgotten."""
        plan = self._router.plan
        needed = {*state.wanted, *((lane.identity for lane in (plan.champion, plan.previous) if lane) if plan else ())}
        self._lanes = {identity: lane for identity, lane in self._lanes.items() if identity in needed}
        self._paces = {identity: pace for identity, pace in self._paces.items() if identity in needed}
        self._usable = {identity: at for identity, at in self._usable.items() if identity in needed}
        stays = set(_stays(state))
        self._watches = {key: watch for key, watch in self._watches.items() if key in stays}
        for identity in state.wanted:
            if identity not in self._lanes:
                try:
                    self._lanes[identity] = await stored_lane(self._store, identity)
                except RolloutError as error:
                    self._say(identity, f"release {identity} cannot be read: {error}")

    def _champion_of(self, state: RolloutState) -> str:
        """Who has to answer; a champion on probation that broke its bounds does not, whether the store knows or not."""
        broken = state.probation is not None and _probation_stay(state) in self._condemned
        return state.probation.previous if state.probation is not None and broken else state.champion

    async def _may_answer(self, lane: Lane, plan: Plan | None) -> bool:
        """Whether photos may go to a champion: it does already, it did before and is there, or every replica has it."""
        if plan is not None and lane is plan.champion:
            return True
        if plan is not None and lane is plan.previous and await self._models.ready(lane.model):
            return True
        return await self._loaded(lane)

    async def _loaded(self, lane: Lane) -> bool:
        """Whether every live replica has it; where none reports, whether our Triton has."""
        replicas = live(ReplicaReport, await self._store.reports("replicas"), self._clock.now())
        return (not replicas or loaded_by_all(lane.identity, replicas)) and await self._models.ready(lane.model)

    async def _still_loaded(self, lane: Lane) -> bool:
        """As :meth:`_loaded`, not asked again for some seconds after a yes."""
        now = self._clock.monotonic()
        if now - self._usable.get(lane.identity, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return True
        if await self._loaded(lane):
            self._usable[lane.identity] = now
            return True
        self._usable.pop(lane.identity, None)
        return False

    async def _plan(self, state: RolloutState, champion: Lane, before: Plan | None) -> Plan:
        previous = self._lanes.get(state.previous or "")
        if previous is None or previous is champion:
            known = () if before is None else (before.champion, before.previous)
            previous = next((lane for lane in known if lane is not None and lane is not champion), None)
        if champion.identity != state.champion:
            return Plan(champion, None if _probation_stay(state) in self._condemned else previous)
        probation, candidate = state.probation, state.challenger
        stay = _probation_stay(state)
        if probation and stay and datetime.fromisoformat(probation.until) > self._clock.now():
            stand_in = self._lanes.get(probation.previous, previous)
            return Plan(champion, stand_in, watch=self._watch(stay, self._pace(probation.previous)))
        if candidate is None or _challenger_stay(candidate) in self._condemned:
            return Plan(champion, previous)
        lane, stay, pace = (
            self._lanes.get(candidate.release),
            _challenger_stay(candidate),
            self._pace(champion.identity),
        )
        if lane is None or candidate.stage is Stage.LOAD or not await self._still_loaded(lane):
            return Plan(champion, previous, watch=self._watch(Key(stay.release, LOAD, stay.since), pace), pace=pace)
        other = pace if candidate.stage is Stage.CANARY else Pace(self._slo.latency_s)
        return Plan(champion, previous, lane, candidate.share, self._watch(stay, other), pace)

    def _watch(self, key: Key, other: Pace) -> Watch:
        """The watch over this stay, made at its beginning."""
        watch = self._watches.get(key)
        if watch is None:
            own = Pace(self._slo.latency_s)
            if key.stage in (CANARY, PROBATION):
                self._paces[key.release] = own
            watch = self._watches[key] = Watch(key, own, other)
        return watch

    def _pace(self, release: str) -> Pace:
        return self._paces.setdefault(release, Pace(self._slo.latency_s))

    def _judge(self) -> bool:
        """Whether what is under watch has broken a bound. It gets no photo any more, whether the store can be told or
        not."""
        plan = self._router.plan
        if plan is None or plan.watch is None or plan.watch.key in self._condemned:
            return False
        watch = plan.watch
        breach = judge(watch, (plan.challenger or plan.champion).bounds, self._slo)
        if breach is None:
            return False
        self._condemned[watch.key] = breach
        self._metrics.breaches.labels(breach.bound).inc()
        log.error("release %s broke a bound in %s: %s", watch.key.release, watch.key.stage, breach.reason)
        return True

    async def _withdrawn(self, read: Versioned) -> Versioned:
        """The state without what broke its bounds here, written if need be; the first gateway to say so is enough."""
        state = read.state
        stays = set(_stays(state))
        self._condemned = {key: breach for key, breach in self._condemned.items() if key in stays}
        for key, breach in self._condemned.items():
            by = f"gateway {self._name}"
            state = refused(state, key.release, by=by, reason=f"In {key.stage}, {breach.reason}.", at=self._clock.now())
            try:
                version = await self._store.write_state(state, read.version)
            except StateConflict:
                return read  # somebody else acted: the next step sees what is left to do
            audit(by, "release.refuse", key.release, outcome=breach.bound)
            read = Versioned(state, version)
        return read

    def _announce(self, before: Plan | None, plan: Plan) -> None:
        """Say who answers now, where that has changed."""
        if before is None or before.champion is not plan.champion:
            log.info("release %s answers", plan.champion.identity)
        self._metrics.release.clear()
        roles = {"champion": plan.champion, "challenger": plan.challenger, "previous": plan.previous}
        for role, lane in roles.items():
            if lane is not None:
                self._metrics.release.labels(lane.identity, role).set(1)

    def _say(self, what: str, trouble: str) -> None:
        """Once, not with every step."""
        if trouble != self._said.get(what):
            log.warning("%s", trouble)
            self._said[what] = trouble


def _challenger_stay(challenger: Challenger) -> Key:
    return Key(challenger.release, challenger.stage.value, challenger.since)


def _probation_stay(state: RolloutState) -> Key | None:
    return Key(state.champion, PROBATION, state.probation.until) if state.probation else None


def _stays(state: RolloutState) -> Iterator[Key]:
    """What a gateway may have under watch by this state."""
    if state.challenger is not None:
        stay = _challenger_stay(state.challenger)
        yield from (stay, Key(stay.release, LOAD, stay.since))
    probation = _probation_stay(state)
    if probation is not None:
        yield probation
