"""A load generator in a process of its own: ``bestiary.v1`` over asyncio, in a closed loop or at planned times.

In the open loop the times of all photos are drawn before the first is sent, and what a caller waits is counted from
the planned time: a generator or a server that stalls hides nothing (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from benchmarks.photos import different
from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub

CHANNELS: Final = 4
CALL_TIMEOUT_S: Final = 2.0
MAX_OPEN: Final = 1024
"""Calls of the open loop that may be under way; more are not sent and counted, as the generator's own limit."""

MIN_PAUSE_S: Final = 0.02
"""A refused caller of the closed loop waits at least so long."""

UNSENT: Final = "UNSENT"
ANSWER_LIMIT_S: Final = 60.0


class GeneratorError(RuntimeError):
    """The generator died or hung."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo. Seconds on the monotonic clock; ``code`` is gRPC's name or UNSENT, ``reason`` that of ErrorInfo."""

    planned: float
    sent: float
    ended: float
    code: str
    reason: str

    @property
    def seconds(self) -> float:
        """From the planned time on."""
        return self.ended - self.planned

    @property
    def late_s(self) -> float:
        """How late it was sent: the generator's own fault."""
        return self.sent - self.planned


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send what."""

    address: str
    photos: tuple[bytes, ...]
    tasks: str


class Generator:
    """The process, from ``__enter__`` to ``__exit__``. Both loops raise GeneratorError."""

    def __init__(self, target: Target) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, target), daemon=True)

    def __enter__(self) -> Generator:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def closed(self, callers: int, seconds: float) -> list[Sample]:
        """So many callers, each of whom sends the next photo when the last is answered."""
        return self._ask(("closed", callers, seconds), seconds)

    def open(self, per_s: float, seconds: float, seed: int) -> list[Sample]:
        """Poisson arrivals of ``per_s`` photos a second."""
        return self._ask(("open", per_s, seconds, seed), seconds)

    def _ask(self, command: tuple[Any, ...], seconds: float) -> list[Sample]:
        try:
            self._pipe.send(command)
            if self._pipe.poll(seconds + ANSWER_LIMIT_S):
                samples: list[Sample] = self._pipe.recv()
                return samples
        except (EOFError, OSError):
            pass
        raise GeneratorError("The load generator died or hung; what it said is above.")


def _serve(pipe: Connection, target: Target) -> None:
    """The process: one command after the other until it is ended."""
    asyncio.run(_commands(pipe, target))


async def _commands(pipe: Connection, target: Target) -> None:
    async with AsyncExitStack() as stack:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target.address, options=options))
            for _ in range(CHANNELS)
        ]
        sender = _Sender([BestiaryStub(channel) for channel in channels], target)
        while True:
            kind, *rest = await asyncio.to_thread(pipe.recv)
            pipe.send(await (sender.closed if kind == "closed" else sender.open)(*rest))


class _Sender:
    """Sends photos and takes the times."""

    def __init__(self, stubs: list[BestiaryStub], target: Target) -> None:
        self._stubs = stubs
        self._tasks = pb.Tasks.Value(f"TASKS_{target.tasks.upper()}")
        self._photos: Iterator[bytes] = different(target.photos)
        self._turn = 0

    async def closed(self, callers: int, seconds: float) -> list[Sample]:
        samples: list[Sample] = []
        ends = time.monotonic() + seconds

        async def caller() -> None:
            while (now := time.monotonic()) < ends:
                sample, hint_s = await self._send(now)
                samples.append(sample)
                if sample.code != "OK":
                    await asyncio.sleep(max(MIN_PAUSE_S, hint_s))

        await asyncio.gather(*(caller() for _ in range(callers)))
        return samples

    async def open(self, per_s: float, seconds: float, seed: int) -> list[Sample]:
        chance, began = random.Random(seed), time.monotonic() + 0.1
        samples: list[Sample] = []
        under_way: set[asyncio.Task[None]] = set()

        async def one(planned: float) -> None:
            samples.append((await self._send(planned))[0])

        at = chance.expovariate(per_s)
        while at < seconds:
            planned = began + at
            if (pause := planned - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if len(under_way) >= MAX_OPEN:
                samples.append(Sample(planned, planned, planned, UNSENT, UNSENT))
            else:
                task = asyncio.create_task(one(planned))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            at += chance.expovariate(per_s)
        await asyncio.gather(*under_way)
        return samples

    async def _send(self, planned: float) -> tuple[Sample, float]:
        self._turn += 1
        request = pb.ClassifyRequest(photo=next(self._photos), tasks=self._tasks)
        sent = time.monotonic()
        try:
            await self._stubs[self._turn % len(self._stubs)].Classify(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            ended = time.monotonic()
            reason, hint_s = _details(error)
            return Sample(planned, sent, ended, error.code().name, reason), hint_s
        return Sample(planned, sent, time.monotonic(), "OK", "ok"), 0.0


def _details(error: grpc.aio.AioRpcError) -> tuple[str, float]:
    """Reason and retry hint (seconds) of a refusal."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
        detail.Unpack(retry)
    return info.reason or error.code().name.lower(), retry.retry_delay.ToTimedelta().total_seconds()
