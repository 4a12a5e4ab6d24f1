"""What the use case needs from the outside, as Protocols. Each has an embedded implementation and is
shaped for an Azure one (Triton anywhere, Cosmos DB, Blob Storage); one conformance suite runs over all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contract.answer import Answer
from contract.options import DEFAULTS, Options
from contract.priority import Priority
from contract.record import Camera, Location, Record
from contract.rollout import Tally
from gateway.auth.principal import Credentials, Principal


class Clock(Protocol):
    """Time, injected so that tests need not wait."""

    def now(self) -> datetime:
        """Wall clock, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back."""
        ...


class PhotoFacts(Protocol):
    """What a photo's header says; width and height are those of the upright photo, pixels."""

    @property
    def format(self) -> str:
        """Pillow's name of the format, e.g. ``JPEG``."""
        ...

    @property
    def width(self) -> int:
        """Pixels."""
        ...

    @property
    def height(self) -> int:
        """Pixels."""
        ...

    @property
    def captured_at(self) -> datetime | None:
        """The camera's local time, if the header has it."""
        ...

    @property
    def camera(self) -> Camera | None:
        """What the header says of the camera."""
        ...

    @property
    def location(self) -> Location | None:
        """Where the photo was taken, if the header has it."""
        ...


class PhotoInspector(Protocol):
    """Looks at a header before anything expensive happens."""

    def __call__(self, data: bytes) -> PhotoFacts:
        """Raises contract.photo_status.PhotoError."""
        ...


@dataclass(frozen=True, slots=True)
class Inference:
    """One photo's reply of ``animals``, raw and in words."""

    tensors: Mapping[str, bytes]
    """Output name -> little-endian bytes of one row, as KServe v2 carries them (BYTES elements with their four-byte
    length). Outputs about boxes may be left out for ``Task.SPECIES``."""

    answer: Answer
    """The same, read with the taxonomy of the release that answered."""

    recorded: Callable[[Record], None] | None = None
    """To be called with the record that was made of the answer, once it is kept; never raises and does not wait."""


class Authenticator(Protocol):
    """Knows callers by one kind of credentials: bearer token, API key, client certificate, or none at all."""

    @property
    def challenge(self) -> str:
        """What a caller without credentials is told in ``WWW-Authenticate``; '' where HTTP has no word for it."""
        ...

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Whose credentials these are; None if they are not of this kind.

        Raises Unauthenticated if they are and do not hold, NotReady if that cannot be known right now.
        """
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class TensorServer(Protocol):
    """A server of ``animals`` models, one a release, by their names in it; speaks tensors."""

    async def infer(
        self, model: str, photo: bytes, *, deadline: float, options: Options, priority: Priority
    ) -> Mapping[str, bytes]:
        """What ``model`` answers about one encoded photo, as :attr:`Inference.tensors`.

        Raises as :meth:`ModelServer.infer`.
        """
        ...

    async def ready(self, model: str) -> bool:
        """Whether the server and ``model`` would answer now. Never raises."""
        ...

    async def config(self, model: str) -> Any:
        """KServe v2 ``ModelConfigResponse``. Raises as :meth:`infer`."""
        ...

    async def statistics(self, model: str) -> Any:
        """KServe v2 ``ModelStatisticsResponse``. Raises as :meth:`infer`."""
        ...


class ModelServer(Protocol):
    """Who answers what is in a photo, whichever release that is."""

    async def infer(
        self,
        photo: bytes,
        *,
        deadline: float,
        options: Options = DEFAULTS,
        priority: Priority = Priority.INTERACTIVE,
        caller: str = "",
    ) -> Inference:
        """Find out about one encoded photo what ``options`` ask for. ``deadline`` is on the monotonic clock, seconds;
        ``priority`` decides where photos wait; a ``caller`` is answered by the same release from photo to photo.

        Raises ModelUnavailable, Overloaded, DeadlineExceeded, ModelFailed, NotReady (no release to answer with).
        """
        ...

    async def ready(self) -> bool:
        """Whether the server and the release would answer now. Never raises."""
        ...


class ModelDetails(Protocol):
    """What KServe v2 tells about the ``animals`` that answers."""

    async def config(self) -> Any:
        """``ModelConfigResponse``. Raises ModelUnavailable, NotReady."""
        ...

    async def statistics(self) -> Any:
        """``ModelStatisticsResponse``. Raises ModelUnavailable, NotReady."""
        ...


class ReleaseStatus(BaseModel):
    """Which releases answer here, as this process sees it."""

    model_config = ConfigDict(frozen=True)

    champion: str = Field(description="Identity of the release that answers; '' if none does yet.")
    challenger: str = Field("", description="Identity of the release that may become the next champion; '' for none.")
    stage: str = Field("", description="load, shadow, canary; probation, if the champion is new; '' for neither.")
    share: float = Field(0.0, description="Of photos (shadow) or of callers (canary) that the challenger gets.")
    previous: str = Field("", description="Identity of the champion before.")
    generation: int = Field(0, description="Of the rollout's state that is followed; 0 where a release is fixed.")
    tally: Tally = Field(
        Tally(),
        description="What this process saw of the challenger, or of a champion on probation; without names, as the "
        "photos are everybody's.",
    )


class Releases(Protocol):
    """Says which release answers."""

    def check(self) -> str:
        """``ok``, or a sentence on what is missing, for readiness."""
        ...

    def status(self) -> ReleaseStatus:
        """As things stand."""
        ...


class StagedBlob(Protocol):
    """Bytes that are written and have no name yet. Exactly one of the two is called; both survive being cancelled."""

    async def commit(self) -> None:
        """Give the bytes their name, durably. Raises StorageUnavailable."""
        ...

    async def discard(self) -> None:
        """Drop the bytes; a blob that had the name before stays. Raises StorageUnavailable."""
        ...


class BlobStore(Protocol):
    """Photos by name: a container and a path (gateway.blob_names). Names are chosen by content (SHA-256), so a second
    put of the same name is the same bytes.

    Two steps, so that a photo can be written while the model works on it and leaves nothing behind if it is
    refused (on Blob Storage: stage block, commit block list).
    """

    async def stage(self, name: str, data: bytes) -> StagedBlob:
        """Write durably, without the name. Must be awaited to its end. Raises StorageUnavailable."""
        ...

    async def put(self, name: str, data: bytes) -> None:
        """Stage and commit; a no-op if the name exists. Raises StorageUnavailable."""
        ...

    async def get(self, name: str, *, check_size: Callable[[int], None] | None = None) -> bytes:
        """The bytes. ``check_size`` is called with their number before any is read, and what it raises ends it.

        Raises InvalidRequest (no name of a blob), RecordNotFound, StorageUnavailable.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun and release everything."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that reads one photo and nothing else until ``expires_at``, UTC. Whoever has it can: it is a secret."""

    url: str
    expires_at: datetime


