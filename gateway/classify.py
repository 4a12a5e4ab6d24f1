"""The use case: one photo in, one record out. Knows no protocol, no store and no Triton."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from contract.answer import Answer
from contract.ids import new_id
from contract.options import DEFAULTS, Options
from contract.photo_status import PhotoError, PhotoStatus
from contract.priority import Priority
from contract.record import LOCAL_OWNER, AckLevel, Photo, Record, RecordStatus, Timings
from gateway.errors import BestiaryError, DeadlineExceeded, PhotoRejected
from gateway.ports import BlobStore, Clock, Inference, Journal, ModelServer, PhotoInspector, StagedBlob

log = logging.getLogger(__name__)

T = TypeVar("T")

HASH_INLINE_BYTES = 256 * 1024
"""Hashing less takes about as long as handing it to a thread, 0.1 to 0.2 ms."""

_SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "TIFF": "tif"}


def _tell_nobody() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Before:
    """Seconds that a photo spent in the service before it came here."""

    edge_s: float = 0.0
    """Read and parsed."""
    wait_s: float = 0.0
    """Waiting for a place."""
    fetch_s: float = 0.0
    """Read from the blob store."""


@dataclass(frozen=True, slots=True)
class Request:
    """One photo to classify. ``deadline`` is on the monotonic clock, seconds."""

    photo: bytes
    deadline: float
    filename: str | None = None
    ack: AckLevel = AckLevel.DURABLE
    options: Options = DEFAULTS
    keep_location: bool = False
    """Whether the GPS position in the photo's EXIF goes into the record."""
    owner: str = LOCAL_OWNER
    """Whose record it becomes."""
    caller: str = ""
    """Who is answered by one release from photo to photo."""
    source: str | None = None
    """Name of the blob that the photo was read from, if the caller referred to one."""
    kept: bool = False
    """Whether ``source`` is where photos are kept anyway, so that nothing has to be written."""
    priority: Priority = Priority.INTERACTIVE
    model_answered: Callable[[], None] = _tell_nobody
    """Called once the model has answered, whatever it said; what is left then is keeping the record."""
    before: Before = Before()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The record, and the raw reply for the edges that speak tensors."""

    record: Record
    inference: Inference
    timings_ms: Mapping[str, float]
    """Milliseconds by stage as :class:`Timings` has them, and those that the record cannot know: ``journal``, ``store``
    where that was waited for. ``total`` is of the whole answer here, ``edge`` included."""


StageObserver = Callable[[str, float], None]
"""Called with a stage's name and its seconds."""


