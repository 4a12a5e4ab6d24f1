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
        ({"BESTIARY_ENTRA_TENANTS": "not-json"}, "give lists as JSON"),
        ({"BESTIARY_ENTRA_TENANTS": '["t"]'}, "BESTIARY_ENTRA_AUDIENCES"),
        ({"BESTIARY_API_KEYS": "{hunter2"}, "BESTIARY_API_KEYS is no list of API keys"),
        ({"BESTIARY_API_KEY_PEPPER": "keyvault:hunter2"}, "BESTIARY_API_KEY_PEPPER must be the secret itself"),
        ({"BESTIARY_CLIENT_CERTIFICATE_SCOPES": '["read"]'}, "BESTIARY_TLS_CLIENT_CA_FILE"),
        ({"BESTIARY_TLS_CERTIFICATE_FILE": "a.pem"}, "set both"),
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
    assert "hunter2" not in done.stderr
