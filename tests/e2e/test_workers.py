"""``bestiary up --workers``: real Triton, several gateways, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.stack import running_stack


def supervisor_says(data: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((data / "data" / "run" / "workers.json").read_text())
    return said


def test_photos_are_answered_and_found_while_one_of_two_workers_is_killed(tmp_path: Path, cat: bytes) -> None:
    with running_stack(tmp_path, "--workers", "2") as stack:
        url = f"{stack.url}/v1/classifications"
        ids = [httpx.post(url, content=cat, timeout=30).raise_for_status().json()["id"] for _ in range(6)]
        pids = supervisor_says(tmp_path)["pids"]
        assert len(pids) == 2
        os.kill(pids["1"], signal.SIGKILL)
        while supervisor_says(tmp_path)["pids"].get("1") == pids["1"]:
            time.sleep(0.02)
        for record_id in ids:
            with httpx.Client(trust_env=False, timeout=30) as client:  # a connection of its own
                assert client.get(f"{url}/{record_id}").status_code == 200
        stack.process.terminate()
        assert stack.process.wait(60) == 0
