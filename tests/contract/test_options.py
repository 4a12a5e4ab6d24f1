"""Parameters of a request: what they mean, and what is refused."""

from __future__ import annotations

import math

import pytest

from contract.options import Options, OptionsError, Task, read_options


def test_nothing_asked_is_everything_with_the_release_s_thresholds() -> None:
    assert read_options({}) == Options(Task.FULL)
    assert Options().parameters() == {}


@pytest.mark.parametrize("value", [0.3, "0.3"])
def test_numbers_may_come_as_text(value: object) -> None:
    assert read_options({"tasks": "count", "detect_from": value}) == Options(Task.COUNT, detect_from=0.3)


def test_options_survive_their_way_as_parameters() -> None:
    options = Options(Task.SPECIES, detect_from=0.0, overlap=1.0, sure_from=0.5, empty_from=0.25)
    assert read_options(options.parameters()) == options


def test_names_of_others_are_left_alone() -> None:
    assert read_options({"timeout": 5, "ack": "durable"}) == Options()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tasks", "everything"),
        ("tasks", 7),
        ("tasks", ["full"]),
        ("detect_from", "much"),
        ("detect_from", -0.1),
        ("overlap", 1.01),
        ("sure_from", math.nan),
        ("empty_from", math.inf),
        ("sure_from", True),
        ("sure_from", None),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name(name: str, value: object) -> None:
    with pytest.raises(OptionsError, match=name):
        read_options({name: value})
