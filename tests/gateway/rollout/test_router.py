"""One release answers a photo from start to end; a challenger that fails costs its callers nothing but time."""

from __future__ import annotations

import asyncio
import struct
import time

import grpc
import pytest

from contract.answer import failed_row
from contract.photo_status import PhotoStatus
from contract.rollout import Stage, Tally, model_name
from contract.tensors import ANIMALS, SPECIES_IDS, TAXON_SCORE
from gateway.errors import DeadlineExceeded, ModelFailed, Overloaded
from gateway.rollout.plan import falls_to
from tests.support.rollouts import SLO, Rollout
from tests.support.triton import answer_row

NAN = struct.pack("<f", float("nan"))


async def canary(rollout: Rollout, share: float = 1.0) -> tuple[str, str]:
    champion, challenger = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(champion, challenger=rollout.challenger(challenger, Stage.CANARY, share))
    await rollout.follower.step()
    return champion, challenger


def tally(rollout: Rollout) -> Tally:
    return rollout.follower.status().tally


async def test_a_caller_stays_with_one_release_and_about_the_share_of_them_is_in_the_canary(rollout: Rollout) -> None:
    champion, challenger = await canary(rollout, 0.3)
    first, again = await rollout.answers(100), await rollout.answers(100)
    assert first == again
    assert 15 <= first.count(challenger) <= 45
    assert first.count(champion) == 100 - first.count(challenger)
    assert tally(rollout).photos == 2 * first.count(challenger)


def test_a_larger_share_is_the_smaller_one_and_more_and_releases_get_different_callers() -> None:
    callers = [f"caller {number}" for number in range(2000)]
    tenth = {caller for caller in callers if falls_to("2@a", caller, 0.1)}
    third = {caller for caller in callers if falls_to("2@a", caller, 0.3)}
    assert tenth < third
    assert 150 < len(tenth) < 250
    assert tenth != {caller for caller in callers if falls_to("3@b", caller, 0.1)}
    assert all(falls_to("2@a", caller, 1.0) and not falls_to("2@a", caller, 0.0) for caller in callers)


@pytest.mark.parametrize(
    "broken",
    [
        {"failure": (grpc.StatusCode.INTERNAL, "it broke")},
        {"failure": (grpc.StatusCode.INTERNAL, "Stub process 'animals' is not healthy.")},
        {"row": answer_row() | {TAXON_SCORE.name: NAN}},
        {"row": answer_row() | {SPECIES_IDS.name: struct.pack("<5i", 9999, 0, 0, 0, 0)}},
        {"row": answer_row() | {SPECIES_IDS.name: b""}},
        {"row": failed_row(PhotoStatus.CORRUPT)},
    ],
    ids=["internal error", "died", "nan", "no such leaf", "wrong shape", "refuses a good photo"],
)
async def test_the_champion_answers_where_the_challenger_fails(rollout: Rollout, broken: dict[str, object]) -> None:
    champion, challenger = await canary(rollout)
    rollout.load(challenger, **broken)
    assert await rollout.answers(3) == [champion] * 3
    assert (tally(rollout).photos, tally(rollout).errors) == (3, 3)


async def test_an_answer_of_another_release_than_was_asked_is_a_failure(rollout: Rollout) -> None:
    champion, challenger = await canary(rollout)
    rollout.model(challenger).release = "3@0123456789ab"
    assert await rollout.answers(1) == [champion]
    assert tally(rollout).errors == 1
    rollout.model(champion).release = "3@0123456789ab"
    with pytest.raises(ModelFailed):
        await rollout.ask()
    assert tally(rollout).errors == 1, "both failed: nobody knows whose fault that is"


async def test_a_photo_that_both_refuse_is_the_photos_fault(rollout: Rollout) -> None:
    champion, challenger = await canary(rollout)
    for release in (champion, challenger):
        rollout.load(release, row=failed_row(PhotoStatus.CORRUPT))
    assert (await rollout.ask()).answer.status is PhotoStatus.CORRUPT
    assert tally(rollout).errors == 0


async def test_a_challenger_that_is_not_loaded_here_is_not_to_blame(rollout: Rollout) -> None:
    champion, challenger = await canary(rollout)
    del rollout.triton.models[model_name(ANIMALS, challenger)]
    assert await rollout.answers(2) == [champion] * 2
    assert tally(rollout).errors == 0


async def test_a_challenger_that_hangs_leaves_the_champion_time_to_answer(rollout: Rollout) -> None:
    champion, challenger = await canary(rollout)
    rollout.model(challenger).delay_s = 60
    started = time.monotonic()
    assert (await rollout.ask(timeout_s=4.0)).answer.release == champion
    assert time.monotonic() - started < 4
    assert tally(rollout).errors == 1


async def test_a_model_server_that_stands_still_is_not_the_challengers_fault(rollout: Rollout) -> None:
    champion, challenger = await canary(rollout)
    rollout.model(challenger).delay_s = 60
    rollout.model(champion).delay_s = 2 * SLO.latency_s
    assert (await rollout.ask(timeout_s=4.0)).answer.release == champion
    assert tally(rollout).errors == 0


async def test_a_deadline_that_is_too_short_for_both_is_nobodys_fault(rollout: Rollout) -> None:
    _, challenger = await canary(rollout)
    rollout.model(challenger).delay_s = 60
    with pytest.raises(DeadlineExceeded):
        await rollout.ask(timeout_s=0.1)
    assert tally(rollout).errors == 0


async def test_a_champion_on_probation_that_fails_is_stood_in_for(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(new, previous=old, probation=rollout.probation(old))
    await rollout.follower.step()
    assert await rollout.answers(2) == [new, new]
    rollout.model(new).failure = (grpc.StatusCode.INTERNAL, "it broke")
    assert await rollout.answers(2) == [old, old]
    assert (tally(rollout).photos, tally(rollout).errors) == (4, 2)


async def test_a_full_queue_on_probation_is_said_to_the_caller_and_not_moved_to_the_other_release(
    rollout: Rollout,
) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(new, previous=old, probation=rollout.probation(old))
    await rollout.follower.step()
    rollout.model(new).failure = (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
    with pytest.raises(Overloaded):
        await rollout.ask()
    assert rollout.model(old).asked == 0
    assert tally(rollout).errors == 0


async def test_after_probation_a_failure_is_the_callers_to_see(rollout: Rollout) -> None:
    old, new = await rollout.publish("1"), await rollout.publish("2")
    await rollout.write(new, previous=old, probation=rollout.probation(old, 60))
    await rollout.follower.step()
    rollout.clock.pass_s(61)
    await rollout.follower.step()
    rollout.model(new).failure = (grpc.StatusCode.INTERNAL, "it broke")
    with pytest.raises(ModelFailed):
        await rollout.ask()


async def test_no_photo_is_lost_while_champions_change(rollout: Rollout) -> None:
    old, new = await rollout.publish("1", delay_s=0.01), await rollout.publish("2", delay_s=0.01)
    await rollout.write(old, previous=new)
    await rollout.follower.step()
    answered: list[str] = []
    changing = True

    async def call(caller: int) -> None:
        while changing:
            answered.append((await rollout.ask(f"caller {caller}")).answer.release)

    calls = [asyncio.create_task(call(number)) for number in range(8)]
    for champion, other in ((new, old), (old, new)) * 5:
        await rollout.write(champion, previous=other)
        await rollout.follower.step()
        before = len(answered)
        while len(answered) < before + 10:  # noqa: ASYNC110  # appended to by plain coroutines
            await asyncio.sleep(0.005)
    changing = False
    await asyncio.gather(*calls)
    assert set(answered) == {old, new}
