"""Which stored results a command is about: those that match, or those of one folder by its ledger."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Annotated, Final, Self
from uuid import UUID

import typer

from cli import ledger, render
from cli.client import Client, Filters
from cli.errors import Refused
from cli.options import complain
from cli.photos import printable_name
from contract.ids import id_time
from contract.record import Record, Verdict

AT_ONCE: Final = 8
"""Results asked for by id at the same time."""

WORTH_LISTING: Final = 20
"""As many results as are listed at once rather than asked for by id."""

APART: Final = timedelta(seconds=60)
"""Results that are more apart were not of one run."""

NOT_FOUND: Final = "not_found"


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date or time such as 2026-11-22 or 2026-11-22T18:00Z.") from None


Species = Annotated[str, typer.Option(help="Common name of the best species, e.g. lion.")]
OfVerdict = Annotated[Verdict | None, typer.Option(help="Only this verdict.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=_moment, metavar="TIME", help="Uploaded then or later; UTC unless it says otherwise."),
]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="Uploaded before then.")]
LedgerOption = Annotated[
    Path | None,
    typer.Option("--ledger", metavar="PATH", help="Only photos of this classified folder, or of this ledger file."),
]


class Folder:
    """The photos of one folder as its ledger has them."""

    def __init__(self, path: Path) -> None:
        """Raises typer.BadParameter if there is no ledger."""
        try:
            self._entries = ledger.read(ledger.place(path))
        except OSError as error:
            message = f"There is no ledger at {ledger.place(path)} ({error.strerror}): classify the folder first."
            raise typer.BadParameter(message, param_hint="--ledger") from error
        self.gone = 0
        """Results that the service no longer has."""

    def failures(self, *, of_the_photo: bool = False) -> dict[str, str]:
        """File -> why it has no result; ``of_the_photo``: only what sending it again would not change."""
        return {
            printable_name(entry.path): f"{entry.failure.code}: {entry.failure.detail}"
            for entry in self._entries
            if entry.failure is not None and (entry.settled or not of_the_photo)
        }

    async def records(self, client: Client) -> AsyncGenerator[Record, None]:
        """Its results, in no particular order. Raises ClientError.

        Ids have their time in them, so those of one run are found by listing what was uploaded then; the few that
        stand alone, and those that are not listed yet, are asked for one by one.
        """
        left = {entry.id for entry in self._entries if entry.id is not None}
        for since, until in _spans(left):
            async with aclosing(client.records(Filters(since=since, until=until))) as listed:
                async for record in listed:
                    if record.id in left:
                        left.remove(record.id)
                        yield record
        async with aclosing(_one_by_one(client, left)) as found:
            async for one in found:
                if one is None:
                    self.gone += 1
                else:
                    yield one


def _spans(ids: Iterable[UUID]) -> list[tuple[datetime, datetime]]:
    """From and to when so many results follow each other so closely that listing beats asking for each."""
    runs: list[list[datetime]] = []
    for at in sorted(map(id_time, ids)):
        if not runs or at - runs[-1][-1] > APART:
            runs.append([])
        runs[-1].append(at)
    second = timedelta(seconds=1)
    return [(run[0] - second, run[-1] + second) for run in runs if len(run) >= WORTH_LISTING]


async def _one_by_one(client: Client, ids: Iterable[UUID]) -> AsyncGenerator[Record | None, None]:
    waiting = iter(sorted(ids))
    running: deque[asyncio.Task[Record | None]] = deque()
    try:
        while True:
            for found in islice(waiting, AT_ONCE - len(running)):
                running.append(asyncio.create_task(_fetch(client, found)))
            if not running:
                return
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _fetch(client: Client, record_id: UUID) -> Record | None:
    try:
        return await client.record(record_id)
    except Refused as error:
        if error.code == NOT_FOUND:
            return None
        raise


async def each(client: Client, which: Filters | Folder, do: Callable[[Record], None], limit: int | None = None) -> int:
    """Call ``do`` with every record, newest first; those of a folder in no order. How many. Raises ClientError."""
    count = 0
    records = client.records(which, limit) if isinstance(which, Filters) else which.records(client)
    async with client, aclosing(records):
        async for record in records:
            do(record)
            count += 1
    if isinstance(which, Folder) and which.gone:
        complain(f"{which.gone} results of the ledger are not in the service's store: is this the right --url?")
    return count


def chosen(folder: Path | None, filters: Filters) -> Filters | Folder:
    """What the options ask for. Raises typer.BadParameter if they contradict each other."""
    if folder is None:
        return filters
    if filters != Filters():
        message = "takes no --species, --verdict, --since or --until beside it"
        raise typer.BadParameter(message, param_hint="--ledger")
    return Folder(folder)


def client(url: str, timeout_s: float, retries: int, headers: Mapping[str, str], connections: int = AT_ONCE) -> Client:
    """A client that tells a person why it takes longer."""
    notice = render.notice(render.console(sys.stderr))
    return Client(url, timeout_s=timeout_s, retries=retries, connections=connections, notice=notice, headers=headers)


class Spool:
    """Records on disk, to be gone through more than once; memory holds one at a time. Use as a context manager."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="bestiary-")
        self._path = Path(self._folder.name) / "records.jsonl"
        self._file = self._path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._folder.cleanup()

    def add(self, record: Record) -> None:
        """Take one more. Raises OSError."""
        self._file.write(record.model_dump_json(by_alias=True) + "\n")

    def __iter__(self) -> Iterator[Record]:
        """From the first."""
        self._file.flush()
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                yield Record.model_validate_json(line)


class Each:
    """Goes through ``make()`` anew each time."""

    def __init__(self, make: Callable[[], Iterable[Record]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Record]:
        """From the first."""
        return iter(self._make())
