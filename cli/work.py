"""Photos in work: a few at a time, each answered, already answered, or failed by itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.client import Client, Notice
from cli.errors import ClientError, Unreachable
from cli.ledger import Entry, Failure, Ledger, place
from cli.photos import Source
from contract.record import AckLevel, Record

Draw = Callable[[Source, bytes, Record], None]
"""Makes a photo's thumbnail. Raises OSError, ValueError."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One photo and what became of it: its record, why it has none, or what an earlier run made of it."""

    place: int
    source: Source
    result: Record | Failure | Entry
    stamp: tuple[int, int] | None = None
    """Size in bytes and time of the last change in ns, as of when it was read."""

    @property
    def path(self) -> str:
        """As it is told to people."""
        return self.source.path


class Ledgers:
    """The ledger of each folder on the command line. Use as a context manager."""

    def __init__(self) -> None:
        self._of_folder: dict[str, Ledger] = {}
        self._open = ExitStack()

    def open(self, folder: str, ledger: Path | None, url: str, asked: Mapping[str, str]) -> None:
        """Open a folder's ledger. Raises LedgerInUse, OSError."""
        path = ledger or place(Path(folder))
        self._of_folder[folder] = self._open.enter_context(Ledger.open(path, url, asked))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def find(self, source: Source) -> Entry | None:
        """What is settled about a photo; whether it is the same photo still is for the caller to see."""
        ledger = self._of_folder.get(source.folder or "")
        entry = ledger.find(source.below) if ledger else None
        return entry if entry is not None and entry.settled else None

    def note(self, outcome: Outcome) -> None:
        """Write down what became of a photo, if its folder has a ledger. Raises OSError."""
        ledger = self._of_folder.get(outcome.source.folder or "")
        if ledger is None or outcome.stamp is None or isinstance(outcome.result, Entry):
            return
        if isinstance(outcome.result, Record):
            entry = Entry(outcome.source.below, *outcome.stamp, outcome.result.photo.sha256, outcome.result.id)
        else:
            entry = Entry(outcome.source.below, *outcome.stamp, failure=outcome.result)
        ledger.add(entry)


def _ignore(sentence: str) -> None:
    pass


@dataclass(slots=True)
class Work:
    """What is to be done with every photo, and how many at once."""

    client: Client
    concurrency: int
    ack: AckLevel | None = None
    asked: Mapping[str, str] = field(default_factory=dict)
    settled: Callable[[Source], Entry | None] = lambda source: None
    """What an earlier run says of a photo."""
    draw: Draw | None = None
    drawn: Callable[[Source], bool] = lambda source: True
    """Whether there is a thumbnail already."""
    notice: Notice = _ignore

    async def outcomes(self, sources: Sequence[Source]) -> AsyncGenerator[Outcome, None]:
        """Each photo's outcome as soon as it is there, ``concurrency`` at a time. Raises Unreachable."""
        waiting = enumerate(sources)
        running: set[asyncio.Task[Outcome]] = set()
        try:
            while True:
                for number, source in islice(waiting, self.concurrency - len(running)):
                    running.add(asyncio.create_task(self._one(number, source)))
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                # What was answered is told before an error ends it all.
                for task in sorted(done, key=lambda task: task.exception() is not None):
                    yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _one(self, number: int, source: Source) -> Outcome:
        stamp: tuple[int, int] | None = None
        try:
            entry = self.settled(source)
            if entry is not None and await asyncio.to_thread(unchanged, source, entry):
                await self._draw_again(source, entry)
                return Outcome(number, source, entry)
            stamp = await asyncio.to_thread(stamped, source)
            photo = await asyncio.to_thread(source.read)
            record = await self.client.classify(photo, filename=source.filename, ack=self.ack, asked=self.asked)
            await self._draw(source, photo, record)
            return Outcome(number, source, record, stamp)
        except OSError as error:
            detail = f"The file cannot be read: {error.strerror}."
            return Outcome(number, source, Failure("unreadable", detail, True), stamp or (0, 0))
        except Unreachable:
            raise
        except ClientError as error:
            return Outcome(number, source, Failure(error.code, str(error), error.retryable), stamp)

    async def _draw_again(self, source: Source, entry: Entry) -> None:
        """The thumbnail of a photo that was answered in an earlier run."""
        if self.draw is None or entry.id is None or self.drawn(source):
            return
        try:
            record = await self.client.record(entry.id)
        except Unreachable:
            raise
        except ClientError as error:
            self.notice(f"{source.path}: no thumbnail, its result is gone: {error}")
            return
        await self._draw(source, await asyncio.to_thread(source.read), record)

    async def _draw(self, source: Source, photo: bytes, record: Record) -> None:
        if self.draw is None:
            return
        try:
            await asyncio.to_thread(self.draw, source, photo, record)
        except (OSError, ValueError) as error:
            self.notice(f"{source.path}: no thumbnail: {error}")


def stamped(source: Source) -> tuple[int, int]:
    """Size and time of the last change of a photo's file. Raises OSError."""
    if source.data is not None:
        return len(source.data), 0
    status = Path(source.path).stat()
    return status.st_size, status.st_mtime_ns


def unchanged(source: Source, entry: Entry) -> bool:
    """Whether a photo is the one that its entry is about: by size and time, else by its bytes, as copying a card
    changes times. Raises OSError."""
    size, mtime_ns = stamped(source)
    if size != entry.size:
        return False
    return mtime_ns == entry.mtime_ns or hashlib.sha256(source.read()).hexdigest() == entry.sha256
