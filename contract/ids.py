"""Record ids: time-ordered UUIDs from which the partition follows, so a point read needs the id alone."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime
from typing import Final

PARTITION_BUCKETS: Final = 16
"""Partitions a day, so that one day's writes do not all land on one."""


class IdSource:
    """Makes version-7 UUIDs (RFC 9562, section 5.7) that strictly increase, even if the clock steps back: the
    12 bits after the timestamp count up within a millisecond (RFC 9562, section 6.2, method 1). Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self, unix_ms: int) -> uuid.UUID:
        """An id for a moment in milliseconds since 1970, or just after the last one if that was later."""
        with self._lock:
            self._last = max(self._last + 1, unix_ms << 12)
            moment = self._last
        tail = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
        return uuid.UUID(int=(moment >> 12) << 80 | 0x7 << 76 | (moment & 0xFFF) << 64 | 0b10 << 62 | tail)


_SOURCE = IdSource()


def new_id(unix_ms: int) -> uuid.UUID:
    """An id from the source of this process; see :class:`IdSource`."""
    return _SOURCE.new(unix_ms)


def id_time(record_id: uuid.UUID) -> datetime:
    """The moment in an id, UTC, millisecond resolution."""
    return datetime.fromtimestamp((record_id.int >> 80) / 1000, tz=UTC)


def partition_of(record_id: uuid.UUID) -> str:
    """Partition key of a record: its day and one of ``PARTITION_BUCKETS`` buckets, ``2026-11-22/7``."""
    return f"{id_time(record_id):%Y-%m-%d}/{record_id.int % PARTITION_BUCKETS:x}"
