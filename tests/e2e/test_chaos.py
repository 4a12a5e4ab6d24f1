"""The short form of ``python -m benchmarks.chaos``: every kind of fault, nothing lost, nothing doubled."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.chaos.__main__ import main
from benchmarks.chaos.faults import FAULTS


def test_what_was_acknowledged_survives_every_fault(tmp_path: Path) -> None:
    figures = tmp_path / "chaos.json"
    code = main(
        ["--minutes", "2.5", "--faults", str(len(FAULTS)), "--seed", "4", "--rest", "1", "--json", str(figures)]
    )
    found = json.loads(figures.read_text())
    assert {one["name"] for one in found["faults"]} == {fault.name for fault in FAULTS}
    assert found["verdict"]["acknowledged"] > 100
    assert code == 0, found["verdict"]
