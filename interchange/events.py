"""Bursts: photos of one camera that follow each other closely show one visit, which is one event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from contract.record import Record, Taxon
from interchange.findings import ANIMAL, UNKNOWN, Finding, Key, findings, key, lies_under, lineage

GAP: Final = timedelta(seconds=60)
"""Photos of one event follow each other within less than this, unless somebody says otherwise."""

VOTES: Final = 0.2
"""A name is kept in an event if it has at least this share of the leading name's votes."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What an event needs to know of one photo. ``place`` is its deployment, ``at`` the camera's local time."""

    id: UUID
    place: str
    name: str
    at: datetime | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A taxon in an event: how many animals at least, None where nobody counted; on how many photos; its best
    score there."""

    taxon: Taxon
    count: int | None
    photos: int
    score: float


@dataclass(frozen=True, slots=True)
class Event:
    """Photos of one place in the order of time. ``id`` is the same in every export of the same photos."""

    id: str
    place: str
    start: datetime
    end: datetime
    shots: tuple[Shot, ...]
    seen: tuple[Seen, ...]
    """Taxa that exclude each other, so that counts may be summed; most votes first. Empty: no animal."""


def shot(record: Record, place: str) -> Shot:
    """A record as an event needs it: boxes are left behind, so that many fit in memory."""
    light = tuple(Finding(one.taxon, one.count) for one in findings(record))
    return Shot(record.id, place, record.photo.filename or "", record.photo.captured_at, light)


def group(shots: Iterable[Shot], gap: timedelta = GAP) -> list[Event]:
    """Events by place and time; photos without a capture time belong to none.

    A photo starts a new event if the one before it, of the same place, is ``gap`` or more older.
    Raises ValueError if ``gap`` is under a second: cameras write no finer time that can be relied on.
    """
    if gap < timedelta(seconds=1):
        raise ValueError("The gap between events must be at least a second.")
    timed = sorted(
        ((one.place, one.at, one.name, one.id.int, one) for one in shots if one.at is not None),
        key=lambda row: row[:4],
    )
    events: list[list[Shot]] = []
    last: tuple[str, datetime] | None = None
    for place, at, _, _, one in timed:
        if last is None or place != last[0] or at - last[1] >= gap:
            events.append([])
        events[-1].append(one)
        last = place, at
    return [_event(shots) for shots in events]


def _event(shots: Sequence[Shot]) -> Event:
    times = [one.at for one in shots if one.at is not None]
    start, place = times[0], shots[0].place
    return Event(f"{place}/{start:%Y-%m-%dT%H:%M:%S}", place, start, times[-1], tuple(shots), summary(shots))


def summary(shots: Sequence[Shot]) -> tuple[Seen, ...]:
    """What an event shows, by vote.

    Each photo gives each taxon on it one vote, the best score that it has there. Taxa with less than ``VOTES`` of
    the leading taxon's votes are taken for slips of the classifier and left out. Of each taxon as many animals
    are counted as the photo with most of it shows. An ancestor ('some cat') counts only animals that its
    descendants in this event ('lion') cannot be, so that none is counted twice. Unknown stands only where
    nothing has a name.
    """
    votes: dict[Key, float] = defaultdict(float)
    taxa: dict[Key, Taxon] = {}
    for one in shots:
        for which, taxon in _best(one.findings).items():
            votes[which] += taxon.score
            if which not in taxa or taxon.score > taxa[which].score:
                taxa[which] = taxon
    named = [which for which, taxon in taxa.items() if taxon.rank != UNKNOWN] or list(taxa)
    least = VOTES * max((votes[which] for which in named), default=0.0)
    kept = [which for which in named if votes[which] >= least]
    counts = _exclusive(shots, {which: taxa[which] for which in kept})
    photos = {which: sum(any(finding.key == which for finding in one.findings) for one in shots) for which in kept}
    seen = [Seen(taxa[which], counts[which], photos[which], taxa[which].score) for which in kept if counts[which] != 0]
    return tuple(sorted(seen, key=lambda one: (-votes[key(one.taxon)], key(one.taxon))))


def _best(found: Iterable[Finding]) -> dict[Key, Taxon]:
    best: dict[Key, Taxon] = {}
    for finding in found:
        if finding.key not in best or finding.taxon.score > best[finding.key].score:
            best[finding.key] = finding.taxon
    return best


def _exclusive(shots: Sequence[Shot], taxa: dict[Key, Taxon]) -> dict[Key, int | None]:
    """Animals by taxon, each counted at one taxon only; 0 for an ancestor whose animals all have a narrower name.
    None where no photo was counted."""
    counts: dict[Key, int | None] = {}
    for which in sorted(taxa, key=lambda which: -_depth(taxa[which])):
        under = [other for other in taxa if lies_under(taxa[other], taxa[which])]
        most = max((_count(one, {which, *under}) for one in shots), default=0)
        anybody = any(finding.count is not None for one in shots for finding in one.findings if finding.key == which)
        if anybody:
            counts[which] = max(0, most - sum(counts[other] or 0 for other in under))
        else:
            counts[which] = 0 if under else None
    return counts


def _count(one: Shot, which: set[Key]) -> int:
    return sum(finding.count or 0 for finding in one.findings if finding.key in which)


def _depth(taxon: Taxon) -> int:
    """How narrow a taxon is, for comparing an ancestor with what lies under it."""
    return -1 if taxon.rank in (ANIMAL, UNKNOWN) else sum(map(bool, lineage(taxon)))
