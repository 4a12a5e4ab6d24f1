"""An open-loop load generator in a process of its own, for HTTP/1.1 and gRPC, that takes little of the two cores.

It runs on uvloop, at a higher priority than the servers: a client on another machine would not have to wait for them;
its CPU time is in the results. All times are counted from the planned time of sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from multiprocessing.connection import Connection
from typing import Any, Final

import uvloop

from benchmarks.peers.clients import CALL_TIMEOUT_S, CallFailed, GrpcClient, HttpClient, client_for
from benchmarks.peers.wire import Wire
from benchmarks.photos import different

LEAD_S: Final = 0.1
NICE: Final = -10
ANSWER_LIMIT_S: Final = 120.0
ALLOWED_LATE: Final = 0.01
"""Share of photos that may be slower than the limit: the promise is of the p99."""


class GeneratorError(RuntimeError):
    """The generator died or hung, or could not connect."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send what."""

    port: int
    wire: Wire
    photos: tuple[bytes, ...]


@dataclass(slots=True)
class Samples:
    """What came of one run. Seconds."""

    planned: int = 0
    latencies: list[float] = field(default_factory=list)
    """Of answered photos, from the planned time on."""
    lateness: list[float] = field(default_factory=list)
    """How late each was sent: the generator's own fault."""
    errors: dict[str, int] = field(default_factory=dict)
    """What went wrong -> photos."""
    seconds: float = 0.0
    """From the first planned time to the last answer."""
    given_up: bool = False
    """Ended early, because its verdict was certain."""
    cpu_seconds: float = 0.0
    """Of the generator itself."""


def schedule(per_s: float, seconds: float, seed: int) -> list[float]:
    """Arrival times (seconds) of a Poisson process in ``[0, seconds)`` given that ``per_s * seconds`` photos arrive.

    Given their number, arrivals are uniform order statistics, which are normalised sums of exponential gaps (Devroye,
    Non-Uniform Random Variate Generation, V.3): so the rate is exact, and one seed has the same bursts at all rates.
    """
    number = max(1, round(per_s * seconds))
    chance = random.Random(seed)
    sums = list(accumulate(chance.expovariate(1.0) for _ in range(number + 1)))
    return [seconds * at / sums[-1] for at in sums[:-1]]


def allowed_late(number: int) -> int:
    """How many of ``number`` photos may be late if their p99 (nearest rank) is to keep the limit."""
    return int(ALLOWED_LATE * number)


class Generator:
    """The process, from ``__enter__`` to ``__exit__``. Raises GeneratorError."""

    def __init__(self, target: Target) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._theirs, target), daemon=True)

    def __enter__(self) -> Generator:
        self._process.start()
        self._theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def first(self) -> bytes:
        """The body of one answer, to look at."""
        body: bytes = self._ask(("first",), CALL_TIMEOUT_S)
        return body

    def closed(self, callers: int, seconds: float) -> Samples:
        """So many callers, each of whom sends the next photo when the last is answered."""
        samples: Samples = self._ask(("closed", callers, seconds), seconds)
        return samples

    def open(self, per_s: float, seconds: float, seed: int, limit_s: float) -> Samples:
        """Poisson arrivals; ends early once an error or too many answers slower than ``limit_s`` decide the verdict."""
        samples: Samples = self._ask(("open", per_s, seconds, seed, limit_s), seconds)
        return samples

    def _ask(self, command: tuple[Any, ...], seconds: float) -> Any:
        try:
            self._pipe.send(command)
            if self._pipe.poll(seconds + ANSWER_LIMIT_S):
                answer = self._pipe.recv()
                if isinstance(answer, Exception):
                    raise GeneratorError(str(answer))
                return answer
        except (EOFError, OSError):
            pass
        raise GeneratorError("The load generator died or hung; what it said is above.")


