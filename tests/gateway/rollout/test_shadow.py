"""Copies tell what a challenger would have said, and callers do not notice them."""

from __future__ import annotations

import asyncio
import struct

import grpc
import pytest

from contract.answer import failed_row
from contract.photo_status import PhotoStatus
from contract.rollout import Stage, Tally, model_name
from contract.taxonomy import Depth, parse_taxonomy
from contract.tensors import ANIMALS, TAXON
from gateway.rollout import watch
from tests.support.records import made_record
from tests.support.rollouts import Rollout
from tests.support.stack import ROOT
from tests.support.triton import answer_row

TAXONOMY = parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text())


def rolled_up(key: str, depth: Depth) -> dict[str, bytes]:
    """An answer whose likeliest species is ``key``'s, and which commits itself to ``depth``."""
    leaf = TAXONOMY.by_key(key).index if depth >= Depth.CLASS else -1
    return answer_row(key, 0.4) | {TAXON.name: struct.pack("<2i", leaf, depth)}


async def shadowing(rollout: Rollout, share: float = 1.0) -> tuple[str, str]:
    champion, challenger = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.SHADOW, share))
    await rollout.follower.step()
    return champion, challenger


async def answered(rollout: Rollout, photos: int = 1) -> list[str]:
    """Ask, make records of the answers, and let the copies end; who answered."""
    releases = []
    for _ in range(photos):
        inference = await rollout.ask()
        releases.append(inference.answer.release)
        if inference.recorded is not None:
            inference.recorded(made_record())
        await rollout.shadow.idle()
    return releases


def tally(rollout: Rollout) -> Tally:
    return rollout.follower.status().tally


def copies(rollout: Rollout, outcome: str) -> float:
    return rollout.metrics.registry.get_sample_value("bestiary_shadow_photos_total", {"outcome": outcome}) or 0.0


async def test_the_champion_answers_and_the_challenger_is_heard_by_the_ledger_alone(rollout: Rollout) -> None:
    champion, challenger = await shadowing(rollout)
    rollout.load(challenger, row=answer_row("tiger", 0.8))
    inference = await rollout.ask()
    assert inference.answer.release == champion
    record = made_record()
    assert inference.recorded is not None
    inference.recorded(record)
    await rollout.shadow.idle()
    seen = tally(rollout)
    assert (seen.photos, seen.compared, seen.disagreed, seen.pairs) == (1, 1, 1, {})
    rollout.clock.pass_s(3)
    await rollout.follower.step()
    report = await rollout.report()
    assert (report.release, report.stage) == (challenger, "shadow")
    assert report.tally == seen.model_copy(update={"pairs": {"domestic dog": {"tiger": 1}}})
    example = report.examples[0]
    assert (example.record, example.photo) == (str(record.id), record.photo.blob)
    assert (example.champion, example.challenger, example.score) == ("domestic dog", "tiger", 0.8)


async def test_a_photo_whose_record_was_not_kept_is_not_copied(rollout: Rollout) -> None:
    _, challenger = await shadowing(rollout)
    await rollout.ask()
    await rollout.shadow.idle()
    assert rollout.model(challenger).asked == 0


async def test_about_the_share_is_copied(rollout: Rollout) -> None:
    _, challenger = await shadowing(rollout, 0.3)
    await answered(rollout, 60)
    assert 6 <= rollout.model(challenger).asked <= 32


