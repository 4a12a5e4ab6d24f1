"""The story of new species in a short version: real data, training and stack, under load. Minutes, so `long`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.stack import ROOT

DATA = ROOT.parent / "shared" / "data"
SPECIES = ("bald_uakari", "japanese_macaque", "night_monkey")
PHOTOS = 40


@pytest.mark.long
@pytest.mark.skipif(not (DATA / "new_species").is_dir(), reason="needs the data beside the project")
def test_new_species_come_and_go_and_nothing_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks.rollout import story

    for name in SPECIES:
        (tmp_path / "new" / name).mkdir(parents=True)
        for photo in sorted((DATA / "new_species" / name).iterdir())[:PHOTOS]:
            shutil.copy(photo, tmp_path / "new" / name)
    story.main(
        ["--data", str(DATA), "--new", str(tmp_path / "new"), "--out", str(tmp_path), "--rate", "5",
         "--old-photos", "60", "--compared", "20", "--train", "--epochs", "3", "--views", "2"]
    )  # fmt: skip
    facts = json.loads((tmp_path / "story.json").read_text())
    before, after, again = facts["releases"]
    assert before == again != after
    assert not facts["failed"]
    assert facts["requests"] > 100
    assert facts["differ_after_rollback"] == 0
    assert facts["new_before"] == 0
    assert facts["new_after"] >= 0.7, "three epochs on forty photos each"
    assert facts["old_after"] >= facts["old_before"] - 0.1
