"""`bestiary results export` and `events`: what was fetched, as the formats want it."""

from __future__ import annotations

import csv
import io
import json
import sys
import uuid
import zipfile
from contextlib import chdir
from datetime import datetime

import frictionless
import pytest

from contract.ids import id_time
from contract.record import Location
from interchange.md_json import FORMAT_VERSION
from tests.support.sightings import box, sighting

HERE = Location(latitude=-2.3, longitude=34.8)
CAMTRAP = ("results", "export", "--format", "camtrap-dp", "--timezone", "Africa/Nairobi")


@pytest.fixture
def savanna(stub):
    """Newest first, as the service lists: one photo was classified twice, another has no time."""
    stub.records = [
        sighting("north/1.JPG", ["lion", "lion", "Felidae"], location=HERE),
        sighting("north/2.JPG", ["lion"], second=5, location=HERE),
        sighting("south/1.JPG", [], second=900, location=HERE),
        sighting("south/no time.JPG", [box("plains zebra", 0.6)], at=None, location=HERE),
        sighting("north/1.JPG", ["tiger"], location=HERE),
    ]
    return stub


def run(bestiary, stub, *arguments):
    done = bestiary(*arguments, "--url", stub.url)
    assert done.returncode == 0, done.stderr
    return done


def test_md_json_has_each_photo_once_with_its_newest_result(bestiary, savanna, tmp_path):
    file = tmp_path / "md.json"
    done = run(bestiary, savanna, "results", "export", "--format", "md-json", "--out", file)
    result = json.loads(file.read_text())
    assert result["info"]["format_version"] == FORMAT_VERSION
    assert [image["file"] for image in result["images"]] == [
        "north/1.JPG",
        "north/2.JPG",
        "south/1.JPG",
        "south/no time.JPG",
    ]
    assert len(result["images"][0]["detections"]) == 3
    assert done.stderr == f"1 older results of the same photos were left out.\nWrote 4 photos to {file}.\n"


def test_json_formats_go_to_standard_output_too(bestiary, savanna):
    for kind in ("md-json", "coco-ct"):
        done = run(bestiary, savanna, "results", "export", "--format", kind)
        assert len(json.loads(done.stdout)["images"]) == 4


def test_coco_ct_has_bursts(bestiary, savanna, tmp_path):
    file = tmp_path / "coco.json"
    run(bestiary, savanna, "results", "export", "--format", "coco-ct", "--event-gap", "3", "--out", file)
    images = json.loads(file.read_text())["images"]
    assert [image.get("seq_num_frames") for image in images] == [1, 1, 1, None]


def test_camtrap_dp_is_a_folder_that_validates(bestiary, savanna, tmp_path):
    out = tmp_path / "package"
    done = run(bestiary, savanna, *CAMTRAP, "--contributor", "Rosa Okello <rosa@example.org>", "--out", out)
    with chdir(out):
        assert frictionless.validate("datapackage.json").valid
    assert done.stderr.splitlines() == [
        "1 photos without a capture time were left out: the standard has no place for them.",
        f"Wrote 2 deployments, 3 photos and 8 observations to {out}.",
        f"To validate it: cd {out} && frictionless validate datapackage.json",
    ]
    again = run(bestiary, savanna, *CAMTRAP, "--deployment-by", "none", "--schemas", "linked", "--out", out)
    assert "give people before you publish it" in again.stderr
    assert json.loads((out / "datapackage.json").read_text())["profile"].startswith("https://")


def test_camtrap_dp_is_a_zip_on_demand(bestiary, savanna, tmp_path):
    out = tmp_path / "package.zip"
    run(bestiary, savanna, *CAMTRAP, "--out", out)
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert {"datapackage.json", "deployments.csv", "media.csv", "observations.csv"} < set(archive.namelist())
    assert list(tmp_path.iterdir()) == [out], "nothing is left behind"


