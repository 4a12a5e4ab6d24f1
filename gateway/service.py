"""What every edge calls: classify, read, list, readiness. Edges only translate to and from this."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from contract.options import DEFAULTS, Options
from contract.priority import Priority
from contract.record import AckLevel, Record
from gateway.admission import Admission
from gateway.audit import audit
from gateway.auth.guard import require
from gateway.auth.principal import Kind, Principal, Scope
from gateway.blob_names import UPLOADS, BlobReferences
from gateway.classify import Before, Classifier, Outcome, Request, StageObserver
from gateway.errors import BestiaryError, DeadlineExceeded, InvalidRequest, RecordNotFound
from gateway.metrics import Metrics
from gateway.ports import (
    BlobStore,
    Clock,
    Link,
    ListQuery,
    ModelServer,
    Page,
    PhotoLinks,
    Releases,
    ReleaseStatus,
    ResultStore,
)
from gateway.quota import Quotas

MAX_FILENAME = 1024
MAX_PAGE = 500
DEFAULT_PAGE = 50


@dataclass(frozen=True, slots=True)
class BlobReference:
    """A photo that is in the blob store: what the caller wrote, and who counts the bytes (see Admission.hold)."""

    text: str
    take: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether photos would be answered now, and if not, why."""

    ready: bool
    checks: dict[str, str]


