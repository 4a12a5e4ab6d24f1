"""What a rollout says and what its parts report: the documents that CLI, sync agents and gateways share.

They lie in the model store beside the releases (``rollout/``). One document, the state, decides which release answers;
everybody else follows it and reports.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

HISTORY: Final = 100
"""Events that the state keeps."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a newer part may say more


def tag_of(identity: str) -> str:
    """``2@ab12cd34ef56`` → ``ab12cd34ef56``: what a release's folders and models are told apart by."""
    return identity.rpartition("@")[2]


def model_name(model: str, identity: str) -> str:
    """A release's model in Triton, e.g. ``animals.ab12cd34ef56``: releases stand side by side under names of their own.

    Without an identity it is the plain name, as where Triton serves a model repository without a rollout.
    """
    return f"{model}.{tag_of(identity)}" if identity else model


class Stage(StrEnum):
    """How far a challenger has come."""

    LOAD = "load"
    """Replicas load and warm it up; no photo reaches it."""
    SHADOW = "shadow"
    """A share of the photos is answered by it too, and nobody but the ledger hears what it says."""
    CANARY = "canary"
    """It answers a share of the callers."""


class Challenger(_Frozen):
    """The release that may become the next champion."""

    release: str = Field(description="Identity, `name@digest`.")
    stage: Stage
    share: float = Field(0.0, ge=0, le=1, description="Of photos (shadow) or of callers (canary).")
    since: str = Field(description="When the stage was entered, ISO 8601, UTC.")


class Probation(_Frozen):
    """A champion that was promoted a moment ago, and who answers again if it breaks its bounds."""

    previous: str
    until: str = Field(description="ISO 8601, UTC.")


class Event(_Frozen):
    """One act, by a person or by a gateway that saw a bound broken."""

    at: str
    act: str = Field(description="seed, load, shadow, canary, promote, rollback, refuse or clear.")
    release: str
    by: str = Field(description="Who: a user name, or `gateway NAME`, `replica NAME`.")
    reason: str = ""


class RolloutState(_Frozen):
    """Which release answers. Written whole, and only by who has read the newest (compare and swap)."""

    schema_version: int = 1
    generation: int = Field(0, description="Grows by one with every write.")
    champion: str = Field(description="Identity of the release that answers.")
    challenger: Challenger | None = None
    previous: str | None = Field(None, description="The champion before; stays loaded, so that a rollback is instant.")
    probation: Probation | None = None
    refused: dict[str, str] = Field(default_factory=dict, description="Release -> why it was refused or rolled back.")
    history: tuple[Event, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """Releases that every replica has to have loaded, the champion first, each once."""
        challenger = self.challenger.release if self.challenger else None
        return tuple(dict.fromkeys(one for one in (self.champion, challenger, self.previous) if one))


class Bounds(_Frozen):
    """What a release may do before it is rolled back by itself; part of its manifest."""

    min_photos: int = Field(50, ge=1, description="Fewer of them prove nothing: shares below count from here on.")
    max_error_rate: float = Field(0.01, ge=0, le=1, description="Of photos that its models failed on.")
    max_disagreement: float = Field(
        0.2, ge=0, le=1, description="Of photos that the champion names surely and it names otherwise (shadow)."
    )
    max_slowdown: float = Field(2.0, gt=1, description="Its median time in the model server over the champion's.")


class ReplicaReport(_Frozen):
    """What one model server has loaded, as its sync agent last saw it."""

    replica: str
    at: str = Field(description="ISO 8601, UTC; older than a few periods means that the replica is gone.")
    generation: int = Field(description="Of the state that this follows.")
    loaded: tuple[str, ...] = Field(description="Releases that are loaded, warm and checked.")
    failed: dict[str, str] = Field(default_factory=dict, description="Release -> why it could not be loaded.")


class Disagreement(_Frozen):
    """One photo that two releases named differently."""

    record: str = Field(description="Id of the champion's record.")
    photo: str = Field(description="Name of the photo's blob.")
    champion: str = Field(description="Common name that the champion's answer has.")
    challenger: str = Field(description="Common name that the challenger's answer has.")
    score: float = Field(description="Of the challenger's answer.")


class Tally(_Frozen):
    """What one gateway saw of one release since it entered its stage."""

    photos: int = 0
    errors: int = 0
    compared: int = Field(0, description="Photos whose two answers were compared.")
    disagreed: int = 0
    median_ms: float | None = Field(None, description="In the model server, recent photos.")
    champion_median_ms: float | None = None
    pairs: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="Champion's name -> challenger's name -> photos; only where they differ."
    )


class GatewayReport(_Frozen):
    """What one gateway process sends where, and what it saw of the challenger or of a champion on probation."""

    gateway: str
    at: str
    generation: int = Field(description="Of the state that it follows.")
    release: str = Field(description="Identity of the release that the tally is of; '' for none.")
    stage: str = Field(description="shadow, canary or probation; '' for none.")
    tally: Tally = Tally()
    examples: tuple[Disagreement, ...] = Field((), description="The newest disagreements.")
