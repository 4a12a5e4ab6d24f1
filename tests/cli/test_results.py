from __future__ import annotations

import csv
import io
import json
import uuid

import pytest

from contract.record import Record


@pytest.fixture
def five(stub):
    names = ["plain.jpg", 'comma, and "quotes".jpg', "two\nlines.jpg", None, "last.jpg"]
    stub.records = [stub.record(name, minute=minute) for minute, name in enumerate(names)]
    return stub


def test_a_list_is_a_table_of_the_newest(bestiary, five):
    done = bestiary("results", "list", "--limit", "3", "--url", five.url)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["id", "uploaded", "animals", "score", "verdict", "file"]
    assert [row.split()[0] for row in rows[1:]] == [str(record.id) for record in five.records[:3]]
    assert rows[1].endswith("plain.jpg")
    assert [query["limit"] for query in five.queries] == ["3", "1"]


def test_all_pages_through(bestiary, five):
    done = bestiary("results", "list", "--all", "--json", "--url", five.url)
    assert [Record.model_validate_json(line) for line in done.stdout.splitlines()] == five.records
    assert len(five.queries) == 3


def test_filters_reach_the_service(bestiary, stub):
    done = bestiary(
        "results", "list", "--species", "lion", "--verdict", "animal", "--since", "2026-11-01",
        "--until", "2026-11-22T18:00:00+01:00", "--url", stub.url,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == "No result matches.\n"
    assert stub.queries == [
        {
            "limit": "50",
            "species": "lion",
            "verdict": "animal",
            "since": "2026-11-01T00:00:00",
            "until": "2026-11-22T18:00:00+01:00",
        }
    ]


def test_a_date_that_is_none_is_a_usage_error(bestiary, stub):
    done = bestiary("results", "list", "--since", "yesterday", "--url", stub.url)
    assert done.returncode == 2
    assert stub.queries == []


def test_show_has_species_taxonomy_timings_and_release(bestiary, five):
    done = bestiary("results", "show", five.records[0].id, "--url", five.url)
    assert done.returncode == 0, done.stderr
    for text in ("plain.jpg", "Mammalia > Carnivora > Felidae > Panthera > Panthera leo", "0.973", "some cat",
                 "1@0123456789ab", "triton 4 ms", "2 lion", "2026-10-31 06:30:00"):  # fmt: skip
        assert text in done.stdout
    assert "\x1b" not in done.stdout


def test_show_saves_the_photo_beside_json(bestiary, five, tmp_path):
    file = tmp_path / "photo.jpg"
    done = bestiary("results", "show", five.records[1].id, "--json", "--photo", file, "--url", five.url)
    assert done.returncode == 0, done.stderr
    assert Record.model_validate_json(done.stdout) == five.records[1]
    assert file.read_bytes() == b"the photo"


def test_a_photo_that_cannot_be_written_is_told(bestiary, five, tmp_path):
    done = bestiary("results", "show", five.records[1].id, "--photo", tmp_path / "no" / "x.jpg", "--url", five.url)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_an_unknown_id_is_exit_1_and_no_id_at_all_is_exit_2(bestiary, stub):
    done = bestiary("results", "show", uuid.uuid4(), "--url", stub.url)
    assert (done.returncode, done.stderr) == (1, "No record has this id.\n")
    assert bestiary("results", "show", "../livez", "--url", stub.url).returncode == 2


def test_csv_holds_every_page_and_reads_back(bestiary, five, tmp_path):
    file = tmp_path / "all.csv"
    done = bestiary("results", "export", "--format", "csv", "--out", file, "--url", five.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"Wrote 5 results to {file}.\n"
    text = file.read_bytes().decode()
    assert text.startswith(
        "id,received_at,captured_at,filename,verdict,common_name,scientific_name,rank,score,count,"
        "width,height,sha256,release,animals,"
    )
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["filename"] for row in rows] == [record.photo.filename or "" for record in five.records]
    assert {name: cell for name, cell in list(rows[0].items())[:14]} == {
        "id": str(five.records[0].id),
        "received_at": "2026-11-01T12:00:00+00:00",
        "captured_at": "2026-10-31T06:30:00",
        "filename": "plain.jpg",
        "verdict": "animal",
        "common_name": "lion",
        "scientific_name": "Panthera leo",
        "rank": "species",
        "score": "0.9731",
        "count": "2",
        "width": "1920",
        "height": "1080",
        "sha256": "ab" * 32,
        "release": "1@0123456789ab",
    }


def test_jsonl_goes_to_standard_output(bestiary, five):
    done = bestiary("results", "export", "--format", "jsonl", "--url", five.url)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [str(record.id) for record in five.records]
    assert done.stderr == ""


def test_an_export_that_cannot_be_written_is_exit_1(bestiary, five, tmp_path):
    done = bestiary("results", "export", "--out", tmp_path / "no" / "all.csv", "--url", five.url)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize("command", [["list"], ["export"], ["show", str(uuid.uuid4())]])
def test_results_without_a_service_are_exit_3(bestiary, silent_stub, command):
    done = bestiary("results", *command, "--retries", "0", "--url", silent_stub.url)
    assert done.returncode == 3
    assert f"No Bestiary answers at {silent_stub.url}" in done.stderr