@pytest.mark.parametrize(
    ("champion", "challenger", "outcome"),
    [
        (answer_row("beagle"), answer_row("beagle", 0.6), "agreed"),
        (answer_row("beagle"), rolled_up("beagle", Depth.FAMILY), "agreed"),
        (answer_row("beagle"), rolled_up("tiger", Depth.CLASS), "disagreed"),
        (answer_row("beagle"), rolled_up("beagle", Depth.UNKNOWN), "disagreed"),
        (answer_row("beagle"), rolled_up("no_animal", Depth.EMPTY), "disagreed"),
        (rolled_up("no_animal", Depth.EMPTY), rolled_up("no_animal", Depth.EMPTY), "agreed"),
        (rolled_up("no_animal", Depth.EMPTY), answer_row("beagle"), "disagreed"),
        (rolled_up("beagle", Depth.FAMILY), answer_row("tiger"), "unsure"),
        (answer_row("beagle"), failed_row(PhotoStatus.CORRUPT), "failed"),
    ],
)
async def test_answers_are_compared_where_the_champion_is_sure(
    rollout: Rollout, champion: dict[str, bytes], challenger: dict[str, bytes], outcome: str
) -> None:
    first, second = await shadowing(rollout)
    rollout.load(first, row=champion)
    rollout.load(second, row=challenger)
    await answered(rollout)
    assert copies(rollout, outcome) == 1
    seen = tally(rollout)
    assert (seen.compared, seen.disagreed) == (outcome in ("agreed", "disagreed"), outcome == "disagreed")
    assert seen.errors == (outcome == "failed")


async def test_copies_are_dropped_while_callers_wait(rollout: Rollout) -> None:
    champion, challenger = await shadowing(rollout)
    rollout.busy = True
    assert await answered(rollout, 3) == [champion] * 3
    assert rollout.model(challenger).asked == 0
    assert copies(rollout, "dropped") == 3


async def test_a_challenger_that_hangs_gets_no_more_than_a_few_photos_and_delays_nobody(rollout: Rollout) -> None:
    champion, challenger = await shadowing(rollout)
    rollout.model(challenger).delay_s = 60
    for _ in range(10):
        inference = await rollout.ask(timeout_s=5)
        assert inference.answer.release == champion
        assert inference.recorded is not None
        inference.recorded(made_record())
    async with asyncio.timeout(5):
        while rollout.model(challenger).asked < 2:  # noqa: ASYNC110  # counted by a plain attribute
            await asyncio.sleep(0.01)
    assert rollout.model(challenger).asked == 2
    assert copies(rollout, "dropped") == 8


async def test_a_challenger_that_breaks_is_counted_and_one_that_is_away_is_not(rollout: Rollout) -> None:
    champion, challenger = await shadowing(rollout)
    rollout.model(challenger).failure = (grpc.StatusCode.INTERNAL, "it broke")
    assert await answered(rollout, 2) == [champion] * 2
    assert (tally(rollout).photos, tally(rollout).errors) == (2, 2)
    del rollout.triton.models[model_name(ANIMALS, challenger)]
    await answered(rollout, 2)
    assert (tally(rollout).photos, copies(rollout, "dropped")) == (2, 2)


async def test_a_challenger_that_only_loads_gets_no_photo(rollout: Rollout) -> None:
    champion, challenger = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.LOAD))
    await rollout.follower.step()
    assert await answered(rollout, 3) == [champion] * 3
    assert rollout.model(challenger).asked == 0


async def test_a_challenger_that_a_replica_loses_is_left_alone_until_it_is_back(rollout: Rollout) -> None:
    champion, challenger = await shadowing(rollout)
    await answered(rollout)
    await rollout.replica("new", champion)
    rollout.clock.pass_s(6)
    await rollout.follower.step()
    await answered(rollout)
    assert rollout.model(challenger).asked == 1
    await rollout.replica("new", champion, challenger)
    await rollout.follower.step()
    await answered(rollout)
    assert rollout.model(challenger).asked == 2
    assert tally(rollout).photos == 2, "what was seen before still counts"


def test_the_ledger_does_not_grow_without_limit() -> None:
    pace = watch.Pace(0.25)
    seen = watch.Watch(watch.Key("2@a", "shadow", "now"), pace, pace)
    for number in range(2 * watch.PAIRS):
        seen.differed(watch.Disagreement(record="r", photo="p", champion="x", challenger=f"y{number}", score=1))
    counted = seen.tally().pairs
    assert sum(map(len, counted.values())) <= watch.PAIRS + 1
    assert sum(sum(row.values()) for row in counted.values()) == seen.disagreed == 2 * watch.PAIRS
    assert len(seen.examples) == watch.EXAMPLES
