"""Engines side by side: what is missing is said, and what runs gives figures and the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from benchmarks.engine_runs import Candidate, counted, layouts, loaded
from benchmarks.engines import FILES, FLOAT32, best, candidates, main
from contract.tensors import CLASSIFIER
from tests.support.stack import ROOT

REPOSITORY = ROOT / "model_repository"
PICTURES = np.random.default_rng(5).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


def test_a_missing_network_is_one_sentence_and_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repository", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert FILES[FLOAT32] in said
    assert "Traceback" not in said


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_layout_of_an_engine_gives_the_same_answers(engine: str) -> None:
    pytest.importorskip(engine)
    candidate = Candidate(CLASSIFIER, engine, FLOAT32, REPOSITORY / CLASSIFIER / "1" / FILES[FLOAT32])
    expected = loaded(candidate, layouts(engine, 2)[0])[0](PICTURES)
    assert expected.shape[0] == len(PICTURES)
    for layout in layouts(engine, 2):
        runs = loaded(candidate, layout)
        assert len(runs) == layout.callers
        assert all(np.allclose(run(PICTURES), expected, atol=1e-4) for run in runs), layout.name


def test_the_reference_is_float32_onnxruntime() -> None:
    first = candidates(REPOSITORY, CLASSIFIER)[0]
    assert (first.engine, first.precision) == ("onnxruntime", FLOAT32)


def test_a_comparison_writes_every_round(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    report = tmp_path / "engines.json"
    quick = ["--engines", "onnxruntime", "--alone", "--rounds", "1", "--seconds", "0.1"]
    assert main(["--networks", CLASSIFIER, *quick, "--json", str(report)]) == 0
    runs = json.loads(report.read_text())["runs"]
    found = candidates(REPOSITORY, CLASSIFIER, ["onnxruntime"])
    assert {(run["engine"], run["precision"]) for run in runs} == {(one.engine, one.precision) for one in found}
    assert all(len(run["rounds"]) == 1 and run["rounds"][0]["photos_per_s"] > 0 for run in runs)


def test_instructions_are_read_where_they_were_counted() -> None:
    assert counted("123456,,instructions:u,1000,100.00,,\n") == 123456
    assert counted("<not supported>,,instructions:u,0,100.00,,\n") is None
    assert counted("") is None


def test_the_best_layout_of_nothing_is_nothing() -> None:
    assert best([]) == {}
