"""The rollout's state comes into force as far as the model servers have loaded it, and stays when the store is away."""

from __future__ import annotations

import shutil

import pytest

from contract.rollout import Stage, model_name
from contract.tensors import ANIMALS
from gateway.errors import ModelUnavailable, NotReady
from rollout.errors import StoreUnavailable
from tests.support.rollouts import Rollout


async def test_without_a_state_nothing_is_answered_and_readiness_says_what_to_do(rollout: Rollout) -> None:
    await rollout.follower.step()
    assert "bestiary releases publish" in rollout.follower.check()
    assert not await rollout.router.ready()
    with pytest.raises(NotReady):
        await rollout.ask()
    champion = await rollout.publish("1")
    await rollout.write(champion)
    await rollout.follower.step()
    assert rollout.follower.check() == "ok"
    assert await rollout.router.ready()
    assert (await rollout.ask()).answer.release == champion


async def test_a_champion_answers_once_every_live_replica_has_it(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(old)
    await rollout.follower.step()
    await rollout.replica("a", old, new)
    await rollout.replica("b", old)
    await rollout.write(new, previous=old)
    await rollout.follower.step()
    assert await rollout.answers(3) == [old] * 3
    assert (await rollout.report()).generation == 1, "it has not moved on"
    await rollout.replica("b", old, new)
    await rollout.follower.step()
    assert await rollout.answers(3) == [new] * 3
    assert (await rollout.report()).generation == 2


async def test_a_replica_that_reports_no_longer_is_not_waited_for(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(old)
    await rollout.follower.step()
    await rollout.replica("gone", old)
    rollout.clock.pass_s(60)
    await rollout.replica("a", old, new)
    await rollout.write(new, previous=old)
    await rollout.follower.step()
    assert await rollout.answers(1) == [new]


async def test_a_report_that_nobody_can_read_stops_nothing(rollout: Rollout) -> None:
    champion = await rollout.publish("1")
    await rollout.store.report("replicas", "odd", "{}")
    await rollout.store.report("replicas", "odder", '{"replica": "x", "at": "now", "generation": 1, "loaded": []}')
    await rollout.write(champion)
    await rollout.follower.step()
    assert await rollout.answers(1) == [champion]


async def test_a_rollback_takes_one_step_and_asks_no_replica(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(new, previous=old)
    await rollout.follower.step()
    assert await rollout.answers(1) == [new]
    await rollout.replica("starting", new)
    await rollout.write(old, previous=new)
    await rollout.follower.step()
    assert await rollout.answers(1) == [old]


async def test_a_store_that_is_away_changes_nothing_of_what_is_in_force(rollout: Rollout) -> None:
    champion = await rollout.publish("1")
    await rollout.write(champion)
    await rollout.follower.start()
    away = rollout.root / "away"
    (rollout.root / "models").rename(away)
    (rollout.root / "models").write_text("no directory")
    with pytest.raises(StoreUnavailable):
        await rollout.follower.step()
    rollout.clock.pass_s(100)
    rollout.follower.refresh()
    assert rollout.metrics.registry.get_sample_value("bestiary_rollout_state_age_seconds") == 100
    assert rollout.follower.check() == "ok"
    assert await rollout.answers(1) == [champion]
    (rollout.root / "models").unlink()
    away.rename(rollout.root / "models")


async def test_a_start_without_a_store_is_not_ready_and_gets_ready_by_itself(rollout: Rollout) -> None:
    champion = await rollout.publish("1")
    await rollout.write(champion)
    shutil.move(rollout.root / "models", rollout.root / "away")
    (rollout.root / "models").write_text("no directory")
    await rollout.follower.start()
    assert "log" in rollout.follower.check()
    assert str(rollout.root) not in rollout.follower.check(), "readiness is open to everybody"
    (rollout.root / "models").unlink()
    shutil.move(rollout.root / "away", rollout.root / "models")
    await rollout.follower.step()
    assert rollout.follower.check() == "ok"


async def test_a_release_whose_files_were_changed_never_answers(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(old)
    await rollout.follower.step()
    taxonomy = rollout.root / "models" / "releases" / new / ANIMALS / "1" / "taxonomy.csv"
    taxonomy.write_text(taxonomy.read_text().replace("beagle", "eagle"))
    await rollout.write(new, previous=old)
    await rollout.follower.step()
    assert await rollout.answers(2) == [old, old]


async def test_where_the_champion_is_not_loaded_the_one_before_answers(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(new, previous=old)
    await rollout.follower.step()
    del rollout.triton.models[model_name(ANIMALS, new)]
    assert await rollout.answers(1) == [old]
    assert not await rollout.router.ready()
    del rollout.triton.models[model_name(ANIMALS, old)]
    with pytest.raises(ModelUnavailable):
        await rollout.ask()


async def test_a_release_that_cannot_be_read_is_said_once(rollout: Rollout, caplog: pytest.LogCaptureFixture) -> None:
    await rollout.write("1@0123456789ab")
    for _ in range(3):
        await rollout.follower.step()
    assert "cannot be read" in rollout.follower.check()
    assert len([record for record in caplog.records if "1@0123456789ab" in record.message]) == 1


async def test_what_is_going_on_can_be_read(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    assert rollout.follower.status().champion == ""
    await rollout.write(old, challenger=rollout.challenger(new, Stage.CANARY, 0.25))
    await rollout.follower.step()
    status = rollout.follower.status()
    assert (status.champion, status.challenger, status.stage, status.share) == (old, new, "canary", 0.25)
    sample = rollout.metrics.registry.get_sample_value
    assert sample("bestiary_release_info", {"release": new, "role": "challenger"}) == 1
    await rollout.write(new, previous=old)
    await rollout.follower.step()
    assert sample("bestiary_release_info", {"release": new, "role": "challenger"}) is None
    assert sample("bestiary_release_info", {"release": new, "role": "champion"}) == 1


async def test_a_gateway_that_ends_takes_its_report_back(rollout: Rollout) -> None:
    await rollout.write(await rollout.publish("1"))
    await rollout.follower.start()
    assert (await rollout.report()).release == ""
    await rollout.follower.close()
    assert await rollout.store.reports("gateways") == {}
