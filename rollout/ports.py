"""The model store as everybody who takes part in a rollout sees it; a directory or Blob Storage behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from contract.release import Release
from contract.rollout import RolloutState

ReportKind = Literal["replicas", "gateways"]


@dataclass(frozen=True, slots=True)
class Versioned:
    """A state and the version that a write has to name: nobody overwrites what he has not read."""

    state: RolloutState
    version: str


class ModelStore(Protocol):
    """Releases by identity (``name@digest``), the rollout's state, and what replicas and gateways report.

    Every method raises StoreUnavailable if the store cannot be reached.
    """

    async def put(self, folder: Path) -> str:
        """Keep the release in ``folder`` (a model repository); its identity. Visible whole or not at all, and a no-op
        if it is there. Raises ReleaseBroken if a file is missing or has another digest than its manifest says."""
        ...

    async def fetch(self, identity: str, folder: Path) -> None:
        """Write a release's files to ``folder``, which appears whole and verified or not at all.

        Raises ReleaseNotFound, ReleaseBroken."""
        ...

    async def releases(self) -> tuple[str, ...]:
        """Identities of all kept releases, sorted."""
        ...

    async def manifest(self, identity: str) -> Release:
        """A release's manifest, its identity checked. Raises ReleaseNotFound, ReleaseBroken."""
        ...

    async def text(self, identity: str, path: str) -> str:
        """One small text file of a release, its digest checked, e.g. the taxonomy. Raises as :meth:`manifest`."""
        ...

    async def delete(self, identity: str) -> None:
        """Forget a release; a no-op if there is none."""
        ...

    async def state(self) -> Versioned | None:
        """The newest state; None before the first."""
        ...

    async def write_state(self, state: RolloutState, version: str | None) -> str:
        """Replace the state that has ``version`` (None: there is none yet); the new version.

        Raises StateConflict if somebody else wrote first: read again, decide again."""
        ...

    async def report(self, kind: ReportKind, name: str, text: str) -> None:
        """Replace one part's report."""
        ...

    async def reports(self, kind: ReportKind) -> Mapping[str, str]:
        """Every part's newest report by name."""
        ...

    async def drop_report(self, kind: ReportKind, name: str) -> None:
        """Forget the report of a part that is gone; a no-op if there is none."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...
