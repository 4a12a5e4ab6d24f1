"""The model store of a ``bestiary up`` and the sync agent of its Triton."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from contract.rollout import RolloutState
from rollout.agent import Agent
from rollout.errors import RolloutError
from rollout.live import LiveRepository
from rollout.ports import ModelStore
from rollout.store import open_model_store
from rollout.transitions import is_seeded, reseeded, seeded
from rollout.triton import TritonControl
from serving.errors import PreflightError
from serving.repository import models_to_load
from serving.tritonserver import ServerOptions

_BY = "bestiary up"


def replica_name(triton_port: int) -> str:
    """What the agent of this machine's Triton signs with."""
    host = "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in socket.gethostname())
    return f"{host.strip('-._') or 'local'}-{triton_port}"


class LocalRollout:
    """Opened before Triton starts; ``follow`` beside it; closed after it."""

    def __init__(self, where: str, shipped: Path, triton: ServerOptions, run: Path) -> None:
        """``where``: the model store's address; ``shipped``: the release that the installation brought along;
        ``run``: folder for what Triton loads from."""
        self._where = where
        self._shipped = shipped
        self._live = LiveRepository((run / "repository").resolve())
        self._options = triton
        self.notes: tuple[str, ...] = ()
        """What the person at the terminal has to know about which release answers."""

    async def open(self, dead_models: Callable[[], Collection[str]], end_model: Callable[[str], None]) -> None:
        """Have the champion's files in place. Raises PreflightError."""
        options = self._options
        try:
            self._store = await asyncio.to_thread(open_model_store, self._where)
            await self._seed()
            self._triton = TritonControl(f"{options.host}:{options.grpc_port}")
            self._agent = Agent(
                self._store, self._triton, self._live,
                lambda folder, tag: models_to_load(folder, options.config_name, tag),
                replica=replica_name(options.http_port), dead_models=dead_models, end_model=end_model,
            )  # fmt: skip
            await self._agent.prepare()
        except RolloutError as error:
            raise PreflightError(str(error)) from error

    @property
    def options(self) -> ServerOptions:
        """How Triton is started: from the folder of releases."""
        return replace(self._options, repository=self._live.folder)

    def champion_tag(self) -> str:
        """Of the release that answers, as of now."""
        return self._agent.champion_tag

    async def follow(self) -> None:
        """Keep Triton at what the rollout wants, until cancelled."""
        await self._agent.run()

    async def close(self) -> None:
        """Take the report back."""
        if hasattr(self, "_agent"):
            await self._agent.close()
            await self._triton.close()
            with contextlib.suppress(RolloutError):
                await self._store.close()

    async def _seed(self) -> None:
        """The first state is the shipped release; a newer shipped one takes its place until somebody decides."""
        read = await self._store.state()
        if not self._shipped.is_dir():
            if read is None:
                raise PreflightError(f"There is no model repository at {self._shipped}: give --repository.")
            return
        if read is not None and not is_seeded(read.state):
            self.notes = await _undecided(self._store, self._shipped, read.state)
            return
        identity = await self._store.put(self._shipped)
        now = datetime.now(UTC)
        if read is None:
            await self._store.write_state(seeded(identity, by=_BY, at=now), None)
        elif identity != read.state.champion:
            await self._store.write_state(reseeded(read.state, identity, by=_BY, at=now), read.version)


async def _undecided(store: ModelStore, shipped: Path, state: RolloutState) -> tuple[str, ...]:
    """That the shipped release is not the one that answers, and how it could be."""
    try:
        identity = await store.put(shipped)
    except RolloutError as error:
        return (f"{shipped} holds no release that could be published: {error}",)
    if identity == state.champion:
        return ()
    return (
        f"Release {state.champion} answers, as decided with `bestiary releases`.",
        f"{shipped} holds {identity}: `bestiary releases canary {identity}` tries it.",
    )
