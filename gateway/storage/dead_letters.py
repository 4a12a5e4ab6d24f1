"""Records that the result store will never take, kept for a person: one JSON object a line.

{"at": time, "reason": what the store said, "record": the record}

Several processes may append to one file. Who acknowledged such a record did not lie: it can still be read by id.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.storage.files import fsync_directory, make_directory, write_all

_ID: Final = re.compile(rb'"id": ?"([0-9a-f-]{36})"')
_CHUNK_BYTES: Final = 1 << 20


class DeadLetterFile:
    """An append-only JSON lines file. A record may be in it twice, as its batch may be tried again after a crash."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[UUID, int] = {}
        self._file: tuple[int, int] | None = None
        self._read_to = 0
        self._reading = asyncio.Lock()

    async def add(self, record: Record, reason: str, at: datetime) -> None:
        """Return once the line is durable. Raises StorageUnavailable if the disk does not take it."""
        letter = {"at": at.isoformat(), "reason": reason, "record": record.model_dump(mode="json", by_alias=True)}
        try:
            await asyncio.to_thread(self._append, json.dumps(letter).encode() + b"\n")
        except OSError as error:
            raise StorageUnavailable("The dead-letter file cannot be written.") from error

    async def get(self, record_id: UUID) -> Record | None:
        """The record of a letter, whoever wrote it; None if there is none. Raises StorageUnavailable.

        Only what was appended since the last call is read, so that asking for what does not exist stays cheap.
        """
        try:
            async with self._reading:
                return await asyncio.to_thread(self._find, record_id)
        except OSError as error:
            raise StorageUnavailable("The dead-letter file cannot be read.") from error

    def _append(self, line: bytes) -> None:
        make_directory(self._path.parent)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # until the close: another worker appends here too
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line  # a line that was cut off must not spoil this one
            write_all(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        fsync_directory(self._path.parent)

    def _find(self, record_id: UUID) -> Record | None:
        try:
            fd = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(fd)
            if self._file != (status.st_dev, status.st_ino) or status.st_size < self._read_to:
                # A person has mended the file, or taken it away.
                self._file, self._read_to = (status.st_dev, status.st_ino), 0
                self._lines.clear()
            for start, line in _whole_lines(fd, self._read_to, status.st_size):
                self._read_to = start + len(line)
                if (found := _ID.search(line)) is not None:
                    self._lines[UUID(found[1].decode())] = start
            place = self._lines.get(record_id)
            return None if place is None else _record(fd, place, self._read_to, record_id)
        finally:
            os.close(fd)


def _whole_lines(fd: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Each line that ends before ``end``, with where it begins."""
    rest = b""
    at = start
    while at < end:
        chunk = os.pread(fd, min(_CHUNK_BYTES, end - at), at)
        if not chunk:
            return
        at += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield start, line + b"\n"
            start += len(line) + 1


def _record(fd: int, start: int, end: int, record_id: UUID) -> Record | None:
    """The record in the line at ``start``; None if a person changed the file in place and it is another's now."""
    _, line = next(_whole_lines(fd, start, end), (start, b""))
    try:
        record = Record.model_validate(json.loads(line)["record"])
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
    return record if record.id == record_id else None
