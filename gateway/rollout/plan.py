"""Who answers what, as of now. Made by the follower, read by the router; replaced whole, so that a photo sees one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.rollout.lane import Lane
from gateway.rollout.watch import Pace, Watch


@dataclass(frozen=True, slots=True)
class Plan:
    """Without a ``watch`` nothing is going on, and the champion answers everything."""

    champion: Lane
    previous: Lane | None = None
    """Who is asked where the model server has no such champion (yet), and for a champion on probation that fails."""
    challenger: Lane | None = None
    """Who gets copies or callers; None while it is only loaded, and on probation."""
    share: float = 0.0
    watch: Watch | None = None
    pace: Pace | None = None
    """The champion's, while there is a challenger."""


def falls_to(release: str, name: str, share: float) -> bool:
    """Whether ``name``, a caller or a record, is in a release's ``share``. Always the same for the same two; who is in
    a larger share is all of a smaller one and more; another release gets others."""
    digest = hashlib.blake2b(f"{release}\0{name}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
