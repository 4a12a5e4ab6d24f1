"""``bestiary up --settings``: as many instances and gateway processes as it says, with a rollout and without."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from benchmarks.cpu import family
from tests.support.references import photo
from tests.support.stack import running_stack


@pytest.mark.parametrize("more", [(), ("--no-rollout",)], ids=["rollout", "plain"])
def test_a_stack_has_the_instances_that_its_settings_say(tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "tuned.json").write_text(json.dumps({"settings": {"instances": 1, "min_inflight": 2}}))
    with running_stack(tmp_path, *more) as stack:
        roles = [process.role for process in family(stack.process.pid)]
        assert sum(role.startswith("stub animals") for role in roles) == 1
        reply = httpx.post(f"{stack.url}/v1/classifications", content=photo(), timeout=30)
        assert reply.is_success, reply.text
    assert "tuned.json" in (tmp_path / "up.log").read_text()


def test_settings_that_cannot_be_read_end_the_start(bestiary_up, tmp_path: Path) -> None:
    done = bestiary_up("--settings", str(tmp_path / "none.json"), "--data", str(tmp_path))
    assert done.returncode == 2
    assert "run `bestiary tune`" in done.stderr
