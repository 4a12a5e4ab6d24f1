"""The OpenAPI document is kept by the service: schemathesis finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.stack import Stack


def test_schemathesis_finds_nothing(stack: Stack, tmp_path: Path, cat: bytes) -> None:
    record = httpx.post(f"{stack.url}/v1/classifications", content=cat, params={"tasks": "species"}, timeout=60).json()
    here = Path(__file__).parent
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "--config-file", here / "schemathesis.toml", "run",
            f"{stack.url}/openapi.json", "--max-examples", "25", "--seed", "7", "--no-color",
            "--phases", "examples,coverage,fuzzing", "--generation-database", "none",
        ],
        cwd=tmp_path, env={**os.environ, "RECORD_ID": record["id"]}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-1000:]
    assert "generated" in run.stdout