class Classifier:
    """Photo → blob and model side by side → record → journal → acknowledged as asked."""

    def __init__(
        self,
        *,
        inspect: PhotoInspector,
        model: ModelServer,
        blobs: BlobStore,
        journal: Journal,
        clock: Clock,
        observe: StageObserver,
    ) -> None:
        self._inspect = inspect
        self._model = model
        self._blobs = blobs
        self._journal = journal
        self._clock = clock
        self._observe = observe
        self._background: set[asyncio.Task[None]] = set()

    async def classify(self, request: Request) -> Outcome:
        """Classify one photo and keep it.

        Raises PhotoRejected, DeadlineExceeded, Overloaded, ModelUnavailable, ModelFailed,
        StorageUnavailable. Past the deadline nothing waits any more; what was journalled stays.
        """
        budget = request.deadline - self._clock.monotonic()
        if budget <= 0:
            raise DeadlineExceeded("The deadline had passed before the photo was looked at: allow more time.")
        try:
            async with asyncio.timeout(budget):
                return await self._classify(request)
        except TimeoutError:
            raise DeadlineExceeded(
                "The photo was not answered within the deadline: allow more time or send fewer at once."
            ) from None

    async def _classify(self, request: Request) -> Outcome:
        received_at, started = self._clock.now(), self._clock.monotonic()
        try:
            facts = self._inspect(request.photo)
        except PhotoError as error:
            raise PhotoRejected(error.status) from error
        digest = await _sha256(request.photo)
        if request.kept and request.source is not None:
            blob, storing = request.source, _nothing_to_store()
        else:
            blob = f"uploads/{digest[:2]}/{digest}.{_SUFFIX.get(facts.format, 'bin')}"
            storing = self._blobs.stage(blob, request.photo)
        staging = asyncio.create_task(self._timed("blob", storing))
        try:
            asked = self._clock.monotonic()
            inference = await self._timed("triton", self._infer(request))
            request.model_answered()
            inferred = self._clock.monotonic()
            answer = inference.answer
            if not answer.status.answered:
                raise PhotoRejected(answer.status)
            staged = await asyncio.shield(staging)
        except BaseException:
            self._in_background(_discard(staging))
            raise
        photo = Photo(
            sha256=digest,
            blob=blob,
            source=request.source,
            filename=request.filename,
            format=facts.format,
            width=answer.width or facts.width,
            height=answer.height or facts.height,
            size_bytes=len(request.photo),
            captured_at=facts.captured_at,
            camera=facts.camera,
            location=facts.location if request.keep_location else None,
        )
        ended = self._clock.monotonic()
        timings = _timings(request.before, answer, inferred - asked, ended - inferred, ended - started)
        record = _record(received_at, request, answer, photo, timings)
        kept_s = await self._keep(staged, record, request.ack)
        if inference.recorded is not None:
            inference.recorded(record)
        spent_ms = timings.model_dump() | {stage: 1e3 * seconds for stage, seconds in kept_s.items()}
        spent_ms["total"] = spent_ms.pop("total") + timings.edge + 1e3 * sum(kept_s.values())
        return Outcome(record, inference, spent_ms)

    def _infer(self, request: Request) -> Awaitable[Inference]:
        return self._model.infer(
            request.photo,
            deadline=request.deadline,
            options=request.options,
            priority=request.priority,
            caller=request.caller,
        )

    async def _keep(self, staged: StagedBlob, record: Record, ack: AckLevel) -> dict[str, float]:
        """Make photo and record durable side by side; nobody is told of the record before both are. Returns seconds by
        stage."""
        if ack is AckLevel.ACCEPTED:
            self._in_background(self._keep_quietly(staged, record))
            return {}
        started = self._clock.monotonic()
        await asyncio.gather(staged.commit(), self._timed("journal", self._journal.append(record)))
        durable = self._clock.monotonic()
        if ack is not AckLevel.STORED:
            return {"journal": durable - started}
        await self._timed("store", self._journal.stored(record.id))
        return {"journal": durable - started, "store": self._clock.monotonic() - durable}

    async def _keep_quietly(self, staged: StagedBlob, record: Record) -> None:
        try:
            await self._keep(staged, record, AckLevel.DURABLE)
        except BestiaryError as error:
            log.error("record %s was accepted and could not be kept: %s", record.id, error)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _timed(self, stage: str, work: Awaitable[T]) -> T:
        started = self._clock.monotonic()
        try:
            return await work
        finally:
            self._observe(stage, self._clock.monotonic() - started)

    async def close(self, timeout_s: float) -> None:
        """Wait at most so long for what goes on without a caller: keeping ``accepted`` records, dropping refused
        photos."""
        if self._background:
            await asyncio.wait(self._background, timeout=timeout_s)


def _timings(before: Before, answer: Answer, triton_s: float, blob_s: float, here_s: float) -> Timings:
    """``here_s``: since the photo came to the use case."""
    model = answer.timings_ms
    return Timings(
        edge=round(before.edge_s * 1e3, 2),
        wait=round(before.wait_s * 1e3, 2),
        fetch=round(before.fetch_s * 1e3, 2),
        queue=round(max(0.0, triton_s * 1e3 - model["total"]), 2),
        decode=round(model["decode"], 2),
        detect=round(model["detect"], 2),
        classify=round(model["classify"], 2),
        model=round(model["total"], 2),
        triton=round(triton_s * 1e3, 2),
        blob=round(blob_s * 1e3, 2),
        total=round((before.wait_s + before.fetch_s + here_s) * 1e3, 2),
    )


def _record(received_at: datetime, request: Request, answer: Answer, photo: Photo, timings: Timings) -> Record:
    return Record(
        id=new_id(int(received_at.timestamp() * 1000)),
        received_at=received_at,
        status=RecordStatus.PARTIAL if answer.status is PhotoStatus.PARTIAL else RecordStatus.COMPLETE,
        owner=request.owner,
        tasks=request.options.tasks,
        verdict=answer.verdict,
        taxon=answer.taxon,
        species=answer.species,
        alternatives=answer.alternatives,
        count=answer.count,
        counts=answer.counts,
        boxes=answer.boxes,
        photo=photo,
        release=answer.release,
        timings_ms=timings,
    )


class _Kept:
    """The StagedBlob of a photo that has its name already."""

    async def commit(self) -> None:
        """It is there."""

    async def discard(self) -> None:
        """It stays."""


async def _nothing_to_store() -> StagedBlob:
    return _Kept()


async def _discard(staging: asyncio.Task[StagedBlob]) -> None:
    """Drop the staged bytes of a photo that was not answered."""
    try:
        await (await staging).discard()
    except BestiaryError as error:
        log.debug("a photo that was not answered could not be dropped: %s", error)


async def _sha256(data: bytes) -> str:
    """Hex digest; a large photo is hashed beside the event loop (hashlib lets go of the interpreter for it)."""
    if len(data) < HASH_INLINE_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
