"""Record ids order by time and tell their partition."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from contract.ids import PARTITION_BUCKETS, IdSource, id_time, partition_of


def test_ids_of_one_process_strictly_increase_even_if_the_clock_steps_back() -> None:
    now = 2_000_000_000_000
    source = IdSource()
    ids = [source.new(now - step) for step in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_an_id_is_a_version_7_uuid_that_knows_its_time() -> None:
    moment = datetime(2100, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    made = IdSource().new(int(moment.timestamp() * 1000))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert id_time(made) == moment
    assert partition_of(made).startswith("2100-01-02/")


def test_a_day_is_spread_over_partitions() -> None:
    source = IdSource()
    partitions = {partition_of(source.new(4_200_000_000_000)) for _ in range(500)}
    assert len(partitions) == PARTITION_BUCKETS