class Service:
    """The data plane. All methods raise only BestiaryError."""

    def __init__(
        self,
        *,
        admission: Admission,
        quotas: Quotas,
        classifier: Classifier,
        model: ModelServer,
        store: ResultStore,
        blobs: BlobStore,
        references: BlobReferences,
        links: PhotoLinks | None,
        clock: Clock,
        metrics: Metrics,
        default_ack: AckLevel,
        observe: StageObserver,
        find: Callable[[UUID], Awaitable[Record]],
        releases: Releases,
        draining: Callable[[], bool],
        triton_status_file: Path | None,
    ) -> None:
        self.admission = admission
        self._quotas = quotas
        self._classifier = classifier
        self._model = model
        self._store = store
        self._blobs = blobs
        self._references = references
        self._links = links
        self.clock = clock
        self._metrics = metrics
        self._observe = observe
        self._default_ack = default_ack
        self._find = find
        self._releases = releases
        self._draining = draining
        self._triton_status_file = triton_status_file

    async def classify(
        self,
        photo: bytes | BlobReference,
        *,
        principal: Principal,
        edge: str,
        timeout_s: float | None = None,
        filename: str | None = None,
        ack: AckLevel | None = None,
        options: Options = DEFAULTS,
        keep_location: bool = False,
        caller: str = "",
        priority: Priority = Priority.INTERACTIVE,
        entered: float | None = None,
    ) -> Outcome:
        """Admit and classify one photo, read from the blob store first if it is a reference; its record is the
        principal's. ``edge`` labels the metrics, ``caller`` is whose share of the service it is where nobody has to say
        who he is, ``entered`` is when the edge began to read the request (monotonic clock); other arguments None for
        the default. Raises as Classifier.classify, and BlobRefused, RecordNotFound for a reference."""
        started = self.clock.monotonic()
        edge_s = 0.0 if entered is None else started - entered
        self._observe("edge", edge_s)
        outcome = "cancelled"
        try:
            deadline = started + self.admission.timeout_s(timeout_s)
            data, source = photo, None
            if isinstance(data, BlobReference):
                source = self._reference(data, principal)
            else:
                self.admission.check_size(len(data))
            share = caller if principal.kind is Kind.OPEN else principal.owner
            size_bytes = 0 if isinstance(data, BlobReference) else len(data)
            admitted = self.admission.admit(caller=share, priority=priority, deadline=deadline, size_bytes=size_bytes)
            with self._quotas.admit(principal):
                async with admitted as place:
                    self._observe("wait", place.waited_s)
                    fetch_s = 0.0
                    if isinstance(data, BlobReference):
                        data, fetch_s = await self._fetch(source or "", data.take, deadline)
                    result = await self._classifier.classify(
                        Request(
                            photo=data,
                            source=source,
                            kept=source is not None and source.startswith(f"{UPLOADS}/"),
                            deadline=deadline,
                            filename=plain(filename),
                            ack=ack or self._default_ack,
                            options=options,
                            keep_location=keep_location,
                            owner=principal.owner,
                            caller=share,
                            priority=priority,
                            model_answered=place.model_answered,
                            before=Before(edge_s, place.waited_s, fetch_s),
                        )
                    )
            outcome = "ok"
            return result
        except BestiaryError as error:
            outcome = error.reason
            raise
        finally:
            self._metrics.photos.labels(edge, outcome).inc()
            if outcome == "ok":
                latency = self._metrics.latency.labels(options.tasks.value, priority.value)
                latency.observe(self.clock.monotonic() - started)

    async def get(self, record_id: str, principal: Principal) -> Record:
        """An acknowledged record, wherever it is. Raises InvalidRequest (not an id), RecordNotFound,
        StorageUnavailable.

        Another owner's record is not found, in the same words as one that never was, but for an admin.
        """
        parsed = parse_id(record_id)
        missing = RecordNotFound(f"There is no record {parsed}.")
        try:
            record = await self._find(parsed)
        except RecordNotFound:
            raise missing from None
        if not principal.may_read(record.owner):
            raise missing
        if record.owner != principal.owner:
            audit(principal.owner, "record.read", f"{record.owner} {parsed}")
        return record

    async def photo(self, record_id: str, principal: Principal) -> tuple[Record, bytes]:
        """The photo of a record as it was uploaded. Raises as :meth:`get`."""
        record = await self.get(record_id, principal)
        return record, await self._blobs.get(record.photo.blob)

    async def photo_link(self, record_id: str, principal: Principal) -> Link | None:
        """A short-lived link to a record's photo; None where only :meth:`photo` serves it. Raises as :meth:`get`."""
        record = await self.get(record_id, principal)
        return None if self._links is None else await self._links.link(record.photo.blob)

    def _reference(self, blob: BlobReference, principal: Principal) -> str:
        """The name of a blob that the principal may refer to. Uploads are somebody's: a record of another's would open
        them to its owner, so where callers are told apart only an admin refers to them. Raises BlobRefused, Forbidden.
        """
        name = self._references.name_of(blob.text)
        if name.startswith(f"{UPLOADS}/") and principal.kind is not Kind.OPEN:
            require(principal, Scope.ADMIN)
        return name

    async def _fetch(self, name: str, take: Callable[[int], None], deadline: float) -> tuple[bytes, float]:
        """A photo out of the blob store, not larger than one that is sent, and the seconds that took. Raises
        PhotoRejected, Overloaded, RecordNotFound, StorageUnavailable, DeadlineExceeded."""

        def check(size_bytes: int) -> None:
            self.admission.check_size(size_bytes)
            take(size_bytes)

        started = self.clock.monotonic()
        try:
            async with asyncio.timeout(deadline - started):
                photo = await self._blobs.get(name, check_size=check)
                return photo, self.clock.monotonic() - started
        except TimeoutError:
            raise DeadlineExceeded("The photo could not be read within the deadline: allow more time.") from None
        finally:
            self._observe("fetch", self.clock.monotonic() - started)

    async def list(self, query: ListQuery, principal: Principal) -> Page:
        """Stored records, newest first, the principal's own, or everybody's for an admin; ``limit`` 0 is the default.
        Raises InvalidRequest, StorageUnavailable."""
        if not 0 <= query.limit <= MAX_PAGE:
            raise InvalidRequest(f"The page size must be 1 to {MAX_PAGE}.")
        everybody = principal.holds(Scope.ADMIN)
        if everybody and principal.kind is not Kind.OPEN:
            audit(principal.owner, "records.list", "every owner")
        owner = "" if everybody else principal.owner
        return await self._store.list(replace(query, limit=query.limit or DEFAULT_PAGE, owner=owner))

    async def readiness(self) -> Readiness:
        """Ask Triton, look at the supervisor's word, and at ourselves."""
        checks = {
            "triton": "ok" if await self._model.ready() else self._triton_state(),
            "release": self._releases.check(),
            "gateway": "ok" if self.admission.open else "starting or shutting down",
            "storage": "ok" if self._draining() else "the journal is no longer drained: see the log, then restart",
        }
        return Readiness(all(check == "ok" for check in checks.values()), checks)

    def releases(self) -> ReleaseStatus:
        """Which releases answer, as this process sees it."""
        return self._releases.status()

    def _triton_state(self) -> str:
        """What the supervisor of a local Triton last wrote, e.g. ``restarting (restarts: 2, last exit: signal 9)``."""
        unknown = "unreachable, or the release is not loaded"
        if self._triton_status_file is None:
            return unknown
        try:
            status = json.loads(self._triton_status_file.read_text())
            return f"{status['state']} (restarts: {status['restarts']}, last exit: {status['last_exit']})"
        except (OSError, ValueError, KeyError, TypeError):
            return unknown


def plain(filename: str | None) -> str | None:
    """A file name that can be stored: valid Unicode, at most MAX_FILENAME characters."""
    return filename[:MAX_FILENAME].encode(errors="replace").decode() if filename else None


def parse_id(text: str) -> UUID:
    """A record id from a caller. Raises InvalidRequest."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest("This is not a record id: use the `id` of a classification.") from None
