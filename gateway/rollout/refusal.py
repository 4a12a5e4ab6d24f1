"""The state without a release that broke its bounds."""

from __future__ import annotations

from datetime import datetime

from contract.rollout import HISTORY, Event, RolloutState


def refused(state: RolloutState, release: str, *, by: str, reason: str, at: datetime) -> RolloutState:
    """Without ``release`` as challenger, or with the champion before it, if it is one on probation.

    ValueError if it is neither.
    """
    moment = at.isoformat(timespec="seconds")
    if state.challenger is not None and state.challenger.release == release:
        changed: dict[str, object] = {"challenger": None}
        act = "refuse"
    elif state.probation is not None and state.champion == release:
        changed = {"champion": state.probation.previous, "previous": None, "probation": None}
        act = "rollback"
    else:
        raise ValueError(f"{release} is neither challenger nor on probation")
    event = Event(at=moment, act=act, release=release, by=by, reason=reason)
    return state.model_copy(
        update={
            **changed,
            "generation": state.generation + 1,
            "refused": {**state.refused, release: reason},
            "history": (*state.history, event)[-HISTORY:],
        }
    )
