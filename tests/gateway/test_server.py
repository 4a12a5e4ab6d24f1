"""The gateway refuses to start where it must, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"BESTIARY_HOST": "0.0.0.0"}, "will not listen on 0.0.0.0"),
        ({"BESTIARY_HTTP_PORT": "99999"}, "BESTIARY_HTTP_PORT"),
        ({"BESTIARY_RELEASE_DIR": "nowhere"}, "nowhere"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: dict[str, str], complaint: str, tmp_path: Path) -> None:
    environment = {**os.environ, "BESTIARY_DATA_DIR": str(tmp_path), **settings}
    command = [sys.executable, "-m", "gateway"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
