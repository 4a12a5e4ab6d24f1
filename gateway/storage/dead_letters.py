"""Records that the result store will never take, kept for a person: one JSON object a line.

{"at": time, "reason": what the store said, "record": the record}
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime
from pathlib import Path

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.storage.files import fsync_directory, make_directory, write_all


class DeadLetterFile:
    """An append-only JSON lines file. A record may be in it twice, as its batch may be tried again after a crash."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def add(self, record: Record, reason: str, at: datetime) -> None:
        """Return once the line is durable. Raises StorageUnavailable if the disk does not take it."""
        letter = {"at": at.isoformat(), "reason": reason, "record": record.model_dump(mode="json", by_alias=True)}
        try:
            await asyncio.to_thread(self._append, json.dumps(letter).encode() + b"\n")
        except OSError as error:
            raise StorageUnavailable("The dead-letter file cannot be written.") from error

    def _append(self, line: bytes) -> None:
        make_directory(self._path.parent)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line  # a line that was cut off must not spoil this one
            write_all(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        fsync_directory(self._path.parent)
