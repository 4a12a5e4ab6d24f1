"""Groups of photos that belong together, and the part that each group goes to."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from training.datasets.inspect import Looked
from training.datasets.model import PARTS, Part
from training.datasets.near import Pair
from training.split import TEST_SHARE, VALIDATION_SHARE

BURST_GAP: Final = timedelta(seconds=60)
"""Photos of one camera that follow each other within less are one burst, as in ``interchange.events``."""

LOCATION: Final = "location"
SEQUENCE: Final = "sequence"
BURST: Final = "burst"
PICTURE: Final = "picture"


def places(photos: Sequence[Looked]) -> list[str]:
    """What each photo shares with others that were taken beside it: its location if it is known (from EXIF's position
    if the source names none), else its sequence, else its burst; '' for a photo alone."""
    found = []
    for photo in photos:
        if photo.offered.location:
            found.append(f"{LOCATION}:{photo.offered.location}")
        elif photo.position:
            found.append(f"{LOCATION}:{photo.position}")
        elif photo.offered.sequence:
            found.append(f"{SEQUENCE}:{photo.offered.sequence}")
        else:
            found.append("")
    for burst in _bursts([(at, photo) for at, photo in enumerate(photos) if not found[at] and photo.captured_at]):
        if len(burst) > 1:
            name = f"{BURST}:{min(photos[at].sha256 for at in burst)[:12]}"
            for at in burst:
                found[at] = name
    return found


def _bursts(photos: Iterable[tuple[int, Looked]]) -> list[list[int]]:
    """Places of photos by burst: one camera, one folder, each within ``BURST_GAP`` of the one before."""
    cameras: dict[tuple[str, str], list[tuple[int, Looked]]] = defaultdict(list)
    for at, photo in photos:
        cameras[(photo.offered.name.rpartition("/")[0], photo.camera)].append((at, photo))
    bursts: list[list[int]] = []
    for shots in cameras.values():
        before = None
        for at, photo in sorted(shots, key=lambda shot: (str(shot[1].captured_at), shot[0])):
            moment = photo.captured_at
            if before is None or moment is None or moment - before >= BURST_GAP:
                bursts.append([])
            bursts[-1].append(at)
            before = moment
    return bursts


def groups(photos: Sequence[Looked], beside: Sequence[str], pairs: Iterable[Pair]) -> list[str]:
    """The group of each photo: ``places`` (here ``beside``), joined where photos are near-duplicates.

    A group is called after its first location, else its first sequence or burst, else its first picture by SHA-256.
    """
    parent = list(range(len(photos)))

    def top(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first_of: dict[str, int] = {}
    for at, place in enumerate(beside):
        if place:
            parent[top(at)] = top(first_of.setdefault(place, at))
    for pair in pairs:
        parent[top(pair.first)] = top(pair.second)
    members: dict[int, list[int]] = defaultdict(list)
    for at in range(len(photos)):
        members[top(at)].append(at)
    found = [""] * len(photos)
    for some in members.values():
        name = _name({beside[at] for at in some}, min(photos[at].sha256 for at in some))
        for at in some:
            found[at] = name
    return found


def _name(beside: set[str], sha256: str) -> str:
    for kind in (LOCATION, SEQUENCE, BURST):
        of_kind = [place for place in beside if place.startswith(f"{kind}:")]
        if of_kind:
            return min(of_kind)
    return f"{PICTURE}:{sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Member:
    """What the split needs to know of a photo."""

    sha256: str
    label: str
    group: str


def assign(photos: Sequence[Member], seed: int, earlier: Mapping[str, Part] | None = None) -> list[Part]:
    """The part of each photo. No group is in two parts.

    A group with a photo of an ``earlier`` version (SHA-256 -> part) stays where most of those photos were, so what
    was held back is never learned from later. Others are ordered by a seeded hash of their name:

    - A location shows many classes. It goes where its hash says, whatever else there is; if three or more would leave
      a part empty, it gets one of the part that has most.
    - Other groups fill up the shares of their own class, ``TEST_SHARE`` and then ``VALIDATION_SHARE`` of the rest,
      in that order: other classes do not matter.
    """
    members: dict[str, list[Member]] = defaultdict(list)
    for photo in photos:
        members[photo.group].append(photo)
    part_of: dict[str, Part] = {}
    for name, some in members.items():
        votes = Counter(part for photo in some if earlier and (part := earlier.get(photo.sha256)))
        if votes:
            part_of[name] = max(PARTS, key=lambda part: (votes[part], PARTS.index(part)))
    strata: dict[str, dict[str, int]] = defaultdict(dict)
    for name, some in members.items():
        label = "" if name.startswith(f"{LOCATION}:") else min(photo.label for photo in some)
        strata[label][name] = len(some)
    for label, sizes in strata.items():
        ordered = sorted(sizes, key=lambda name: (share_of(name, seed), name))
        if label:
            _fill(ordered, sizes, part_of)
        else:
            _scatter(ordered, seed, part_of)
    return [part_of[photo.group] for photo in photos]


def share_of(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's name and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed} {group}".encode()).digest()[:6], "big") / 2**48


def _fill(ordered: Sequence[str], sizes: Mapping[str, int], part_of: dict[str, Part]) -> None:
    """Give whole groups to a part until it has its share of the class."""
    total = sum(sizes.values())
    wanted: dict[Part, float] = {"test": TEST_SHARE * total, "validation": VALIDATION_SHARE * (1 - TEST_SHARE) * total}
    for part, share in wanted.items():
        taken = sum(sizes[name] for name in ordered if part_of.get(name) == part)
        for name in ordered:
            if name not in part_of and taken + sizes[name] / 2 <= share:
                part_of[name] = part
                taken += sizes[name]
    for name in ordered:
        part_of.setdefault(name, "train")


def _scatter(ordered: Sequence[str], seed: int, part_of: dict[str, Part]) -> None:
    """Send each location where its hash says; with three or more of them, at least one to each part."""
    rest = [name for name in ordered if name not in part_of]
    limits: dict[Part, float] = {"test": TEST_SHARE, "validation": TEST_SHARE + VALIDATION_SHARE * (1 - TEST_SHARE)}
    for name in rest:
        share = share_of(name, seed)
        part_of[name] = next((part for part, limit in limits.items() if share < limit), "train")
    if len(ordered) < len(PARTS):
        return
    for part in PARTS:
        if all(part_of[name] != part for name in ordered):
            most, count = Counter(part_of[name] for name in ordered).most_common(1)[0]
            free = [name for name in rest if part_of[name] == most]
            if free and count > 1:
                part_of[free[0]] = part
