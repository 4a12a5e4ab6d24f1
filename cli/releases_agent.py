"""``bestiary releases agent``: the sync agent beside a Triton that something else starts, e.g. in a pod."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from cli.local_rollout import replica_name
from cli.options import FAILED, USAGE, complain
from rollout.agent import Agent, AgentTimes
from rollout.errors import RolloutError
from rollout.live import LiveRepository
from rollout.store import open_model_store
from rollout.triton import TritonControl
from serving.repository import models_to_load


def agent(
    repository: Annotated[Path, typer.Option(help="Folder that Triton loads from; shared with it, written only here.")],
    where: Annotated[str, typer.Option("--store", envvar="BESTIARY_MODEL_STORE", metavar="ADDRESS")] = "var/models",
    triton: Annotated[str, typer.Option(metavar="HOST:PORT", help="Triton's gRPC address.")] = "127.0.0.1:8001",
    name: Annotated[str, typer.Option(help="Of this replica, one of a kind; by default host and port.")] = "",
    config_name: Annotated[str, typer.Option(help="Triton's --model-config-name, e.g. gpu.")] = "",
    load_timeout: Annotated[float, typer.Option(min=1, help="Seconds until a load is given up.")] = 180.0,
) -> None:
    """Keep one Triton at what the rollout wants, until SIGTERM.

    Triton has to run with --model-control-mode=explicit on the same folder;
    the agent loads the release that answers too. `bestiary up` has its own.

    Example: bestiary releases agent --repository /models --triton 127.0.0.1:8001 --config-name gpu

    Exit codes: 0 stopped, 1 the model store cannot be used or no release answers yet, 2 wrong usage
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    host, _, port = triton.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        complain(f"{triton!r} is not an address such as 127.0.0.1:8001.")
        raise typer.Exit(USAGE)
    replica = name or replica_name(int(port))
    try:
        asyncio.run(_run(repository, where, triton, replica, config_name, load_timeout))
    except RolloutError as error:
        complain(f"bestiary releases agent: {error}")
        raise typer.Exit(FAILED) from None


async def _run(repository: Path, where: str, address: str, replica: str, config_name: str, load_s: float) -> None:
    store = await asyncio.to_thread(open_model_store, where)
    control = TritonControl(address)
    worker = Agent(
        store, control, LiveRepository(repository.resolve()),
        lambda folder, tag: models_to_load(folder, config_name, tag), replica=replica, times=AgentTimes(load_s=load_s),
    )  # fmt: skip
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        await worker.prepare()
        follow = asyncio.create_task(worker.run(), name="sync-agent")
        await stopping.wait()
        follow.cancel()
        await asyncio.wait({follow})
        await worker.close()
    finally:
        await control.close()
        await store.close()
