"""Measuring the classifier's files."""

from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from benchmarks.engines import FILES, main


def test_a_missing_network_is_one_sentence_and_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repository", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert FILES[0] in said
    assert "Traceback" not in said
