"""A broken bound ends a challenger's way, or brings the champion before back, without anybody's help."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import grpc
import pytest

from contract.rollout import Bounds, Stage
from tests.support.records import made_record
from tests.support.rollouts import SLO, Rollout
from tests.support.triton import answer_row

BOUNDS = Bounds(min_photos=20)
BROKEN = (grpc.StatusCode.INTERNAL, "it broke")


async def test_a_canary_that_fails_is_refused_and_no_caller_noticed(
    rollout: Rollout, caplog: pytest.LogCaptureFixture
) -> None:
    champion, challenger = await rollout.publish("1"), await rollout.publish("2", bounds=BOUNDS, failure=BROKEN)
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.CANARY))
    await rollout.follower.step()
    assert await rollout.answers(20) == [champion] * 20
    with caplog.at_level(logging.INFO):
        await rollout.follower.step()
    state = await rollout.newest()
    assert state.challenger is None
    assert state.champion == champion
    assert "20 of 20" in state.refused[challenger]
    event = state.history[-1]
    assert (event.act, event.release, event.by) == ("refuse", challenger, "gateway gateway-1")
    assert "broke a bound" in caplog.text
    assert rollout.metrics.registry.get_sample_value("bestiary_release_breaches_total", {"bound": "errors"}) == 1
    asked = rollout.model(challenger).asked
    assert await rollout.answers(5) == [champion] * 5
    assert rollout.model(challenger).asked == asked


async def test_a_rollback_is_audited(rollout: Rollout, caplog: pytest.LogCaptureFixture) -> None:
    champion, challenger = await rollout.publish("1"), await rollout.publish("2", bounds=BOUNDS, failure=BROKEN)
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.CANARY))
    await rollout.follower.step()
    await rollout.answers(20)
    audit = logging.getLogger("bestiary.audit")
    audit.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "bestiary.audit"):
            await rollout.follower.step()
    finally:
        audit.removeHandler(caplog.handler)
    line = json.loads(next(record.message for record in caplog.records if record.name == "bestiary.audit"))
    assert (line["who"], line["target"], line["outcome"]) == ("gateway gateway-1", challenger, "errors")


async def test_a_champion_that_fails_on_probation_gives_way_to_the_one_before(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2", bounds=BOUNDS, failure=BROKEN)
    await rollout.write(new, previous=old, probation=rollout.probation(old))
    await rollout.follower.step()
    assert await rollout.answers(20) == [old] * 20
    await rollout.follower.step()
    state = await rollout.newest()
    assert (state.champion, state.probation) == (old, None)
    assert new in state.refused
    asked = rollout.model(new).asked
    assert await rollout.answers(5) == [old] * 5
    assert rollout.model(new).asked == asked


async def test_a_challenger_that_disagrees_too_often_is_refused(rollout: Rollout) -> None:
    champion = await rollout.publish("1")
    challenger = await rollout.publish("2", bounds=BOUNDS, row=answer_row("tiger"))
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.SHADOW))
    await rollout.follower.step()
    for _ in range(20):
        inference = await rollout.ask()
        assert inference.recorded is not None
        inference.recorded(made_record())
        await rollout.shadow.idle()
    await rollout.follower.step()
    assert "named 20 of 20 photos otherwise" in (await rollout.newest()).refused[challenger]
    rollout.clock.pass_s(10)
    await rollout.follower.step()
    report = await rollout.report()
    assert (report.release, report.tally.disagreed) == (challenger, 20), "the ledger can still be looked at"


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.CANARY])
async def test_a_challenger_that_is_ten_times_slower_is_refused(rollout: Rollout, stage: Stage) -> None:
    champion = await rollout.publish("1", model_ms=20)
    challenger = await rollout.publish("2", bounds=BOUNDS, model_ms=200)
    await rollout.write(
        champion, challenger=rollout.challenger(challenger, stage, 1.0 if stage is Stage.SHADOW else 0.5)
    )
    await rollout.follower.step()
    for number in range(80):
        inference = await rollout.ask(f"caller {number}")
        if inference.recorded is not None:
            inference.recorded(made_record())
            await rollout.shadow.idle()
    await rollout.follower.step()
    assert "median time" in (await rollout.newest()).refused[challenger]


async def test_a_champion_on_probation_that_misses_the_objective_gives_way(rollout: Rollout) -> None:
    old = await rollout.publish("1")
    new = await rollout.publish("2", bounds=BOUNDS, delay_s=SLO.latency_s + 0.05)
    await rollout.write(old, challenger=rollout.challenger(new, Stage.LOAD))
    await rollout.follower.step()
    for _ in range(20):
        assert await rollout.answers(3) == [old] * 3
    await rollout.write(new, previous=old, probation=rollout.probation(old))
    await rollout.follower.step()
    assert await rollout.answers(20) == [new] * 20
    await rollout.follower.step()
    state = await rollout.newest()
    assert state.champion == old
    assert "longer than 250 ms" in state.refused[new]


async def test_a_breach_holds_here_even_while_the_store_cannot_be_told(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2", bounds=BOUNDS, failure=BROKEN)
    await rollout.write(new, previous=old, probation=rollout.probation(old))
    await rollout.follower.start()
    await rollout.answers(20)
    models, away = rollout.root / "models", rollout.root / "away"
    _swap(models, away)
    with pytest.raises(Exception, match="model store"):
        await rollout.follower.step()
    asked = rollout.model(new).asked
    assert await rollout.answers(5) == [old] * 5
    assert rollout.model(new).asked == asked
    models.unlink()
    away.rename(models)
    await rollout.follower.step()
    assert (await rollout.newest()).champion == old


async def test_somebody_elses_act_in_between_is_not_undone(rollout: Rollout) -> None:
    first, second = await rollout.publish("1"), await rollout.publish("2", bounds=BOUNDS, failure=BROKEN)
    third = await rollout.publish("3")
    await rollout.write(first, challenger=rollout.challenger(second, Stage.CANARY))
    await rollout.follower.step()
    await rollout.answers(20)
    await rollout.write(third, previous=first)
    await rollout.follower.step()
    state = await rollout.newest()
    assert (state.champion, state.refused) == (third, {})
    assert await rollout.answers(3) == [third] * 3


async def test_a_release_that_is_tried_again_starts_with_nothing_held_against_it(rollout: Rollout) -> None:
    champion, challenger = await rollout.publish("1"), await rollout.publish("2", bounds=BOUNDS, failure=BROKEN)
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.CANARY))
    await rollout.follower.step()
    await rollout.answers(20)
    await rollout.follower.step()
    rollout.load(challenger)
    rollout.clock.pass_s(60)
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.CANARY))
    await rollout.follower.step()
    assert await rollout.answers(5) == [challenger] * 5
    assert rollout.follower.status().tally.photos == 5


def _swap(models: Path, away: Path) -> None:
    models.rename(away)
    models.write_text("no directory")
