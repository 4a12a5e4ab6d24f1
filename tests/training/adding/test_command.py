"""``bestiary train --data … --add-species`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from training.cli import app

RUNNER = CliRunner()


def test_it_trains_and_prints_figures(colours: Path, repository: Path, tmp_path: Path) -> None:
    quick = ["--epochs", "1", "--views", "1", "--head-rate", "0.01", "--no-track", "--json"]
    told = RUNNER.invoke(
        app,
        ["--data", str(colours), "--add-species", "--base", str(repository), "--out", str(tmp_path / "out"), *quick],
    )
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["photos.new"] == 9
    written = {file.name for file in (tmp_path / "out").iterdir() if file.is_file()}
    assert {"checkpoint.pt", "evaluation.json", "report.html"} <= written


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "{colours}"], "--add-species"),
        (["--data", "{colours}", "--base", "nowhere"], "--base"),
        (["--data", "{colours}", "--add-species", "--old", "nowhere"], "manifest.csv"),
        (["--data", "{colours}", "--add-species", "--backbone", "x", "--search", "2"], "--search"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    arguments: list[str], reason: str, colours: Path, repository: Path, tmp_path: Path
) -> None:
    given = [text.format(colours=colours) for text in arguments]
    base = [] if "--base" in given else ["--base", str(repository)]
    told = RUNNER.invoke(app, [*given, *base, "--out", str(tmp_path / "out"), "--no-track"])
    assert told.exit_code == 1
    assert reason in told.stderr
    assert "Traceback" not in told.output
    assert not (tmp_path / "out").exists()


def test_help_has_an_example_and_the_other_commands() -> None:
    told = RUNNER.invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert "Example: bestiary train --data" in told.stdout
    assert "leave-out" in told.stdout


def test_other_commands_are_still_there() -> None:
    told = RUNNER.invoke(app, ["fit", "--help"], env={"COLUMNS": "200"})
    assert "python -m training fit" in told.stdout
