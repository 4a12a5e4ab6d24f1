"""What may be done to a rollout, and what the state says afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from contract.rollout import HISTORY, RolloutState, Stage
from rollout.errors import NotAllowed
from rollout.transitions import (
    cleared,
    is_seeded,
    promoted,
    refused,
    reseeded,
    rolled_back,
    rolled_back_to,
    seeded,
    staged,
)

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
ONE, TWO, THREE = (f"{number}@{str(number) * 12}" for number in (1, 2, 3))


@pytest.fixture
def first() -> RolloutState:
    return seeded(ONE, by="up", at=AT)


def shadowed(state: RolloutState, release: str = TWO) -> RolloutState:
    return staged(state, release, Stage.SHADOW, 0.5, by="ann", at=AT)


def test_every_act_is_one_generation_and_one_event(first: RolloutState) -> None:
    state = shadowed(first)
    state = staged(state, TWO, Stage.CANARY, 0.1, by="ann", at=AT)
    state = promoted(state, TWO, by="ann", at=AT)
    state = rolled_back(state, by="bob", at=AT, reason="worse")
    assert state.generation == len(state.history) == 5
    assert [event.act for event in state.history] == ["seed", "shadow", "canary", "promote", "rollback"]
    assert state.history[-1].by == "bob"
    assert state.history[-1].reason == "worse"


def test_a_challenger_does_not_touch_the_champion(first: RolloutState) -> None:
    state = shadowed(first)
    assert state.champion == ONE
    assert state.wanted == (ONE, TWO)
    assert state.challenger is not None
    assert (state.challenger.stage, state.challenger.share) == (Stage.SHADOW, 0.5)


def test_a_promoted_release_is_on_probation_and_the_champion_before_stays_loaded(first: RolloutState) -> None:
    state = promoted(shadowed(first), TWO, by="ann", at=AT, probation_s=60)
    assert (state.champion, state.previous, state.challenger) == (TWO, ONE, None)
    assert set(state.wanted) == {ONE, TWO}
    assert state.probation is not None
    assert state.probation.previous == ONE
    assert datetime.fromisoformat(state.probation.until) == AT + timedelta(seconds=60)


def test_without_probation_nothing_is_rolled_back_by_itself(first: RolloutState) -> None:
    assert promoted(shadowed(first), TWO, by="ann", at=AT, probation_s=0).probation is None


def test_rollback_and_promotion_take_turns_without_another_load(first: RolloutState) -> None:
    state = promoted(shadowed(first), TWO, by="ann", at=AT)
    for _ in range(3):
        state = rolled_back(state, by="ann", at=AT)
        assert (state.champion, state.previous, state.probation) == (ONE, TWO, None)
        state = promoted(state, TWO, by="ann", at=AT)
        assert (state.champion, state.previous) == (TWO, ONE)


def test_only_what_is_loaded_is_promoted(first: RolloutState) -> None:
    with pytest.raises(NotAllowed, match="shadow"):
        promoted(first, TWO, by="ann", at=AT)
    with pytest.raises(NotAllowed, match="already"):
        promoted(first, ONE, by="ann", at=AT)


def test_there_is_one_challenger_at_a_time(first: RolloutState) -> None:
    with pytest.raises(NotAllowed, match=TWO):
        shadowed(shadowed(first), THREE)
    with pytest.raises(NotAllowed, match="itself"):
        shadowed(first, ONE)


def test_the_champion_before_is_not_promoted_over_a_challenger(first: RolloutState) -> None:
    state = shadowed(promoted(shadowed(first), TWO, by="ann", at=AT), THREE)
    with pytest.raises(NotAllowed, match="clear"):
        promoted(state, ONE, by="ann", at=AT)


def test_a_rollback_leaves_another_challenger_at_work(first: RolloutState) -> None:
    state = rolled_back(shadowed(promoted(shadowed(first), TWO, by="ann", at=AT), THREE), by="ann", at=AT)
    assert state.champion == ONE
    assert state.challenger is not None
    assert state.challenger.release == THREE


def test_the_first_release_has_nothing_to_go_back_to(first: RolloutState) -> None:
    with pytest.raises(NotAllowed, match="--to"):
        rolled_back(first, by="ann", at=AT)


def test_any_kept_release_can_be_gone_back_to_once_it_is_loaded(first: RolloutState) -> None:
    state = staged(first, THREE, Stage.LOAD, 0, by="ann", at=AT)
    state = rolled_back_to(state, THREE, by="ann", at=AT, reason="the old one")
    assert (state.champion, state.previous, state.probation) == (THREE, ONE, None)
    assert (state.history[-1].act, state.history[-1].reason) == ("rollback", "the old one")


def test_a_refused_challenger_is_gone_and_remembered(first: RolloutState) -> None:
    state = refused(shadowed(first), TWO, by="gateway g", at=AT, reason="too slow.")
    assert (state.champion, state.challenger) == (ONE, None)
    assert state.refused == {TWO: "too slow."}
    assert state.history[-1].act == "refuse"
    with pytest.raises(NotAllowed, match=r"too slow\. .*--again"):
        shadowed(state)
    again = staged(state, TWO, Stage.LOAD, 0, by="ann", at=AT, again=True)
    assert not again.refused


def test_a_champion_on_probation_gives_way_to_the_one_before(first: RolloutState) -> None:
    state = refused(promoted(shadowed(first), TWO, by="ann", at=AT), TWO, by="gateway g", at=AT, reason="errors.")
    assert (state.champion, state.previous, state.probation) == (ONE, None, None)
    assert state.refused == {TWO: "errors."}
    assert state.history[-1].act == "rollback"


def test_a_champion_that_has_proved_itself_is_only_taken_back_by_people(first: RolloutState) -> None:
    with pytest.raises(NotAllowed, match="rollback"):
        refused(first, ONE, by="gateway g", at=AT, reason="errors.")


def test_what_is_refused_is_not_gone_back_to(first: RolloutState) -> None:
    state = refused(promoted(shadowed(first), TWO, by="ann", at=AT), ONE, by="ann", at=AT, reason="old.")
    assert (state.champion, state.previous) == (TWO, None)


def test_a_cleared_challenger_may_come_again(first: RolloutState) -> None:
    state = cleared(shadowed(first), by="ann", at=AT)
    assert state.challenger is None
    assert not state.refused
    assert shadowed(state).challenger is not None
    with pytest.raises(NotAllowed):
        cleared(first, by="ann", at=AT)


def test_an_installation_replaces_its_own_release_until_somebody_decides(first: RolloutState) -> None:
    state = reseeded(first, TWO, by="up", at=AT)
    assert is_seeded(state)
    assert (state.champion, state.previous, state.generation) == (TWO, None, 2)
    decided = cleared(shadowed(first), by="ann", at=AT)
    assert not is_seeded(decided)
    with pytest.raises(NotAllowed, match="promote"):
        reseeded(decided, THREE, by="up", at=AT)


def test_probation_ends_with_its_time(first: RolloutState) -> None:
    state = promoted(shadowed(first), TWO, by="ann", at=AT, probation_s=60)
    assert shadowed(state, THREE).probation is not None
    later = staged(state, THREE, Stage.LOAD, 0, by="ann", at=AT + timedelta(seconds=61))
    assert later.probation is None


def test_history_is_bounded(first: RolloutState) -> None:
    state = promoted(shadowed(first), TWO, by="ann", at=AT)
    for _ in range(HISTORY):
        state = rolled_back(state, by="ann", at=AT)
    assert len(state.history) == HISTORY
    assert state.generation == HISTORY + 3
