"""Record ids: time-ordered UUIDs from which the partition follows, so a point read needs the id alone."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime
from typing import Final

PARTITION_BUCKETS: Final = 16
"""Partitions a day, so that one day's writes do not all land on one."""

_lock = threading.Lock()
_last = 0


def new_id(unix_ms: int) -> uuid.UUID:
    """A version-7 UUID (RFC 9562, section 5.7) for a moment in milliseconds since 1970.

    Ids made by one process strictly increase, even if the clock steps back: the 12 bits after the
    timestamp count up within a millisecond (RFC 9562, section 6.2, method 1).
    """
    global _last
    with _lock:
        _last = max(_last + 1, unix_ms << 12)
        moment = _last
    tail = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    value = (moment >> 12) << 80 | 0x7 << 76 | (moment & 0xFFF) << 64 | 0b10 << 62 | tail
    return uuid.UUID(int=value)


def id_time(record_id: uuid.UUID) -> datetime:
    """The moment in an id, UTC, millisecond resolution."""
    return datetime.fromtimestamp((record_id.int >> 80) / 1000, tz=UTC)


def partition_of(record_id: uuid.UUID) -> str:
    """Partition key of a record: its day and one of ``PARTITION_BUCKETS`` buckets, ``2026-11-22/7``."""
    return f"{id_time(record_id):%Y-%m-%d}/{record_id.int % PARTITION_BUCKETS:x}"
