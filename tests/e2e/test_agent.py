"""One Triton and its sync agent in this process, when things go wrong: a load that hangs, a server that dies, an agent
that is ended in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contract.rollout import ReplicaReport, RolloutState, Stage, tag_of
from rollout.agent import Agent, AgentTimes
from rollout.live import LiveRepository
from rollout.ports import ModelStore
from rollout.store import open_model_store
from rollout.transitions import promoted, seeded, staged
from rollout.triton import TritonControl
from serving.repository import models_to_load
from serving.supervisor import Supervisor
from serving.tritonserver import ServerOptions
from serving.wheel import lay_out
from tests.support.releases import REPOSITORY, make_release
from tests.support.stack import free_ports


@dataclass
class World:
    """A store with a champion, a Triton and an agent that serve it."""

    store: ModelStore
    champion: str
    supervisor: Supervisor
    live: LiveRepository
    agent: Agent
    following: asyncio.Task[None]

    async def challenge(self, release: str) -> None:
        read = await self.store.state()
        assert read is not None
        state = staged(read.state, release, Stage.LOAD, 0, by="test", at=datetime.now(UTC))
        await self.store.write_state(state, read.version)

    async def state(self) -> RolloutState:
        read = await self.store.state()
        assert read is not None
        return read.state

    async def report(self) -> ReplicaReport:
        (text,) = (await self.store.reports("replicas")).values()
        return ReplicaReport.model_validate_json(text)

    async def follow_anew(self) -> None:
        """End the agent in the middle of what it does, and start it again."""
        self.following.cancel()
        await asyncio.wait({self.following})
        self.following = asyncio.create_task(self.agent.run())


@asynccontextmanager
async def world(folder: Path, load_s: float) -> AsyncIterator[World]:
    store = open_model_store(folder / "models")
    champion = await store.put(REPOSITORY)
    await store.write_state(seeded(champion, by="test", at=datetime.now(UTC)), None)
    live = LiveRepository(folder / "repository")
    port = free_ports(3)
    options = ServerOptions(
        repository=live.folder, http_port=port, grpc_port=port + 1, metrics_port=port + 2,
        log_file=folder / "triton.log", shm_prefix=f"agent-{os.getpid()}-",
    )  # fmt: skip
    supervisor = Supervisor(lay_out(folder / "backends"), options, folder / "triton.json", lambda: agent.champion_tag)
    triton = TritonControl(f"127.0.0.1:{port + 1}")
    agent = Agent(
        store, triton, live, lambda root, tag: models_to_load(root, "", tag), replica="test",
        times=AgentTimes(poll_s=0.1, load_s=load_s, grace_s=0.5),
        dead_models=supervisor.dead_models, end_model=supervisor.end_model,
    )  # fmt: skip
    await agent.prepare()
    try:
        await supervisor.start()
        made = World(store, champion, supervisor, live, agent, asyncio.create_task(agent.run()))
        try:
            yield made
        finally:
            made.following.cancel()
            await asyncio.wait({made.following})
            await agent.close()
    finally:
        await supervisor.close()
        await triton.close()
    assert await store.reports("replicas") == {}


async def until(true: Callable[[], bool], limit_s: float = 90) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110  # what is waited for is another process
            await asyncio.sleep(0.05)


async def test_a_load_that_hangs_is_given_up_and_triton_stays(tmp_path: Path) -> None:
    async with world(tmp_path, load_s=4) as there:
        await until(lambda: there.agent.loaded == (there.champion,))
        pid = there.supervisor.pid
        hanging = make_release(tmp_path / "hanging", "hanging", "hangs at load")
        await there.store.put(tmp_path / "hanging")
        await there.challenge(hanging)
        async with asyncio.timeout(90):
            while hanging not in (await there.state()).refused:  # noqa: ASYNC110  # it is in a store
                await asyncio.sleep(0.05)
        assert "within 4 s" in (await there.state()).refused[hanging]
        assert there.agent.loaded == (there.champion,)
        await until(lambda: not list(there.live.folder.glob(f"*.{tag_of(hanging)}")))
        assert there.supervisor.pid == pid


async def test_a_triton_that_dies_comes_back_with_both_releases(tmp_path: Path) -> None:
    async with world(tmp_path, load_s=120) as there:
        second = make_release(tmp_path / "second", "second")
        await there.store.put(tmp_path / "second")
        await there.challenge(second)
        await until(lambda: any(there.live.folder.glob(".loading.*")))
        await there.follow_anew()
        await until(lambda: set(there.agent.loaded) == {there.champion, second})
        read = await there.store.state()
        assert read is not None
        state = promoted(read.state, second, by="test", at=datetime.now(UTC), probation_s=0)
        await there.store.write_state(state, read.version)
        await until(lambda: there.agent.champion_tag == tag_of(second))
        pid = there.supervisor.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: there.supervisor.pid not in (pid, None))
        await until(lambda: there.agent.loaded == (second, there.champion))  # the champion is there first
        assert set((await there.report()).loaded) == {there.champion, second}
