"""What callers were told, held against what the store has in the end."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

CUT: Final = "connection"
"""Code of a call whose connection was refused, reset or cut: what a dead process looks like from outside."""

UNTYPED: Final = "untyped"
"""Code of a call that was answered with something that is no error of ours."""


@dataclass(frozen=True, slots=True)
class Call:
    """One photo sent, or one record read (``read``). Times are of the monotonic clock, seconds."""

    began: float
    ended: float
    edge: str
    gateway: int
    sha256: str
    code: str
    """``ok``, the ``code`` of the error, CUT or UNTYPED."""
    record_id: str = ""
    read: bool = False

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return self.code == "ok"


@dataclass(frozen=True, slots=True)
class Kept:
    """The verdict on records."""

    acknowledged: int
    missing: tuple[str, ...]
    """Ids that were acknowledged and are not in the store."""
    doubled: tuple[str, ...]
    """Photos (SHA-256), each sent once, that have more than one record."""
    changed: tuple[str, ...]
    """Ids whose record is about another photo than the one sent."""
    unasked: int
    """Records of photos whose caller got no answer: written, and harmless."""

    @property
    def whole(self) -> bool:
        """Whether the promise was kept."""
        return not (self.missing or self.doubled or self.changed)

    def as_json(self) -> dict[str, Any]:
        """By field."""
        return asdict(self)


@dataclass(slots=True)
class Ledger:
    """All calls; threads add, one reads."""

    _calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, call: Call) -> None:
        """Note a call that has ended."""
        with self._lock:
            self._calls.append(call)

    def calls(self) -> list[Call]:
        """All so far, in order of their ends."""
        with self._lock:
            return list(self._calls)

    def acknowledged(self) -> list[Call]:
        """Photos whose caller has an id."""
        return [call for call in self.calls() if call.ok and not call.read]


def kept(calls: Iterable[Call], stored: Mapping[str, str] | Sequence[tuple[str, str]]) -> Kept:
    """Compare calls with the store's records, (id, SHA-256 of the photo); a store may hold one id only once."""
    rows = list(stored.items() if isinstance(stored, Mapping) else stored)
    by_id = dict(rows)
    acknowledged = {call.record_id: call.sha256 for call in calls if call.ok and not call.read}
    of_photo: defaultdict[str, set[str]] = defaultdict(set)
    for record_id, sha256 in rows:
        of_photo[sha256].add(record_id)
    counted = Counter(record_id for record_id, _ in rows)
    doubled = {sha256 for sha256, ids in of_photo.items() if len(ids) > 1}
    doubled |= {by_id[record_id] for record_id, times in counted.items() if times > 1}
    return Kept(
        acknowledged=len(acknowledged),
        missing=tuple(sorted(set(acknowledged) - set(by_id))),
        doubled=tuple(sorted(doubled)),
        changed=tuple(sorted(id_ for id_, sha256 in acknowledged.items() if by_id.get(id_, sha256) != sha256)),
        unasked=len(set(by_id) - set(acknowledged)),
    )
