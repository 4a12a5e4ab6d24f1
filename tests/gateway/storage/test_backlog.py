"""The backlog against a model of it, in many random orders of what may happen to it."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from gateway.storage.backlog import Backlog, Entry
from gateway.storage.segments import Position


@pytest.mark.parametrize("seed", range(100))
def test_whatever_the_order_the_last_versions_are_stored_none_goes_backwards_and_all_space_is_released(
    seed: int,
) -> None:
    chance = random.Random(seed)
    backlog = Backlog()
    appended: dict[UUID, int] = {}
    store: dict[UUID, int] = {}
    out: list[list[Entry]] = []
    last = 0

    def append() -> None:
        nonlocal last
        last += 1
        record_id = UUID(int=chance.randrange(6))
        backlog.add(Entry(record_id, b"%d" % last, Position(1, last)))
        appended[record_id] = last

    def take() -> None:
        batch = backlog.take(chance.randint(1, 4))
        ids = [entry.record_id for entry in batch]
        assert not set(ids) & {entry.record_id for other in out for entry in other}, "two versions out at once"
        assert len(set(ids)) == len(ids)
        if batch:
            out.append(batch)

    def commit() -> None:
        if out:
            batch = out.pop(chance.randrange(len(out)))
            for entry in batch:
                assert int(entry.payload) > store.get(entry.record_id, 0), "a reader would see it go backwards"
                store[entry.record_id] = int(entry.payload)
            released = backlog.commit([entry.record_id for entry in batch], ())
            assert [entry.end for entry in released] == sorted(entry.end for entry in released)
            for entry in released:
                newest = backlog.get(entry.record_id)
                seen = int(newest.payload) if newest else store[entry.record_id]
                assert seen >= int(entry.payload), "released before it, or a later version of it, was safe"

    def rewind() -> None:
        out.clear()
        backlog.rewind()

    for _ in range(300):
        chance.choices((append, take, commit, rewind), (40, 30, 30, 1))[0]()
        for record_id, version in appended.items():
            waiting = backlog.get(record_id)
            assert version == (int(waiting.payload) if waiting else store[record_id]), "readers see the last version"
    while len(backlog):
        take()
        commit()
    assert store == appended
    assert backlog.size_bytes == 0
    assert backlog.all_out
