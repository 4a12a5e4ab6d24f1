"""A process that appends to a journal and prints the id of each record once it is acknowledged.

python journal_child.py forever DIRECTORY   template record on stdin; append until killed
python journal_child.py full DIRECTORY      the same on a disk that is full for a while; dies without closing
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from contract.ids import new_id
from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.storage.journal import FileJournal

TEMPLATE = Record.model_validate_json(sys.stdin.read())


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


async def append_one(journal: FileJournal) -> None:
    record = TEMPLATE.model_copy(update={"id": new_id(time.time_ns() // 1_000_000)})
    await journal.append(record)
    os.write(1, f"{record.id}\n".encode())


async def forever(directory: Path) -> None:
    journal = await FileJournal.open(directory, SystemClock(), segment_bytes=20_000)

    async def keep_appending() -> None:
        while True:
            await append_one(journal)

    await asyncio.gather(*(keep_appending() for _ in range(16)))


async def full(directory: Path) -> None:
    journal = await FileJournal.open(directory, SystemClock())
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    refused = 0
    while refused < 3:
        try:
            await append_one(journal)
        except StorageUnavailable:
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await append_one(journal)
    os.write(1, b"done\n")
    os._exit(0)


asyncio.run({"forever": forever, "full": full}[sys.argv[1]](Path(sys.argv[2])))
