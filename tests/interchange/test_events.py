"""Bursts become events, and an event's animals are counted once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.record import Record, Verdict
from interchange.events import Event, group, shot
from interchange.findings import in_words
from interchange.places import By, Places
from tests.support.sightings import KNOWN, box, sighting, species, whole_photo


def events(records: Sequence[Record], gap_s: float = 60, by: By = By.FOLDER) -> list[Event]:
    places = Places(by)
    return group([shot(record, places.of(record)) for record in records], timedelta(seconds=gap_s))


def words(event: Event) -> str:
    return in_words((one.taxon.common_name, one.count) for one in event.seen)


def burst(*animals: Sequence[str], step_s: float = 1) -> list[Record]:
    return [sighting(f"a/{number}.jpg", names, second=number * step_s) for number, names in enumerate(animals)]


def test_photos_closer_than_the_gap_are_one_event() -> None:
    found = events([sighting(second=second) for second in (0, 59, 118, 178, 300)])
    assert [len(event.shots) for event in found] == [3, 1, 1]
    assert (found[0].start, found[0].end) == (datetime(2026, 3, 1, 6, 30), datetime(2026, 3, 1, 6, 31, 58))


def test_cameras_side_by_side_have_events_of_their_own() -> None:
    found = events([sighting("a/1.jpg"), sighting("b/1.jpg", second=1), sighting("a/2.jpg", second=2)])
    assert [(event.place, len(event.shots)) for event in found] == [("a", 2), ("b", 1)]


def test_photos_without_a_time_belong_to_no_event() -> None:
    assert events([sighting(at=None)]) == []


def test_the_order_of_the_records_does_not_matter() -> None:
    records = burst(["lion"], ["lion", "lion"], [])
    assert events(records) == events(records[::-1])


def test_an_event_has_the_same_id_in_every_export() -> None:
    assert [event.id for event in events(burst(["lion"], []))] == ["a/2026-03-01T06:30:00"]


def test_as_many_animals_are_counted_as_the_fullest_photo_shows() -> None:
    (event,) = events(burst(["lion"], ["lion", "lion", "lion"], ["lion", "lion"], []))
    assert words(event) == "3 lion"
    assert (event.seen[0].photos, event.seen[0].score) == (3, 0.9)


def test_three_zebras_and_a_wildebeest_that_shows_up_late() -> None:
    zebras = ["plains zebra"] * 3
    (event,) = events(burst(zebras, zebras, [*zebras, "wildebeest"], zebras))
    assert words(event) == "3 plains zebra, 1 wildebeest"


def test_one_slip_of_the_classifier_in_a_long_burst_is_outvoted() -> None:
    (event,) = events(burst(*[["lion"]] * 9, ["tiger"]))
    assert words(event) == "1 lion"


def test_an_ancestor_is_counted_only_for_animals_that_have_no_narrower_name() -> None:
    (event,) = events(burst(["lion", "lion"], ["Felidae"]))
    assert words(event) == "2 lion"
    (event,) = events(burst(["lion", "lion"], ["lion", "Felidae", "Felidae"]))
    assert words(event) == "2 lion, 1 Felidae (family)"
    (event,) = events(burst(["animal", "animal"], ["lion"]))
    assert sorted(one.taxon.common_name for one in event.seen) == ["animal", "lion"]


def test_unknown_stands_only_where_nothing_has_a_name() -> None:
    (event,) = events(burst(["unknown"], ["lion"]))
    assert words(event) == "1 lion"
    (event,) = events(burst(["unknown"], []))
    assert words(event) == "1 unknown"


def test_photos_that_nobody_counted_have_names_without_numbers() -> None:
    (event,) = events([whole_photo("a/1.jpg"), whole_photo("a/2.jpg")])
    assert words(event) == "lion"
    assert event.seen[0].photos == 2


def test_an_empty_event_has_nothing_to_show() -> None:
    (event,) = events(burst([], []))
    assert event.seen == ()


def test_an_unsure_photo_beside_an_empty_one_is_not_empty() -> None:
    unsure = whole_photo("a/1.jpg", verdict=Verdict.UNKNOWN, species=(species("lion", 0.2),))
    (event,) = events([unsure, sighting("a/2.jpg", second=1)])
    assert words(event) == "unknown"


def test_a_gap_under_a_second_is_refused() -> None:
    with pytest.raises(ValueError, match="at least a second"):
        group([], timedelta(seconds=0.5))


NAMES = [*KNOWN, "animal", "unknown"]


@given(st.lists(st.tuples(st.integers(0, 400), st.lists(st.sampled_from(NAMES), max_size=4)), max_size=25))
def test_events_divide_the_photos_and_never_count_an_animal_twice(photos: list[tuple[int, list[str]]]) -> None:
    records = [
        sighting(f"a/{number}.jpg", [box(name) for name in names], second=second)
        for number, (second, names) in enumerate(photos)
    ]
    found = events(records)
    assert sorted(one.id for event in found for one in event.shots) == sorted(record.id for record in records)
    for event, following in pairwise(found):
        assert following.start - event.end >= timedelta(seconds=60)
    for event in found:
        most = max(sum(finding.count or 0 for finding in one.findings) for one in event.shots)
        each = [seen.count or 0 for seen in event.seen]
        assert all(count <= most for count in each)
        if len(event.shots) == 1:
            assert sum(each) <= most
        assert bool(event.seen) == any(one.findings for one in event.shots)
