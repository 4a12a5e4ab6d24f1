"""The sync agent: keeps one Triton at what the rollout's state wants, and reports what is loaded there.

Two loops. One reads the state, sees what Triton has, and reports, so that it is never silent for long. The other
loads and unloads, one release at a time: files verified → loaded gently beside the champion → a photo answered →
reported. A challenger that cannot be loaded is refused in the state; the champion is tried again and again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

from contract.rollout import ReplicaReport, RolloutState, tag_of
from rollout.errors import NotAllowed, ReleaseBroken, ReleaseNotFound, RolloutError, StateConflict, StoreUnavailable
from rollout.live import LiveRepository
from rollout.ports import ModelStore, Versioned
from rollout.probe import PHOTOS, probe
from rollout.transitions import refused
from rollout.triton import TritonAway, TritonControl, TritonRefused

log = logging.getLogger(__name__)

REPORT_EVERY_S: Final = 3.0
"""A replica that is silent for five times as long counts as gone."""

TRY_AGAIN_S: Final = 10.0
"""Before a champion that could not be loaded is tried again."""


@dataclass(frozen=True, slots=True)
class AgentTimes:
    """Seconds: between looks at the state, until a load is given up, and before what is unwanted is unloaded."""

    poll_s: float = 0.5
    load_s: float = 180.0
    grace_s: float = 10.0
    """Every gateway reads the state much more often, and sends nothing more to a release that it does not name."""


def nobody_died() -> Collection[str]:
    """Where Triton's processes cannot be seen."""
    return ()


def _let_be(model: str) -> None:
    """Where Triton's processes cannot be ended."""


