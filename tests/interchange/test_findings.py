"""What a record says of animals, whichever task it was asked for and whichever version wrote it."""

from __future__ import annotations

import pytest

from contract.record import Record, Verdict
from interchange.findings import answer, counted, findings, lies_under, rank_of
from tests.support.sightings import box, sighting, species, taxon, whole_photo


def test_every_box_is_a_finding_of_one_animal() -> None:
    found = findings(sighting(animals=["lion", "lion", "Felidae"]))
    assert [(one.taxon.common_name, one.count) for one in found] == [
        ("lion", 1),
        ("lion", 1),
        ("Felidae (family)", 1),
    ]


def test_an_empty_photo_has_no_findings_and_no_answer() -> None:
    record = sighting()
    assert findings(record) == ()
    assert answer(record) is None
    assert counted(record) == "no animal"


def test_a_record_of_the_first_version_answers_with_its_best_species() -> None:
    record = whole_photo()
    (found,) = findings(record)
    assert (found.taxon.rank, found.taxon.name, found.count, found.box) == ("species", "Panthera leo", None, None)
    assert counted(record) == "lion"


def test_an_unknown_photo_is_unknown_and_not_its_best_guess() -> None:
    record = whole_photo(verdict=Verdict.UNKNOWN, species=(species("lion", 0.2),))
    assert [one.taxon.rank for one in findings(record)] == ["unknown"]
    assert counted(record) == "unknown"


def test_boxes_without_names_are_animals() -> None:
    record = sighting(animals=[box("", 0.8), box("", 0.7)], taxon=None, counts={})
    assert [(one.taxon.name, one.taxon.score) for one in findings(record)] == [("Animalia", 0.8), ("Animalia", 0.7)]
    assert counted(record) == "2 animals"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (sighting(animals=["lion", "lion", "lion", "Felidae"]), "3 lion, 1 Felidae (family)"),
        (sighting(animals=["lion"], counts={}), "1 lion"),
        (sighting(animals=[box("")], taxon=None, counts={}), "1 animal"),
    ],
)
def test_counts_are_put_in_words(record: Record, words: str) -> None:
    assert counted(record) == words


def test_no_animal_among_the_candidates_is_no_answer() -> None:
    record = whole_photo(species=(species("no_animal", 0.5), species("lion", 0.4)))
    assert [one.taxon.common_name for one in findings(record)] == ["lion"]


def test_ranks_are_those_of_the_name() -> None:
    assert [rank_of(taxon(name)) for name in ("lion", "Felidae", "Mammalia", "animal", "unknown")] == [
        "species",
        "family",
        "class",
        "kingdom",
        "unknown",
    ]
    jellyfish = taxon("Mammalia").model_copy(update={"rank": "species", "name": "Scyphozoa", "class_": "Scyphozoa"})
    assert rank_of(jellyfish) == "class"


@pytest.mark.parametrize(
    ("narrow", "broad", "expected"),
    [
        ("lion", "Felidae", True),
        ("lion", "animal", True),
        ("Felidae", "Mammalia", True),
        ("lion", "tiger", False),
        ("lion", "lion", False),
        ("Felidae", "lion", False),
        ("spotted hyena", "Felidae", False),
        ("unknown", "animal", False),
        ("lion", "unknown", False),
    ],
)
def test_what_lies_under_what(narrow: str, broad: str, expected: bool) -> None:
    assert lies_under(taxon(narrow), taxon(broad)) is expected
