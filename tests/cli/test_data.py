"""``bestiary data``: check, add, list, show."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.support.datasets import UAKARI, photo, write
from training.datasets import read_dataset


@pytest.fixture
def source(tmp_path: Path) -> Path:
    files = {f"lion/{n}.jpg": photo(n) for n in range(10)} | {f"bald_uakari/{n}.jpg": photo(n + 50) for n in range(10)}
    return write(tmp_path / "source", files)


@pytest.fixture
def species(tmp_path: Path) -> Path:
    file = tmp_path / "species.csv"
    row = ",".join((UAKARI.key, *UAKARI.ranks, UAKARI.common_name))
    file.write_text(f"leaf,class,order,family,genus,species,common_name\n{row}\n")
    return file


def test_check_changes_nothing_and_tells_what_is_wrong(bestiary, source, species, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = bestiary("data", "check", source, "--species", species)
    assert done.returncode == 0
    assert re.search(r"bald_uakari +bald uakari +7 +1 +2 +10", done.stdout)
    assert "warning: Fewer than 20 photos" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_check_refuses_unknown_labels_and_still_reports(bestiary, source, tmp_path):
    done = bestiary("data", "check", source, "--report", tmp_path / "report.html")
    assert done.returncode == 1
    assert "refused: 'bald_uakari' is not in the taxonomy" in done.stderr
    assert "bald_uakari" in (tmp_path / "report.html").read_text("utf-8")
    assert bestiary("data", "check", source, "--skip", "Bald Uakari").returncode == 0


def test_check_as_json(bestiary, source):
    write(source, {"lion/cut.jpg": photo(99)[:3000]})
    facts = json.loads(bestiary("data", "check", source, "--json", "--skip", "bald_uakari").stdout)
    assert facts["photos"] == 10
    assert facts["classes"]["lion"] == {"train": 7, "validation": 1, "test": 2}
    assert {"name": "lion/cut.jpg", "label": "lion", "reason": "truncated"}.items() <= facts["left_out"][-1].items()
    assert {problem["severity"] for problem in facts["problems"]} == {"warning", "note"}


def test_add_list_show(bestiary, source, species, tmp_path):
    options = ("--datasets", tmp_path / "datasets")
    assert bestiary("data", "list", *options).returncode == 0
    added = bestiary("data", "add", source, "--name", "cats", "--species", species, "--json", *options)
    facts = json.loads(added.stdout)
    assert (added.returncode, facts["new"]) == (0, True)
    again = bestiary("data", "add", source, "--name", "cats", "--species", species, *options)
    assert f"{facts['identity']} is there already" in again.stderr
    (listed,) = map(json.loads, bestiary("data", "list", "--json", *options).stdout.splitlines())
    assert listed["identity"] == facts["identity"]
    assert facts["identity"] in bestiary("data", "list", *options).stdout
    shown = bestiary("data", "show", "cats", "--verify", *options)
    assert shown.returncode == 0
    assert "Cacajao calvus" in shown.stdout
    assert "report.html" in shown.stdout
    assert (Path(facts["folder"]) / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    details = json.loads(bestiary("data", "show", facts["identity"], "--json", *options).stdout)
    assert details["species"][0]["leaf"] == "bald_uakari"


def test_a_damaged_photo_is_found(bestiary, source, tmp_path):
    options = ("--datasets", tmp_path / "datasets")
    bestiary("data", "add", source, "--name", "cats", "--skip", "bald_uakari", *options)
    spoilt = next((tmp_path / "datasets" / "photos").rglob("*.jpg"))
    spoilt.write_bytes(b"x")
    done = bestiary("data", "show", "cats", "--verify", *options)
    assert done.returncode == 1
    assert f"1 photos are damaged, such as photos/{spoilt.parent.name}/{spoilt.name}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["add", "{source}", "--name", "Cats!"], 1, "is no name for a data set"),
        (["add", "{source}", "--name", "cats"], 1, "Nothing was written"),
        (["add", "{source}"], 2, "Missing option"),
        (["add", "{source}/nowhere", "--name", "cats"], 1, "There is no"),
        (["check", "{source}", "--species", "{source}/nowhere.csv"], 1, "cannot be read"),
        (["check", "{source}", "--taxonomy", "{source}/nowhere.csv"], 1, "cannot be read"),
        (["check", "{source}/lion/0.jpg"], 1, "neither a folder nor"),
        (["check", "{source}", "--skip", "bald_uakari", "--report", "{source}/no/where.html"], 1, "cannot be written"),
        (["show", "cats"], 1, "No data set 'cats'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(bestiary, source, tmp_path, monkeypatch, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    done = bestiary("data", *(argument.format(source=source) for argument in arguments))
    assert done.returncode == code
    assert told in done.stderr
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize("command", ["", "check", "add", "list", "show"])
def test_help_has_an_example(bestiary, command):
    done = bestiary("data", *filter(None, [command]), "--help")
    assert done.returncode == 0
    assert "Example: bestiary data" in done.stdout


def test_stopping_it_leaves_nothing_half_written(start, bestiary, source, species, tmp_path):
    write(source, {f"lion/{n}.jpg": photo(n, quality=95) for n in range(1000, 1200)})
    arguments = ("data", "add", source, "--name", "cats", "--species", species, "--out", tmp_path / "d")
    process = start(*arguments)
    deadline = time.monotonic() + 60
    while not (tmp_path / "d" / "photos").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    for folder in (tmp_path / "d" / "cats").glob("[!.]*"):
        read_dataset(folder)
    assert bestiary(*arguments).returncode == 0
    (folder,) = (tmp_path / "d" / "cats").glob("[!.]*")
    assert len(read_dataset(folder).photos) == 220


def test_where_jinja_is_not_installed_only_the_report_is_missing(bestiary, source, tmp_path, monkeypatch):
    monkeypatch.setattr("cli.data._has_jinja", lambda: False)
    options = ("--skip", "bald_uakari", "--datasets", tmp_path / "datasets")
    added = bestiary("data", "add", source, "--name", "cats", *options)
    assert added.returncode == 0
    assert "no HTML report" in added.stderr
    assert "report" not in bestiary("data", "show", "cats", *options[2:]).stdout
    checked = bestiary("data", "check", source, *options[:2], "--report", tmp_path / "report.html")
    assert checked.returncode == 2
    assert "make install-dev" in checked.stderr
    assert not (tmp_path / "report.html").exists()