def test_camtrap_dp_takes_a_list_of_deployments(bestiary, stub, tmp_path):
    stub.records = [sighting("north/DCIM/100RECNX/1.JPG", ["lion"])]
    sites = tmp_path / "sites.csv"
    sites.write_text("\ufeffdeploymentID,latitude,longitude,locationName\nnorth,-2.5,34.75,Salt lick\n")
    run(bestiary, stub, *CAMTRAP, "--deployments", sites, "--out", tmp_path / "package")
    with (tmp_path / "package" / "deployments.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["deploymentID"], row["latitude"], row["locationName"]) == ("north", "-2.5", "Salt lick")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--format", "camtrap-dp", "--out", "x"), "give --timezone"),
        (("--format", "camtrap-dp", "--timezone", "Mars", "--out", "x"), "'Mars' is not a time zone"),
        (("--format", "camtrap-dp", "--timezone", "UTC"), "camtrap-dp cannot go to standard output: give --out"),
        (("--format", "parquet"), "parquet cannot go to standard output: give --out"),
        (("--deployments", "/nowhere.csv"), "cannot be read"),
        (("--ledger", "/nowhere"), "There is no ledger at"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_fetched(bestiary, savanna, arguments, complaint):
    done = bestiary("results", "export", *arguments, "--url", savanna.url)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.replace("│", " ").split())
    assert savanna.queries == []