class Agent:
    """Serves one Triton. ``prepare`` before Triton starts, then ``run`` until it is cancelled, then ``close``."""

    def __init__(
        self, store: ModelStore, triton: TritonControl, live: LiveRepository,
        models_of: Callable[[Path, str], Sequence[str]], *, replica: str, times: AgentTimes | None = None,
        dead_models: Callable[[], Collection[str]] = nobody_died, end_model: Callable[[str], None] = _let_be,
    ) -> None:  # fmt: skip
        """``models_of``: the models to load of the release with a tag in a repository, ``animals`` last.
        ``dead_models``: models that lost a process, ``end_model``: ends the processes of one that hangs, where this
        machine's own Triton is served."""
        self._store = store
        self._triton = triton
        self._live = live
        self._models_of = models_of
        self._replica = replica
        self._times = times or AgentTimes()
        self._dead_models = dead_models
        self._end_model = end_model
        self._read: Versioned | None = None
        self._loaded: dict[str, tuple[str, ...]] = {}
        self._failed: dict[str, str] = {}
        self._retry_at: dict[str, float] = {}
        self._unwanted_since: dict[str, float] = {}
        self._states: dict[str, str] = {}
        self._reported: ReplicaReport | None = None
        self._reported_at = 0.0
        self._said: dict[str, str] = {}

    @property
    def champion_tag(self) -> str:
        """Tag of the release that answers by the newest state that was read; '' before the first."""
        return tag_of(self._read.state.champion) if self._read else ""

    @property
    def loaded(self) -> tuple[str, ...]:
        """Releases that are loaded, warm and checked."""
        return tuple(self._loaded)

    async def prepare(self) -> None:
        """Have the champion's files in place, before Triton starts and loads them.

        Raises RolloutError if there is none in the store or it is broken."""
        self._read = await self._store.state()
        if self._read is None:
            raise NotAllowed("No release answers yet: run `bestiary releases publish FOLDER`.")
        state = self._read.state
        await asyncio.to_thread(self._live.sweep, state.wanted)
        await self._live.add(self._store, state.champion)

    async def run(self) -> None:
        """Follow the state until cancelled."""
        worker = asyncio.create_task(self._work(), name="release-loader")
        try:
            while True:
                await self._safely(self._look)
                await asyncio.sleep(self._times.poll_s)
        finally:
            worker.cancel()
            await asyncio.wait({worker})

    async def close(self) -> None:
        """Take the report back."""
        try:
            async with asyncio.timeout(2.0):
                await self._store.drop_report("replicas", self._replica)
        except (RolloutError, TimeoutError):
            log.warning("the report of replica %s could not be taken back", self._replica)

    async def _safely(self, step: Callable[[], Awaitable[None]]) -> None:
        """What a step meets does not end the agent: it is said once, and the next step tries again."""
        try:
            await step()
            self._said.pop(step.__name__, None)
        except (RolloutError, TritonAway, TritonRefused, OSError) as error:
            if str(error) != self._said.get(step.__name__):
                log.warning("%s", error)
                self._said[step.__name__] = str(error)
        except Exception:
            log.exception("a step of the sync agent failed; what is loaded stays")

    async def _look(self) -> None:
        """Read the state, see what Triton still has, report."""
        try:
            self._read = await self._store.state() or self._read
        finally:
            try:
                await self._see()
            finally:
                await self._report()

    async def _see(self) -> None:
        """Forget what Triton has no longer, and what has lost a process and is not the champion."""
        try:
            self._states = await self._triton.states()
        except TritonAway:
            self._states = {}
            raise
        finally:
            dead = set(self._dead_models())
            for identity, models in tuple(self._loaded.items()):
                if not all(self._states.get(model) == "READY" for model in models):
                    log.warning("Triton has release %s no longer", identity)
                    del self._loaded[identity]
                elif dead & set(models) and tag_of(identity) != self.champion_tag:
                    del self._loaded[identity]
                    self._failed[identity] = "A process of it died while it was loaded."
                    await self._refuse(identity)

    async def _report(self) -> None:
        state = self._read.state if self._read else None
        now = monotonic()
        report = ReplicaReport(
            replica=self._replica,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            generation=state.generation if state else 0,
            loaded=self.loaded,
            failed=dict(self._failed),
        )
        before = self._reported
        same = before is not None and before.model_copy(update={"at": report.at}) == report
        if same and now - self._reported_at < REPORT_EVERY_S:
            return
        await self._store.report("replicas", self._replica, report.model_dump_json())
        self._reported, self._reported_at = report, now

    async def _work(self) -> None:
        while True:
            await self._safely(self._turn)
            await asyncio.sleep(self._times.poll_s)

    async def _turn(self) -> None:
        """Load the first release that is wanted and missing, else unload what nobody wants any more."""
        if self._read is None or not self._states:
            return
        state = self._read.state
        self._failed = {one: why for one, why in self._failed.items() if one in state.wanted}
        for identity in state.wanted:
            if identity not in self._loaded and self._may_try(identity, state):
                await self._load(identity, state)
                return
        await self._tidy(state)

    def _may_try(self, identity: str, state: RolloutState) -> bool:
        if identity not in self._failed:
            return True
        challenger = state.challenger.release if state.challenger else None
        return identity != challenger and monotonic() >= self._retry_at.get(identity, 0.0)

    async def _load(self, identity: str, state: RolloutState) -> None:
        try:
            await self._live.add(self._store, identity)
            models = await asyncio.to_thread(self._models_of, self._live.folder, tag_of(identity))
            fresh = await self._load_models(identity, models)
            await probe(self._triton, self._live, identity, PHOTOS if fresh else 1)
        except (ReleaseBroken, ReleaseNotFound) as error:
            await self._fail(identity, str(error))
            return
        except (StoreUnavailable, OSError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise  # the store is away: the next turn tries again
            await self._fail(identity, "There is no room for it on this machine's disk.")
            return
        self._loaded[identity] = tuple(models)
        self._failed.pop(identity, None)
        log.info("release %s is loaded, warm and checked", identity)
        await self._report()

    async def _load_models(self, identity: str, models: Sequence[str]) -> bool:
        """Load what is not ready yet; whether there was anything. Raises ReleaseBroken, TritonAway."""
        states = await self._triton.states()
        missing = [model for model in models if states.get(model) != "READY"]
        if not missing:
            return False
        log.info("loading release %s", identity)
        self._live.calm(identity, gently=True)
        try:
            for model in missing:
                await self._load_model(model)
        finally:
            self._live.calm(identity, gently=False)
        return True

    async def _load_model(self, model: str) -> None:
        began = monotonic()
        try:
            await self._triton.load(model, self._times.load_s)
        except TritonRefused as error:
            raise ReleaseBroken(f"Triton cannot load {model}: {error}") from error
        except TritonAway:
            if monotonic() - began < self._times.load_s:
                raise  # it went away, or is starting again
            self._end_model(model)  # a load that hangs can be ended no other way
            raise ReleaseBroken(f"{model} was not loaded within {self._times.load_s:g} s.") from None

    async def _fail(self, identity: str, reason: str) -> None:
        log.error("release %s cannot be loaded: %s", identity, reason)
        self._failed[identity] = reason
        self._retry_at[identity] = monotonic() + TRY_AGAIN_S
        await self._report()
        await self._refuse(identity)
        await self._unload(identity)

    async def _refuse(self, identity: str) -> None:
        """Take a challenger out of the state; a champion or the one before is not this replica's to judge."""
        while self._read is not None:
            state = self._read.state
            if state.challenger is None or state.challenger.release != identity:
                return
            reason = f"On {self._replica}: {self._failed[identity]}"
            after = refused(state, identity, by=f"replica {self._replica}", at=datetime.now(UTC), reason=reason)
            try:
                self._read = Versioned(after, await self._store.write_state(after, self._read.version))
                return
            except StateConflict:
                self._read = await self._store.state() or self._read

    async def _tidy(self, state: RolloutState) -> None:
        """Unload and remove releases that are wanted no longer, after a grace."""
        now = monotonic()
        here = {entry.name.partition(".")[2] for entry in self._live.folder.iterdir() if entry.is_dir()}
        wanted = {tag_of(identity) for identity in state.wanted}
        self._unwanted_since = {tag: self._unwanted_since.get(tag, now) for tag in here - wanted}
        for tag, since in self._unwanted_since.items():
            if now - since >= self._times.grace_s:
                identity = next((one for one in self._loaded if tag_of(one) == tag), f"@{tag}")
                self._loaded.pop(identity, None)
                if await self._unload(identity):
                    await asyncio.to_thread(self._live.remove, identity)
                    log.info("release %s is unloaded and removed", identity)

    async def _unload(self, identity: str) -> bool:
        """Unload all models of a release, ``animals`` first; whether none of them is left in Triton."""
        states = await self._triton.states()
        own = sorted(name for name in states if name.endswith(f".{tag_of(identity)}"))
        left = [name for name in own if states[name] in ("READY", "LOADING", "UNLOADING")]
        for name in left:
            if states[name] == "READY":
                await self._triton.unload(name)
        return not left
