"""What may be done to a rollout: pure functions from one state to the next, which the store then swaps in.

    seed ──► champion alone ──load──► challenger loads ──shadow──► shadow ──canary──► canary
                 ▲   ▲                      │ refuse, clear           │                 │
                 │   └──────────────────────┴─────────────────────────┴─────────────────┤
                 └── rollback, refuse ◄── champion, the one before it still loaded ◄─promote

Every function raises NotAllowed, with what to do instead, if the act does not fit. ``by`` is who acts, ``at`` in UTC.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from contract.rollout import HISTORY, Challenger, Event, Probation, RolloutState, Stage
from rollout.errors import NotAllowed

PROBATION_S: Final = 600.0
"""How long a promoted release may still be rolled back by a gateway that sees a bound broken, seconds."""


def seeded(release: str, *, by: str, at: datetime) -> RolloutState:
    """The first state: ``release`` answers."""
    event = Event(at=_text(at), act="seed", release=release, by=by)
    return RolloutState(generation=1, champion=release, history=(event,))


def staged(
    state: RolloutState, release: str, stage: Stage, share: float, *, by: str, at: datetime, again: bool = False
) -> RolloutState:
    """``release`` becomes challenger, or goes to another stage or share.

    A release that was refused is taken only ``again``; a second challenger never, and no release is its own.
    """
    if release == state.champion:
        raise NotAllowed(f"{release} answers already: it cannot challenge itself.")
    if state.challenger is not None and state.challenger.release != release:
        raise NotAllowed(
            f"{state.challenger.release} is in {state.challenger.stage} already: promote it, "
            f"or take it back with `bestiary releases clear`."
        )
    if release in state.refused and not again:
        raise NotAllowed(f"{release} was refused: {state.refused[release]} To try it all the same, give --again.")
    challenger = Challenger(release=release, stage=stage, share=share, since=_text(at))
    refused = {name: reason for name, reason in state.refused.items() if name != release}
    return _next(
        state, stage.value, release, by, at, challenger=challenger, refused=refused, reason=_share(stage, share)
    )


def promoted(
    state: RolloutState, release: str, *, by: str, at: datetime, probation_s: float = PROBATION_S
) -> RolloutState:
    """``release``, the challenger or the champion before, answers; the champion stays loaded as ``previous``."""
    if release == state.champion:
        raise NotAllowed(f"{release} answers already.")
    challenger = state.challenger.release if state.challenger else None
    if release not in (challenger, state.previous):
        raise NotAllowed(
            f"{release} is not loaded as a challenger: begin with `bestiary releases shadow {release}` or `canary`."
        )
    if challenger not in (None, release):
        raise NotAllowed(f"{challenger} is the challenger: take it back with `bestiary releases clear` before.")
    until = _text(at + timedelta(seconds=probation_s))
    probation = Probation(previous=state.champion, until=until) if probation_s > 0 else None
    return _next(
        state, "promote", release, by, at,
        champion=release, previous=state.champion, challenger=None, probation=probation,
    )  # fmt: skip


def rolled_back(state: RolloutState, *, by: str, at: datetime, reason: str = "") -> RolloutState:
    """The champion before answers again. A challenger that is at work stays one."""
    if state.previous is None:
        raise NotAllowed(
            "There is no release before this one: name one with --to (`bestiary releases list` shows what is kept)."
        )
    challenger = state.challenger if state.challenger and state.challenger.release != state.previous else None
    return _next(
        state, "rollback", state.previous, by, at,
        champion=state.previous, previous=state.champion, challenger=challenger, probation=None, reason=reason,
    )  # fmt: skip


def rolled_back_to(state: RolloutState, release: str, *, by: str, at: datetime, reason: str = "") -> RolloutState:
    """As :func:`rolled_back`, to a release that the replicas have loaded as challenger."""
    if release == state.previous:
        return rolled_back(state, by=by, at=at, reason=reason)
    after = promoted(state, release, by=by, at=at, probation_s=0)
    event = after.history[-1].model_copy(update={"act": "rollback", "reason": reason})
    return after.model_copy(update={"history": (*after.history[:-1], event)})


def refused(state: RolloutState, release: str, *, by: str, at: datetime, reason: str) -> RolloutState:
    """Without ``release``: a challenger is taken back, a champion on probation gives way to the one before."""
    marked = {**state.refused, release: reason}
    if state.challenger is not None and state.challenger.release == release:
        return _next(state, "refuse", release, by, at, challenger=None, refused=marked, reason=reason)
    if state.champion == release:
        if state.probation is None:
            raise NotAllowed(f"{release} answers, and not on probation: go back with `bestiary releases rollback`.")
        return _next(
            state, "rollback", release, by, at,
            champion=state.probation.previous, previous=None, probation=None, refused=marked, reason=reason,
        )  # fmt: skip
    previous = None if state.previous == release else state.previous
    return _next(state, "refuse", release, by, at, previous=previous, refused=marked, reason=reason)


def cleared(state: RolloutState, *, by: str, at: datetime) -> RolloutState:
    """Without its challenger, which may come again."""
    if state.challenger is None:
        raise NotAllowed("There is no challenger.")
    return _next(state, "clear", state.challenger.release, by, at, challenger=None)


def reseeded(state: RolloutState, release: str, *, by: str, at: datetime) -> RolloutState:
    """Another release that the installation brought along answers; nobody ever decided for the one before."""
    if not is_seeded(state):
        raise NotAllowed("Somebody has decided which release answers: publish the new one and promote it.")
    return _next(state, "seed", release, by, at, champion=release, previous=None, challenger=None, probation=None)


def is_seeded(state: RolloutState) -> bool:
    """Whether the champion is what the installation brought along, and nothing was done but that."""
    return all(event.act == "seed" for event in state.history)


def _next(
    state: RolloutState, act: str, release: str, by: str, at: datetime, *, reason: str = "", **changes: Any
) -> RolloutState:
    event = Event(at=_text(at), act=act, release=release, by=by, reason=reason)
    after = {
        **changes,
        "generation": state.generation + 1,
        "history": (*state.history, event)[-HISTORY:],
    }
    if "probation" not in changes and state.probation and datetime.fromisoformat(state.probation.until) <= at:
        after["probation"] = None  # it is over
    return state.model_copy(update=after)


def _share(stage: Stage, share: float) -> str:
    return "" if stage is Stage.LOAD else f"{share:.0%}"


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
