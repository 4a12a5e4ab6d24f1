"""Spoiled photos among good ones, through the gateway and straight to Triton: the short form of benchmarks.fuzz."""

from __future__ import annotations

from benchmarks.cpu import family
from benchmarks.fuzz import fuzz
from benchmarks.mutations import Mutator
from tests.support.stack import Stack

UPLOADS = 600


def test_good_photos_are_answered_among_spoiled_ones_and_no_process_dies(stack: Stack, cat: bytes) -> None:
    before = {process.pid for process in family(stack.process.pid)}
    tally = fuzz(Mutator([cat], seed=2), range(UPLOADS), stack.grpc, stack.triton_grpc, 12, stack.model("animals"))
    assert [(mutant.number, mutant.kind, outcome) for mutant, outcome in tally.faults] == []
    assert sum(tally.outcomes.values()) == UPLOADS
    assert sum(count for (kind, _), count in tally.outcomes.items() if kind.startswith("good")) == UPLOADS / 8
    assert before <= {process.pid for process in family(stack.process.pid)}
