"""The verdict of a chaos run can be bad: each way to break the promise is seen."""

from __future__ import annotations

import pytest

from benchmarks.chaos.faults import Fault
from benchmarks.chaos.ledger import CUT, Call, Ledger, kept
from benchmarks.chaos.report import struck_of


def call(record_id: str, sha256: str = "", *, code: str = "ok", at: float = 0.0, read: bool = False) -> Call:
    return Call(at, at + 0.1, "rest", 0, sha256 or f"photo-{record_id}", code, record_id, read)


CALLS = [call("a"), call("b"), call("", "photo-c", code=CUT), call("a", read=True)]
WHOLE = [("a", "photo-a"), ("b", "photo-b")]


def test_all_kept() -> None:
    verdict = kept(CALLS, WHOLE)
    assert verdict.whole
    assert (verdict.acknowledged, verdict.unasked) == (2, 0)


def test_a_record_whose_caller_heard_nothing_is_harmless() -> None:
    verdict = kept(CALLS, [*WHOLE, ("c", "photo-c")])
    assert verdict.whole
    assert verdict.unasked == 1


@pytest.mark.parametrize(
    ("stored", "field", "what"),
    [
        (WHOLE[:1], "missing", ("b",)),
        ([*WHOLE, ("d", "photo-a")], "doubled", ("photo-a",)),
        ([*WHOLE, ("b", "photo-b")], "doubled", ("photo-b",)),
        ([("a", "photo-b"), ("b", "photo-x")], "changed", ("a", "b")),
    ],
)
def test_what_is_broken_is_named(stored: list[tuple[str, str]], field: str, what: tuple[str, ...]) -> None:
    verdict = kept(CALLS, stored)
    assert not verdict.whole
    assert getattr(verdict, field) == what


def test_an_outage_ends_with_the_first_answer_after_the_last_failure() -> None:
    fault = Fault("x", 1.0, lambda world, chance: None)
    ledger = Ledger()
    for one in (
        call("a", at=9), call("", code=CUT, at=10.2), call("b", at=10.4), call("", code="overloaded", at=12),
        call("", code="not_an_image", at=13), call("c", at=14), call("d", at=30),
    ):  # fmt: skip
        ledger.add(one)
    struck = struck_of(ledger.calls(), fault, 10.0, 11.0, 2.5, until=20.0)
    assert struck.served_s == pytest.approx(3.1)
    assert struck.failures == {CUT: 1, "overloaded": 1}
    assert struck.answered == 2
    assert struck.whole_s == 2.5
