"""Callers of `animals` over gRPC in a closed loop, in several processes, so that the client is not the bottleneck."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import tritonclient.grpc.aio as over_grpc
from tritonclient.grpc import InferInput

from benchmarks.figures import percentile
from contract.options import TASKS, Task
from contract.photo_status import PhotoStatus
from contract.tensors import ANIMALS, PHOTO, STATUS

PROCESSES: Final = 4
WARM_UP_S: Final = 2.0
LIMIT_S: Final = 60.0


class ClientError(RuntimeError):
    """A caller got an error or a photo was refused."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a closed loop."""

    photos_per_s: float
    p50_ms: float
    p99_ms: float
    photos: int


def closed_loop(address: str, photos: Sequence[bytes], task: Task, in_flight: int, seconds: float) -> Load:
    """``in_flight`` callers together for ``seconds`` after a warm-up. Raises ClientError."""
    context = multiprocessing.get_context("spawn")
    share = [len(range(number, in_flight, PROCESSES)) for number in range(min(PROCESSES, in_flight))]
    pipes, processes = [], []
    for callers in share:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, address, list(photos), task, callers), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for length in (min(WARM_UP_S, seconds), seconds):
            for pipe in pipes:
                pipe.send(length)
            answers = [_answer(pipe, length + LIMIT_S) for pipe in pipes]
    finally:
        for process in processes:
            process.terminate()
            process.join()
    latencies = [one for found, _ in answers for one in found]
    if not latencies:
        raise ClientError(f"No photo was answered within {seconds:g} s: give more --seconds.")
    return Load(
        photos_per_s=len(latencies) / max(wall for _, wall in answers),
        p50_ms=1e3 * percentile(latencies, 50),
        p99_ms=1e3 * percentile(latencies, 99),
        photos=len(latencies),
    )


def _answer(pipe: Connection, limit_s: float) -> tuple[list[float], float]:
    try:
        if pipe.poll(limit_s):
            found = pipe.recv()
            if isinstance(found, str):
                raise ClientError(found)
            latencies, wall = found
            return latencies, wall
    except EOFError:
        pass
    raise ClientError("A process of callers died or hung; what it said is above.")


def _serve(pipe: Connection, address: str, photos: list[bytes], task: Task, callers: int) -> None:
    """The process: a length in seconds -> (seconds of every answered photo, wall seconds), or a sentence."""
    while True:
        try:
            pipe.send(asyncio.run(_loop(address, photos, task, callers, pipe.recv())))
        except Exception as error:  # noqa: BLE001  # told to the parent, which raises
            pipe.send(f"A call failed: {error}")


async def _loop(
    address: str, photos: list[bytes], task: Task, callers: int, seconds: float
) -> tuple[list[float], float]:
    tensors = []
    for photo in photos:
        tensor = InferInput(PHOTO.name, [1, 1], PHOTO.datatype)
        tensor.set_data_from_numpy(np.array([[photo]], np.object_))
        tensors.append(tensor)
    latencies: list[float] = []
    began = time.perf_counter()
    async with over_grpc.InferenceServerClient(address) as client:

        async def caller(turn: int) -> None:
            while (start := time.perf_counter()) - began < seconds:
                answer: Any = await client.infer(
                    ANIMALS, [tensors[turn % len(tensors)]], parameters={TASKS: task.value}
                )
                if int(answer.as_numpy(STATUS.name).ravel()[0]) != PhotoStatus.OK:
                    raise ClientError("Triton could not use a photo: give --photos that are whole.")
                latencies.append(time.perf_counter() - start)
                turn += callers

        await asyncio.gather(*(caller(number) for number in range(callers)))
    return latencies, time.perf_counter() - began
