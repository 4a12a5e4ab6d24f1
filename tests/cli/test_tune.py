from __future__ import annotations

import json

import pytest

from tuning.settings import read_settings


@pytest.mark.parametrize("option", ["--slo", "--repository", "--photos"])
def test_what_is_not_there_is_exit_2_before_anything_is_started(bestiary, tmp_path, option):
    done = bestiary("tune", "--data", tmp_path, option, tmp_path / "none")
    assert done.returncode == 2
    assert "none" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_real_search_writes_what_up_reads(bestiary, tmp_path):
    done = bestiary("tune", "--data", tmp_path, "--minutes", 0.1, "--seconds", 2, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["closed_loop_per_s"] > 0
    assert read_settings(tmp_path / "tuned.json").settings.model_dump() == told["settings"]
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.json"]