def _serve(pipe: Connection, target: Target) -> None:
    """The process: one command after the other until it is ended."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    uvloop.run(_commands(pipe, target))


async def _commands(pipe: Connection, target: Target) -> None:
    client = client_for(target.port, target.wire)
    sender = Sender(client, target.photos)
    try:
        await client.connect()
        while True:
            kind, *rest = await asyncio.to_thread(pipe.recv)
            pipe.send(await getattr(sender, kind)(*rest))
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001  # told to the other side, which raises it
        pipe.send(GeneratorError(f"{type(error).__name__}: {error}"))


class Sender:
    """Sends photos by a client and takes the times."""

    def __init__(self, client: HttpClient | GrpcClient, photos: Sequence[bytes]) -> None:
        self._client = client
        self._photos: Iterator[bytes] = different(photos)

    async def first(self) -> bytes:
        """The body of one answer."""
        return await self._client.call(next(self._photos))

    async def closed(self, callers: int, seconds: float) -> Samples:
        """See Generator."""
        samples, errors = Samples(), Counter[str]()
        began = time.monotonic()

        async def caller() -> None:
            while (planned := time.monotonic()) < began + seconds:
                await self._one(planned, samples, errors)

        with _cpu(samples):
            await asyncio.gather(*(caller() for _ in range(callers)))
        samples.planned = len(samples.latencies) + sum(errors.values())
        samples.seconds, samples.errors = time.monotonic() - began, dict(errors)
        return samples

    async def open(self, per_s: float, seconds: float, seed: int, limit_s: float) -> Samples:
        """See Generator."""
        times = schedule(per_s, seconds, seed)
        samples, errors = Samples(planned=len(times)), Counter[str]()
        verdict = _Verdict(allowed_late(len(times)), limit_s)
        under_way: set[asyncio.Task[None]] = set()
        began = time.monotonic() + LEAD_S

        async def one(planned: float) -> None:
            verdict.sent(planned)
            latency = await self._one(planned, samples, errors)
            verdict.ended(planned, latency)

        with _cpu(samples):
            for at in times:
                planned = began + at
                await _until(planned)
                if verdict.certain(time.monotonic()):
                    samples.given_up = True
                    break
                task = asyncio.create_task(one(planned))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)
        samples.seconds, samples.errors = time.monotonic() - began, dict(errors)
        return samples

    async def _one(self, planned: float, samples: Samples, errors: Counter[str]) -> float | None:
        samples.lateness.append(time.monotonic() - planned)
        try:
            await asyncio.wait_for(self._client.call(next(self._photos)), CALL_TIMEOUT_S)
        except (CallFailed, OSError, TimeoutError) as error:
            errors[str(error) or type(error).__name__] += 1
            return None
        latency = time.monotonic() - planned
        samples.latencies.append(latency)
        return latency


async def _until(moment: float) -> None:
    """Sleep until ``moment`` of the monotonic clock, at least long enough for what is due to begin."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
    while (pause := moment - time.monotonic()) > 0:  # noqa: ASYNC110  # no event tells the time
        await asyncio.sleep(pause)  # uvloop counts in milliseconds and may have woken too early


class _Verdict:
    """Whether a run can still pass. Photos under way count as late once they are."""

    def __init__(self, allowed: int, limit_s: float) -> None:
        self._allowed = allowed
        self._limit_s = limit_s
        self._late = 0
        self._failed = False
        self._open: dict[float, None] = {}
        """Planned times of what is under way, in order."""

    def sent(self, planned: float) -> None:
        self._open[planned] = None

    def ended(self, planned: float, latency: float | None) -> None:
        self._open.pop(planned, None)
        self._failed |= latency is None
        self._late += latency is not None and latency > self._limit_s

    def certain(self, now: float) -> bool:
        """Whether it has failed, whatever comes."""
        late = self._late
        for planned in self._open:
            if now - planned <= self._limit_s:
                break
            late += 1
        return self._failed or late > self._allowed


@contextlib.contextmanager
def _cpu(samples: Samples) -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF)
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    samples.cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