def test_deployments_without_a_position_are_named(bestiary, stub, tmp_path):
    stub.records = [sighting("north/1.JPG"), sighting("south/1.JPG")]
    done = bestiary(*CAMTRAP, "--out", tmp_path / "package", "--url", stub.url)
    assert done.returncode == 2
    assert "that of north, south is unknown: give --deployments" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_left_alone(bestiary, savanna, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    done = bestiary(*CAMTRAP, "--out", tmp_path, "--url", savanna.url)
    assert done.returncode == 1
    assert "give a new one" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_an_export_that_fails_leaves_the_old_file(bestiary, savanna, tmp_path, monkeypatch):
    file = tmp_path / "md.json"
    file.write_text("old")
    broken = bestiary("results", "export", "--format", "md-json", "--out", file, "--url", savanna.url + "/elsewhere")
    assert broken.returncode == 1
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("per", ["photo", "box"])
def test_parquet_and_csv_have_the_same_rows(bestiary, savanna, tmp_path, per):
    pq = pytest.importorskip("pyarrow.parquet")
    options = ("results", "export", "--per", per)
    run(bestiary, savanna, *options, "--format", "parquet", "--out", tmp_path / "x.parquet")
    done = run(bestiary, savanna, *options, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.num_rows == len(rows) == {"photo": 5, "box": 6}[per]
    assert table.column_names == list(rows[0])
    assert table.column("common_name").to_pylist() == [row["common_name"] or None for row in rows]


def test_parquet_without_pyarrow_is_one_sentence(bestiary, savanna, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("interchange.parquet.importlib.util.find_spec", lambda name: None)
    done = bestiary("results", "export", "--format", "parquet", "--out", tmp_path / "x", "--url", savanna.url)
    assert done.returncode == 2
    assert "pip install 'bestiary[parquet]'" in done.stderr


@pytest.fixture
def classified(bestiary, stub, folder):
    """A folder of five photos, one of which is cut off."""
    stub.refusals[b"a.png"] = [stub.problem(422, "truncated", "The photo ends before its picture does.")]
    bestiary("classify", folder, "--url", stub.url)
    stub.records.append(sighting("elsewhere.jpg"))
    stub.queries.clear()
    return folder


def test_a_folder_is_exported_by_its_ledger_with_its_failures(bestiary, stub, classified, tmp_path):
    file = tmp_path / "md.json"
    run(bestiary, stub, "results", "export", "--format", "md-json", "--ledger", classified, "--out", file)
    images = {image["file"]: image for image in json.loads(file.read_text())["images"]}
    assert sorted(images) == ["a.png", "b.JPG", "sub/c.webp", "sub/d.TIFF", "sub/deep/e.gif"]
    assert images["a.png"]["failure"] == "truncated: The photo ends before its picture does."
    assert stub.queries == [], "nothing but its own results was asked for"


def test_results_of_a_large_folder_are_listed_and_the_rest_asked_for(bestiary, stub, tmp_path):
    for number in range(30):
        (tmp_path / f"{number}.jpg").write_bytes(b"%d" % number)
    bestiary("classify", tmp_path, "--url", stub.url)
    unlisted = stub.records[0]
    stub.records.remove(unlisted)
    stub._get = lambda record_id, rest: (200, {}, unlisted.model_dump_json(by_alias=True).encode())
    stub.records.append(sighting("elsewhere.jpg"))
    stub.queries.clear()
    done = run(bestiary, stub, "results", "export", "--json", "--ledger", tmp_path)
    names = {json.loads(line)["photo"]["filename"] for line in done.stdout.splitlines()}
    assert names == {f"{number}.jpg" for number in range(30)}
    since, until = (datetime.fromisoformat(stub.queries[0][name]) for name in ("since", "until"))
    assert since < id_time(unlisted.id) < until


def test_a_photo_that_cannot_be_read_is_corrupt_in_coco_ct(bestiary, stub, classified, tmp_path):
    file = tmp_path / "coco.json"
    run(bestiary, stub, "results", "export", "--format", "coco-ct", "--ledger", classified, "--out", file)
    images = json.loads(file.read_text())["images"]
    assert [image["file_name"] for image in images if image.get("corrupt")] == ["a.png"]


def test_results_that_are_gone_are_counted(bestiary, stub, classified):
    stub.records.clear()
    done = bestiary("results", "export", "--ledger", classified, "--json", "--url", stub.url)
    assert done.returncode == 0
    assert done.stdout == ""
    assert "4 results of the ledger are not in the service's store" in done.stderr


def test_a_ledger_is_no_filter_beside_others(bestiary, stub, classified):
    done = bestiary("results", "export", "--ledger", classified, "--species", "lion", "--url", stub.url)
    assert done.returncode == 2


def test_events_are_a_table(bestiary, savanna):
    done = run(bestiary, savanna, "results", "events")
    rows = [line.split("  ") for line in done.stdout.splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["event", "start", "photos", "animals", "score"],
        ["north", "2026-03-01 06:30:00", "2", "2 lion, 1 Felidae (family)", "0.900"],
        ["south", "2026-03-01 06:45:00", "1", "no animal"],
    ]
    assert done.stderr == "1 photos have no capture time and belong to no event.\n"


def test_events_are_lines_of_json(bestiary, savanna):
    done = run(bestiary, savanna, "results", "events", "--json", "--deployment-by", "none")
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["deployment"] == "all"
    assert [photo["filename"] for photo in first["photos"]] == ["north/1.JPG", "north/2.JPG"]
    assert all(uuid.UUID(photo["id"]) for photo in first["photos"])
    assert first["animals"][0] == {
        "common_name": "lion",
        "scientific_name": "Panthera leo",
        "rank": "species",
        "count": 2,
        "photos": 2,
        "score": 0.9,
    }
    assert datetime.fromisoformat(second["start"]) == datetime(2026, 3, 1, 6, 45)
    assert second["animals"] == []


def test_events_of_a_folder_come_by_its_ledger(bestiary, stub, classified):
    done = run(bestiary, stub, "results", "events", "--ledger", classified)
    assert "elsewhere" not in done.stdout
    assert len(done.stdout.splitlines()) == 4


def test_a_result_shows_its_boxes(bestiary, savanna):
    done = run(bestiary, savanna, "results", "show", savanna.records[0].id)
    for text in ("2 lion, 1 Felidae (family), 0.900", "10%, 20% - 50%, 80%", "-2.300000, 34.800000", "tiger"):
        assert text in done.stdout
