"""The gateway refuses to start where it must, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.server import refuse_open_bind
from tests.support.stack import ROOT


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_credentials(host: str) -> None:
    refuse_open_bind(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "192.168.0.1"])
def test_any_other_address_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="will not listen"):
        refuse_open_bind(host)


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
