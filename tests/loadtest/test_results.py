"""Samples, figures of a run, and what is kept of it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from contract.slo import read_objectives
from loadtest import figures
from loadtest.report import render
from loadtest.results import NoResult, Result, keep, read, result_of
from loadtest.run import GeneratorFailed, Run
from loadtest.samples import Samples, load, percentile, save
from loadtest.stages import split, where_time_went
from loadtest.summary import surprises
from loadtest.verdict import judge
from tests.loadtest.conftest import chunk
from tests.support.stack import ROOT

STAGES = {"decode": [2.0, math.nan], "classify": [3.0, math.nan], "model": [6.0, math.nan], "triton": [8.0, math.nan],
          "total": [10.0, math.nan]}  # fmt: skip
TWO = [(0.0, 0.001, 0.016, "ok"), (0.5, 0.5, 0.6, "overloaded")]


def samples(**stages: list[float]) -> Samples:
    return Samples.join([chunk(TWO, **stages)])


def result(run: Run, server: dict[str, object] | None = None) -> Result:
    objectives = read_objectives(ROOT / "deploy" / "slo" / "bestiary.yaml")
    return result_of(run, judge(run, objectives), photos={}, server=server or {"batches": {}, "gateway_stages_ms": {}})


def test_chunks_of_several_processes_are_put_in_order() -> None:
    joined = Samples.join([chunk([(2.0, 2.0, 2.1, "ok")], decode=[1.0]), chunk([(1.0, 1.0, 1.2, "timeout")])])
    assert joined.planned.tolist() == [1.0, 2.0]
    assert joined.outcome.tolist() == ["timeout", "ok"]
    assert np.isnan(joined.stages["decode"][0])
    assert joined.stages["decode"][1] == 1.0
    assert len(Samples.join([])) == 0


def test_a_percentile_is_a_sample() -> None:
    assert [percentile(range(1, 101), percent) for percent in (0.1, 50, 99, 99.5, 100)] == [1, 50, 99, 100, 100]
    assert math.isnan(percentile([], 50))


def test_latency_counts_from_the_planned_time() -> None:
    assert samples().seconds == pytest.approx([0.016, 0.1])
    assert samples().late == pytest.approx([0.001, 0.0])


def test_where_the_time_went_adds_up_to_the_latency() -> None:
    went = where_time_went(samples(**STAGES))
    assert sum(went.values()) == pytest.approx(16)
    assert went == pytest.approx({
        "sent late": 1, "edge and wire": 5, "gateway, other": 2, "Triton's queue and transfer": 2, "decode": 2,
        "classify": 3, "model, other": 1,
    })  # fmt: skip


def test_stages_that_are_new_show_up_and_it_still_adds_up() -> None:
    went = where_time_went(samples(**STAGES, journal=[1.5, math.nan], queue=[2.5, math.nan]))
    assert went["journal"] == 1.5
    assert went["queue"] == 2.5
    assert not {"gateway, other", "Triton's queue and transfer"} & went.keys(), "they explain what was other"
    assert sum(went.values()) == pytest.approx(16)
    assert where_time_went(samples()) == pytest.approx({"sent late": 1, "edge and wire": 15})


def test_replies_with_and_without_a_record_split_row_by_row() -> None:
    """KServe's replies have no times of the gateway."""
    its = Samples.join([chunk([(0, 0, 0.01, "ok"), (1, 1, 1.01, "ok")], model=[4, 4], total=[math.nan, 9.0])])
    parts = split(its)
    assert parts["edge and wire"] == pytest.approx([6, 1])
    assert parts["gateway, other"] == pytest.approx([0, 5])


@pytest.mark.parametrize("parquet", [True, False])
def test_samples_are_read_as_they_were_written(tmp_path: Path, parquet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if parquet:
        pytest.importorskip("pyarrow")
    else:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    written = samples(**STAGES)
    assert save(written, tmp_path).suffix == (".parquet" if parquet else ".csv")
    again = load(tmp_path)
    for name in ("planned", "sent", "ended", "kind", "user", "outcome"):
        assert getattr(again, name).tolist() == getattr(written, name).tolist()
    for name, values in written.stages.items():
        assert again.stages[name] == pytest.approx(values, nan_ok=True)


def test_a_result_is_read_as_it_was_kept(tmp_path: Path, make_run: Callable[..., Run]) -> None:
    kept = result(make_run([(0.1, "ok")] * 20 + [(math.inf, "timeout")]))
    keep(kept, tmp_path)
    again = read(tmp_path)
    assert again.told["summary"] == json.loads(json.dumps(kept.told["summary"]))
    assert again.samples.outcome.tolist() == kept.samples.outcome.tolist()


@pytest.mark.parametrize("text", [None, "", "{}", '{"format": 99}'])
def test_another_folder_is_no_result(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(NoResult):
        read(tmp_path)


def test_the_report_has_every_picture_and_loads_nothing(make_run: Callable[..., Run]) -> None:
    run = make_run([(0.1, "ok")] * 200 + [(0.9, "ok")] * 5 + [(0.01, "overloaded")] * 3)
    page = render(
        [result(run, {"batches": {"1": 20, "4": 3}, "gateway_stages_ms": {"journal": 1.25}})], closed=run.samples
    )
    assert page.count("<svg") == 6
    assert "INVALID" not in page
    assert "FAIL" in page
    assert "overloaded" in page
    assert "journal 1.2" in page
    for place in range(page.count("<svg")):
        ElementTree.fromstring(page.split("<svg")[place + 1].join(["<svg", ""]).split("</svg>")[0] + "</svg>")
    assert not any(address in page for address in ('src="http', 'href="http', "@import"))


def test_two_runs_stand_side_by_side(make_run: Callable[..., Run]) -> None:
    both = [replace(result(make_run([(took, "ok")] * 50)), name=name) for took, name in ((0.1, "<a>"), (0.2, "b"))]
    page = render(both)
    assert "&lt;a&gt;" in page
    assert "<a>" not in page.replace("&lt;a&gt;", "")
    assert page.count("<h2>Latency over time</h2>") == 1


def test_a_run_without_an_answer_has_a_report_too(make_run: Callable[..., Run]) -> None:
    page = render([result(make_run([(0.01, "connection")] * 5))])
    assert "connection" in page
    assert figures.where(make_run([(0.01, "connection")]).samples) == ""


def test_good_photos_that_are_rejected_are_told(make_run: Callable[..., Run]) -> None:
    found = surprises(make_run([(0.1, "ok")] * 5 + [(0.1, "corrupt")] + [(0.0, "overloaded")] * 2).samples)
    assert "1 photos" in found[0]
    assert "corrupt" in found[0]
    assert "2 of 8" in found[1]


def test_what_a_process_that_sends_says_in_another_language_is_an_error(make_run: Callable[..., Run]) -> None:
    with pytest.raises(GeneratorFailed, match="version"):
        make_run([(0.1, "ok")]).hear({"type": "news"})