class PhotoLinks(Protocol):
    """Links to photos, for stores that can serve them without us."""

    async def link(self, name: str) -> Link:
        """A short-lived, read-only link. Raises InvalidRequest, StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which records to list, newest first. ``since`` is inclusive, ``until`` exclusive, both by upload time, UTC.
    ``species`` matches the common name of the whole-photo best species. ``owner`` '' is every owner's."""

    limit: int
    page_token: str = ""
    species: str = ""
    verdict: str = ""
    since: datetime | None = None
    until: datetime | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class DayCount:
    """Records of one UTC day, ``2026-11-22``, of one whole-photo best species ('' where there is none)."""

    day: str
    species: str
    records: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of records and the token for the next; '' at the end."""

    records: tuple[Record, ...]
    next_page_token: str


class ResultStore(Protocol):
    """Records where they can be queried. The partition follows from the id (contract.ids.partition_of)."""

    async def upsert(self, records: Sequence[Record]) -> None:
        """Store all durably; writing the same id again replaces it. Calls may overlap, never with the same id.

        Raises StorageUnavailable (``retry_after_s`` is kept); InvalidRequest or ValueError only where a record will
        never be taken: it is then found by halving the batch and becomes a dead letter."""
        ...

    async def get(self, record_id: UUID) -> Record:
        """Point read. Raises RecordNotFound, StorageUnavailable."""
        ...

    async def list(self, query: ListQuery) -> Page:
        """Newest first. Raises InvalidRequest on a garbled page token, StorageUnavailable."""
        ...

    async def counts_by_day(self, since: datetime, until: datetime, *, owner: str = "") -> tuple[DayCount, ...]:
        """Records by day and species, ordered by both, of uploads from ``since`` on and before ``until`` (UTC).
        Raises StorageUnavailable."""
        ...

    async def close(self) -> None:
        """Release everything; further calls raise StorageUnavailable."""
        ...


class Journal(Protocol):
    """Where a record is safe before it is stored. One fsync may serve many appends."""

    async def append(self, record: Record) -> None:
        """Return once the record would survive a power cut. Raises StorageUnavailable (disk) or
        Overloaded (bound reached: the store is behind)."""
        ...

    def undrained(self, record_id: UUID) -> Record | None:
        """A record that is in the journal and not in the store yet, so that readers see what was acknowledged."""
        ...

    async def stored(self, record_id: UUID) -> None:
        """Return once an appended record is in the result store; cancel it to stop waiting.

        Raises StorageUnavailable if that will not happen: the record became a dead letter, or the journal was
        closed first (it is still durable then, and stored after the next start).
        """
        ...

    def batches(self) -> AsyncIterator[Sequence[Record]]:
        """Batches of undrained records in append order; ends when the journal is sealed and every record was given,
        or closed. Several may be out at once, never two versions of one id. What was not committed comes again to
        the next iteration."""
        ...

    async def commit(self, records: Sequence[Record], *, dead_letters: Collection[UUID] = ()) -> None:
        """Say that a batch of ``batches`` is in the store, but for ``dead_letters``, which are safe elsewhere.
        Batches may be committed in any order; space is reused from the oldest on."""
        ...

    def seal(self) -> None:
        """Refuse further appends with StorageUnavailable, so that ``batches`` can come to its end."""
        ...
