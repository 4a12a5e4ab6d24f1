"""Journals of other processes on this machine, looked into without their owners' help, dead or alive.

A record that one worker acknowledged and has not drained yet is in the segments behind its checkpoint. Whoever is
asked for it reads those files: what is durable there is intact there. It costs the reading of what is not drained
(and up to a checkpoint's distance more), and only for ids that are not in the result store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.storage import frames, segments

JOURNAL: Final = "journal"
"""The journal's folder below the data directory; that of worker k is ``journal-<k>``."""


def journal_directory(data_dir: Path, worker: int | None) -> Path:
    """Where a process keeps its journal; ``worker`` is its slot, None for a gateway that is alone."""
    return data_dir / (JOURNAL if worker is None else f"{JOURNAL}-{worker}")


def journal_directories(data_dir: Path) -> list[Path]:
    """Every journal below a data directory, whoever it belongs to."""
    named = (path for path in data_dir.glob(f"{JOURNAL}-*") if path.name.removeprefix(f"{JOURNAL}-").isdecimal())
    return [path for path in (data_dir / JOURNAL, *sorted(named)) if path.is_dir()]


class SiblingJournals:
    """All journals below ``data_dir`` but ``own``. Never writes there."""

    def __init__(self, data_dir: Path, own: Path) -> None:
        self._data_dir = data_dir
        self._own = own
        self._one_at_a_time = asyncio.Lock()

    def exist(self) -> bool:
        """Whether there is any journal to look into."""
        return any(True for _ in self._others())

    async def undrained(self, record_id: UUID) -> Record | None:
        """A record that another journal has and the store perhaps not yet; None if none has it.

        Ask the store again after None: the record may have been drained meanwhile. Raises StorageUnavailable.
        """
        try:
            async with self._one_at_a_time:  # many unknown ids cost one thread and one segment of memory
                return await asyncio.to_thread(self._search, record_id)
        except OSError as error:
            raise StorageUnavailable("The journal of another worker cannot be read. Retry later.") from error

    def _search(self, record_id: UUID) -> Record | None:
        for directory in self._others():
            if (found := _search_journal(directory, record_id)) is not None:
                return found
        return None

    def _others(self) -> Iterator[Path]:
        return (directory for directory in journal_directories(self._data_dir) if directory != self._own)


def _search_journal(directory: Path, record_id: UUID) -> Record | None:
    checkpoint = segments.load_checkpoint(directory)
    text = str(record_id).encode()
    for number in reversed(segments.segment_numbers(directory)):
        if number < checkpoint.segment:
            continue
        try:
            content = segments.segment_path(directory, number).read_bytes()
        except FileNotFoundError:
            continue  # drained meanwhile
        if number == checkpoint.segment:
            content = content[checkpoint.offset :]
        # Most segments do not hold it, and a search for the bytes is a hundred times cheaper than a scan.
        if text in content and (found := _in_segment(content, record_id)) is not None:
            return found
    return None


def _in_segment(content: bytes, record_id: UUID) -> Record | None:
    """The last version in a segment. What its owner is just writing is not intact yet, and not acknowledged."""
    try:
        scan = frames.scan(content)
    except frames.UnknownVersion:
        return None
    text = str(record_id).encode()
    for frame in reversed(scan.frames):
        if text in frame.payload:
            try:
                record = Record.model_validate_json(frame.payload)
            except ValidationError:
                continue
            if record.id == record_id:
                return record
    return None
