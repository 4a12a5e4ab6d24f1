"""``bestiary up --settings``: as many instances and gateway processes as it says, with a rollout and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from benchmarks.cpu import family
from tests.support.stack import ROOT, running_stack


@pytest.mark.parametrize("more", [(), ("--no-rollout",)], ids=["rollout", "plain"])
def test_a_stack_has_the_instances_that_its_settings_say(tmp_path: Path, cat: bytes, more: tuple[str, ...]) -> None:
    (tmp_path / "tuned.json").write_text(json.dumps({"settings": {"instances": 1, "min_inflight": 2}}))
    with running_stack(tmp_path, *more) as stack:
        roles = [process.role for process in family(stack.process.pid)]
        assert sum(role.startswith("stub animals") for role in roles) == 1
        reply = httpx.post(f"{stack.url}/v1/classifications", content=cat, timeout=30, trust_env=False)
        assert reply.is_success, reply.text
    assert "tuned.json" in (tmp_path / "up.log").read_text()


def test_settings_that_cannot_be_read_end_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "up", "--data", str(tmp_path), "--settings", str(tmp_path / "none.json")]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "run `bestiary tune`" in done.stderr
