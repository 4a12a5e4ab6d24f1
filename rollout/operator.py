"""What a person does to a rollout, whatever he types it into: each act is one swap of the state, tried again if
somebody else was faster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from contract.rollout import GatewayReport, ReplicaReport, RolloutState, Stage
from rollout import transitions
from rollout.errors import NotAllowed, ReleaseBroken, StateConflict
from rollout.ports import ModelStore
from rollout.replicas import live, missing

LOAD_S: Final = 300.0
"""How long all replicas together may take to load a challenger, seconds."""

NOBODY_S: Final = 20.0
"""How long a replica is waited for where none is there: longer than one may be silent."""

POLL_S: Final = 0.3
TRIES: Final = 10

Progress = Callable[[int, int], None]
"""Replicas that have loaded the release, and how many there are."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that is known of a rollout."""

    state: RolloutState
    releases: tuple[str, ...]
    replicas: tuple[ReplicaReport, ...]
    gateways: tuple[GatewayReport, ...]


class Operator:
    """Acts for one person. Every method raises RolloutError."""

    def __init__(self, store: ModelStore, by: str) -> None:
        """``by``: who acts, for the history."""
        self._store = store
        self._by = by

    async def overview(self) -> Overview:
        """State, kept releases and what live parts report."""
        state, now = await self._state(), datetime.now(UTC)
        return Overview(
            state,
            await self._store.releases(),
            live(ReplicaReport, await self._store.reports("replicas"), now),
            live(GatewayReport, await self._store.reports("gateways"), now),
        )

    async def seed(self, release: str) -> bool:
        """Let ``release`` answer if none does yet; whether it does by that."""
        if await self._store.state() is not None:
            return False
        await self._store.write_state(transitions.seeded(release, by=self._by, at=datetime.now(UTC)), None)
        return True

    async def find(self, name: str) -> str:
        """The identity of a kept release from it or its beginning, e.g. ``2``, or from its digest.

        Raises NotAllowed if there is none or if several begin so.
        """
        kept = await self._store.releases()
        digits = name.partition("@")[2] or name
        found = [one for one in kept if one == name]
        found = found or [one for one in kept if one.partition("@")[0] == name]
        found = found or [one for one in kept if one.startswith(name) or one.partition("@")[2].startswith(digits)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotAllowed(f"There is no release {name}: `bestiary releases list` shows what is kept.")
        raise NotAllowed(f"{name} may be {' or '.join(found)}: give more of it.")

    async def stage(
        self, release: str, stage: Stage, share: float, *, again: bool = False, progress: Progress | None = None
    ) -> RolloutState:
        """Have all live replicas load ``release``, then shadow or canary it.

        Raises ReleaseBroken, with the replica's reason, if one cannot load it: it is refused then, and the champion
        answers as before.
        """
        await self._store.manifest(release)
        if not self._ready(release, await self.overview()):
            await self._change(
                lambda state, at: (
                    state
                    if state.challenger and state.challenger.release == release
                    else transitions.staged(state, release, Stage.LOAD, 0.0, by=self._by, at=at, again=again)
                )
            )
            await self.wait_loaded(release, progress)
        if stage is Stage.LOAD:
            return await self._state()
        return await self._change(
            lambda state, at: transitions.staged(state, release, stage, share, by=self._by, at=at, again=again)
        )

    async def wait_loaded(self, release: str, progress: Progress | None = None, limit_s: float = LOAD_S) -> None:
        """Return when every live replica has the challenger. Raises ReleaseBroken if one cannot load it, NotAllowed if
        it is challenger no longer, if there is no replica, or after ``limit_s``."""
        began = monotonic()
        while True:
            seen = await self.overview()
            if release in seen.state.refused:
                raise ReleaseBroken(f"{release} was refused. {seen.state.refused[release]}")
            if release not in seen.state.wanted:
                last = seen.state.history[-1]
                raise NotAllowed(f"{release} is no challenger any more: {last.act} by {last.by}.")
            failed = {one.replica: one.failed[release] for one in seen.replicas if release in one.failed}
            if failed:
                replica, why = next(iter(failed.items()))
                await self._give_up(release, f"On {replica}: {why}")
            if progress is not None:
                progress(len(seen.replicas) - len(missing(release, seen.replicas)), len(seen.replicas))
            if seen.replicas and not missing(release, seen.replicas):
                return
            if not seen.replicas and monotonic() - began > NOBODY_S:
                raise NotAllowed("No model server reports to this store: start `bestiary up` on it, or give --store.")
            if monotonic() - began > limit_s:
                late = ", ".join(missing(release, seen.replicas))
                await self._give_up(release, f"It was not loaded after {limit_s:g} s on {late}.")
            await asyncio.sleep(POLL_S)

    async def promote(self, release: str | None, probation_s: float) -> RolloutState:
        """The challenger answers, or ``release``. Raises NotAllowed unless every live replica has it."""
        seen = await self.overview()
        challenger = seen.state.challenger
        chosen = release or (challenger.release if challenger else None)
        if chosen is None:
            raise NotAllowed("There is no challenger: begin with `bestiary releases shadow RELEASE`.")
        if chosen in (challenger.release if challenger else None, seen.state.previous):
            self._check_loaded(chosen, seen)
        return await self._change(
            lambda state, at: transitions.promoted(state, chosen, by=self._by, at=at, probation_s=probation_s)
        )

    async def rollback(self, to: str | None, reason: str, progress: Progress | None = None) -> RolloutState:
        """The champion before answers, at once; or ``to``, as soon as the replicas have loaded it."""
        state = await self._state()
        if to is None or to == state.previous:
            return await self._change(
                lambda state, at: transitions.rolled_back(state, by=self._by, at=at, reason=reason)
            )
        if state.challenger is not None and state.challenger.release != to:
            await self.clear()
        await self.stage(to, Stage.LOAD, 0.0, again=True, progress=progress)
        return await self._change(
            lambda state, at: transitions.rolled_back_to(state, to, by=self._by, at=at, reason=reason)
        )

    async def refuse(self, release: str, reason: str) -> RolloutState:
        """Take a release out of the rollout and remember why."""
        return await self._change(
            lambda state, at: transitions.refused(state, release, by=self._by, at=at, reason=reason)
        )

    async def clear(self) -> RolloutState:
        """Take the challenger back."""
        return await self._change(lambda state, at: transitions.cleared(state, by=self._by, at=at))

    async def tidy(self, keep: int) -> tuple[str, ...]:
        """Delete all but the ``keep`` releases that were used or made last, and those in use; what was deleted."""
        state = await self._state()
        used = {event.release: number for number, event in enumerate(state.history)}
        made = {
            one: (used.get(one, -1), (await self._store.manifest(one)).created) for one in await self._store.releases()
        }
        newest = sorted(made, key=lambda one: made[one], reverse=True)
        old = tuple(one for one in newest[keep:] if one not in state.wanted)
        for release in old:
            await self._store.delete(release)
        return old

    def _ready(self, release: str, seen: Overview) -> bool:
        return release in seen.state.wanted and bool(seen.replicas) and not missing(release, seen.replicas)

    def _check_loaded(self, release: str, seen: Overview) -> None:
        if not seen.replicas:
            raise NotAllowed("No model server reports to this store: start `bestiary up` on it, or give --store.")
        late = missing(release, seen.replicas)
        if late:
            raise NotAllowed(f"{release} is not loaded yet on {', '.join(late)}: wait, see `bestiary releases status`.")

    async def _give_up(self, release: str, reason: str) -> None:
        await self._change(
            lambda state, at: (
                transitions.refused(state, release, by=self._by, at=at, reason=reason)
                if state.challenger and state.challenger.release == release
                else state
            )
        )
        raise ReleaseBroken(f"{release} was refused. {reason}")

    async def _state(self) -> RolloutState:
        read = await self._store.state()
        if read is None:
            raise NotAllowed("No release answers yet: `bestiary up` begins with one, or `bestiary releases publish`.")
        return read.state

    async def _change(self, act: Callable[[RolloutState, datetime], RolloutState]) -> RolloutState:
        for _ in range(TRIES):
            read = await self._store.state()
            if read is None:
                break
            after = act(read.state, datetime.now(UTC))
            if after == read.state:
                return after
            try:
                await self._store.write_state(after, read.version)
            except StateConflict:
                continue
            return after
        await self._state()
        raise StateConflict("Others change this rollout all the time: look at its status and try again.")
