"""Photos that were answered go to the challenger too, and nobody but the watch hears what it says.

Copies start after the caller's record is kept, have the lowest priority in Triton, and are dropped rather than queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from contract.answer import Answer
from contract.options import Options
from contract.priority import Priority
from contract.record import Record
from contract.rollout import Disagreement
from gateway.errors import BestiaryError, DeadlineExceeded, ModelFailed, ModelUnavailable
from gateway.metrics import Metrics
from gateway.ports import Clock, TensorServer
from gateway.rollout.lane import Lane
from gateway.rollout.watch import Watch, agree, is_sure, name_of

MAX_COPIES: Final = 2
"""On their way at once: as many as keep one instance of a model busy."""

MAX_BYTES: Final = 64 << 20
"""Of photos on their way."""

PATIENCE_S: Final = 10.0
"""What a copy gets; a challenger that needs longer has failed on the photo."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One answered photo for the challenger."""

    lane: Lane
    watch: Watch
    photo: bytes
    options: Options
    answer: Answer
    """The champion's."""
    company: int
    """Photos that the champion had at once when it answered."""
    record: Record


class Shadow:
    """Sends copies. ``busy`` says whether callers wait for the model already."""

    def __init__(self, models: TensorServer, clock: Clock, metrics: Metrics, busy: Callable[[], bool]) -> None:
        self._models = models
        self._clock = clock
        self._metrics = metrics
        self._busy = busy
        self._bytes = 0
        self._under_way: set[asyncio.Task[None]] = set()

    def offer(self, copy: Copy) -> None:
        """Send a copy if there is room for it. Returns at once and never raises."""
        if (
            len(self._under_way) >= MAX_COPIES
            or (self._under_way and self._bytes + len(copy.photo) > MAX_BYTES)
            or self._busy()
        ):
            self._count("dropped")
            return
        self._bytes += len(copy.photo)
        task = asyncio.create_task(self._send(copy), name="shadow")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def idle(self) -> None:
        """Return once nothing is on its way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def close(self) -> None:
        """Drop what is on its way."""
        for task in self._under_way:
            task.cancel()
        await self.idle()

    async def _send(self, copy: Copy) -> None:
        try:
            with copy.watch.own.asking() as company:
                tensors = await self._models.infer(
                    copy.lane.model,
                    copy.photo,
                    deadline=self._clock.monotonic() + PATIENCE_S,
                    options=copy.options,
                    priority=Priority.BATCH,
                )
            answer = copy.lane.read(tensors)
        except (ModelFailed, DeadlineExceeded):
            self._failed(copy)
        except ModelUnavailable as error:
            if error.cause == "died":
                self._failed(copy)
            else:
                self._count("dropped")
        except BestiaryError:  # no room: the challenger's queue is as short as it is
            self._count("dropped")
        else:
            self._compare(copy, answer, company)
        finally:
            self._bytes -= len(copy.photo)

    def _failed(self, copy: Copy) -> None:
        copy.watch.failed()
        self._count("failed")

    def _compare(self, copy: Copy, answer: Answer, company: int) -> None:
        if not answer.status.answered:  # the champion could use the photo
            self._failed(copy)
            return
        copy.watch.shadowed(copy.answer, answer, copy.options.tasks, (copy.company, company))
        if not is_sure(copy.answer):
            self._count("unsure")
        elif agree(copy.answer, answer):
            copy.watch.agreed()
            self._count("agreed")
        else:
            self._differed(copy, answer)

    def _differed(self, copy: Copy, answer: Answer) -> None:
        score = answer.taxon.score if answer.taxon is not None else 1.0
        copy.watch.differed(
            Disagreement(
                record=str(copy.record.id),
                photo=copy.record.photo.blob,
                champion=name_of(copy.answer),
                challenger=name_of(answer),
                score=score,
            )
        )
        self._count("disagreed")

    def _count(self, outcome: str) -> None:
        self._metrics.shadow_photos.labels(outcome).inc()
