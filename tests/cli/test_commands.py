from __future__ import annotations

import importlib.util
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from cli.client import retry_after_s


@pytest.fixture
def bestiary():
    """The command in this process: what it says of itself needs no other."""

    def run(*arguments):
        result = CliRunner().invoke(app, arguments, prog_name="bestiary", color=False)
        return result.exit_code, re.sub(r"\x1b\[[\d;]*m", "", result.stdout), result.stderr

    return run


def test_help_names_every_command(bestiary):
    code, out, _ = bestiary("--help")
    assert code == 0
    for command in ("up", "classify", "results", "status", "train", "export"):
        assert f" {command} " in out


@pytest.mark.parametrize(
    "command", [["classify"], ["results"], ["results", "list"], ["results", "show"], ["results", "export"], ["status"]]
)
def test_every_help_has_an_example(bestiary, command):
    code, out, _ = bestiary(*command, "--help")
    assert code == 0
    assert re.search(r"Example: .*bestiary ", out)


@pytest.mark.parametrize(("command", "needs", "extra"), [("train", "torch", "training"), ("export", "onnx", "export")])
def test_a_missing_extra_is_one_sentence(bestiary, command, needs, extra):
    code, out, err = bestiary(command, "--help")
    if importlib.util.find_spec(needs):
        assert code == 0
        assert f"bestiary {command} [OPTIONS] COMMAND" in out
    else:
        assert code == 2
        assert err == f"The {extra} extra is not installed: make install-dev\n"


def test_usage_errors_are_exit_2_and_send_nothing(bestiary, stub, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments in (
        [tmp_path / "nowhere.jpg"],
        [tmp_path / "empty"],
        [folder, tmp_path / "nowhere.jpg"],
        ["-", "-"],
        [folder, "--concurrency", "0"],
        [folder, "--url", "localhost:8080"],
        [],
    ):
        code, _, err = bestiary("classify", "--url", stub.url, *map(str, arguments))
        assert code == 2, arguments
        assert err
    assert stub.photos == []


def test_retry_after_is_seconds_or_a_date():
    assert retry_after_s("3") == 3.0
    assert retry_after_s("") is None
    assert retry_after_s("soon") is None
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < retry_after_s(later) <= 90
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
