"""The spoiled photos of a fuzz run can be made again, and the good ones are good."""

from __future__ import annotations

import pytest

from benchmarks.fuzz import Tally
from benchmarks.mutations import Mutant, Mutator
from imaging.decode import decode_photo


@pytest.fixture(scope="module")
def mutator(cat: bytes) -> Mutator:
    return Mutator([cat], seed=3)


def test_an_upload_is_the_same_whenever_it_is_made(mutator: Mutator, cat: bytes) -> None:
    again = Mutator([cat], seed=3)
    assert all(mutator.make(number) == again.make(number) for number in (0, 1, 9, 1000))
    assert mutator.make(1) != Mutator([cat], seed=4).make(1)


def test_one_in_eight_is_good_in_every_format(mutator: Mutator) -> None:
    made = [mutator.make(number) for number in range(320)]
    good = [mutant for mutant in made if mutant.good]
    assert len(good) == 40
    assert len({mutant.kind for mutant in good}) == 6
    assert all(decode_photo(mutant.data).width == 451 for mutant in good)
    assert len({mutant.kind for mutant in made if not mutant.good}) == 8


@pytest.mark.parametrize(
    ("good", "outcome", "fault"),
    [
        (True, "ok", False),
        (True, "corrupt", True),
        (False, "ok", False),
        (False, "corrupt", False),
        (False, "INTERNAL: boom", True),
        (False, "DEADLINE_EXCEEDED: hung", True),
        (False, "model_failed", True),
    ],
)
def test_only_answers_and_typed_refusals_of_spoiled_photos_are_right(good: bool, outcome: str, fault: bool) -> None:
    tally = Tally()
    tally.note(Mutant(1, "x", "1.jpg", b"", good), outcome, 0.1)
    assert bool(tally.faults) == fault
