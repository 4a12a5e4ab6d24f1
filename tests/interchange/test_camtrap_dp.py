"""Camtrap DP: `frictionless validate` passes without a network, and the rows say what the records do."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import frictionless
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.record import Box, Camera, Location, Record, RecordStatus
from interchange import camtrap_dp
from interchange.camtrap_dp import Facts, Schemas, Written
from interchange.camtrap_rows import path
from interchange.camtrap_schema import FIELDS, HOME, TABLES, columns
from interchange.clocks import zone
from interchange.errors import InterchangeError
from interchange.places import By, Places
from tests.support.sightings import KNOWN, RECEIVED, box, sighting, whole_photo

HERE = Location(latitude=-2.3, longitude=34.8)
NAIROBI = zone("Africa/Nairobi")


def facts(**changed: Any) -> Facts:
    return Facts(**({"zone": NAIROBI, "created": RECEIVED} | changed))


def package(folder: Path, records: Sequence[Record], known: Facts | None = None) -> tuple[Written, dict[str, Any]]:
    """Write, validate, and read back."""
    written = camtrap_dp.write(records, folder, known or facts())
    with chdir(folder):
        report = frictionless.validate("datapackage.json")
    assert report.valid, report.flatten(["title", "rowNumber", "fieldName", "message"])
    return written, json.loads((folder / "datapackage.json").read_text())


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def known(row: Mapping[str, str]) -> dict[str, str]:
    return {name: cell for name, cell in row.items() if cell}


@pytest.fixture
def card() -> list[Record]:
    """Two sites, one burst, an empty photo, one nobody counted, one unsure, and one whose clock was never set."""
    camera = Camera(make="RECONYX", model="PC800", serial="P800HG08192031")
    return [
        sighting("north/DCIM/100RECNX/1.JPG", ["lion", "lion", "Felidae"], camera=camera, location=HERE),
        sighting("north/DCIM/100RECNX/2.JPG", ["lion"], second=5, camera=camera, location=HERE),
        sighting("south/1.JPG", [], second=500, location=Location(latitude=-2.4, longitude=34.9)),
        sighting("south/2.JPG", [box("", 0.7)], second=900, counts={}, taxon=None),
        sighting("south/3.JPG", ["unknown"], second=1800, status=RecordStatus.PARTIAL),
        whole_photo("south/4.JPG"),
        sighting("south/5.JPG", ["lion"], at=None),
    ]


def test_a_card_is_a_valid_package(tmp_path: Path, card: list[Record]) -> None:
    written, metadata = package(tmp_path, card)
    assert written == Written(deployments=2, media=6, observations=14, timeless=1)
    assert metadata["temporal"] == {"start": "2026-03-01", "end": "2026-03-01"}
    assert metadata["spatial"] == {"type": "MultiPoint", "coordinates": [[34.8, -2.3], [34.9, -2.4]]}
    assert [taxon["scientificName"] for taxon in metadata["taxonomic"]] == ["Animalia", "Felidae", "Panthera leo"]
    assert metadata["taxonomic"][2] == {
        "scientificName": "Panthera leo",
        "taxonRank": "species",
        "kingdom": "Animalia",
        "class": "Mammalia",
        "order": "Carnivora",
        "family": "Felidae",
        "genus": "Panthera",
        "vernacularNames": {"eng": "lion"},
    }


def test_deployments_are_known_from_their_photos(tmp_path: Path, card: list[Record]) -> None:
    package(tmp_path, card)
    assert known(table(tmp_path, "deployments")[0]) == {
        "deploymentID": "north",
        "latitude": "-2.3",
        "longitude": "34.8",
        "deploymentStart": "2026-03-01T06:30:00+03:00",
        "deploymentEnd": "2026-03-01T06:30:05+03:00",
        "cameraID": "P800HG08192031",
        "cameraModel": "RECONYX-PC800",
    }


def test_media_keep_the_paths_of_the_card(tmp_path: Path, card: list[Record]) -> None:
    package(tmp_path, card)
    media = table(tmp_path, "media")
    assert [row["filePath"] for row in media] == [record.photo.filename for record in card[:6]]
    assert media[1]["timestamp"] == "2026-03-01T06:30:05+03:00"
    assert json.loads(media[0]["exifData"])["BodySerialNumber"] == "P800HG08192031"
    assert media[4]["mediaComments"] == "The file ends before its picture does."


def test_every_box_is_an_observation_of_its_photo(tmp_path: Path, card: list[Record]) -> None:
    package(tmp_path, card)
    rows = [known(row) for row in table(tmp_path, "observations") if row["observationLevel"] == "media"]
    assert [row.get("scientificName", row["observationType"]) for row in rows] == [
        "Panthera leo", "Panthera leo", "Felidae", "Panthera leo", "blank", "Animalia", "unknown", "Panthera leo",
    ]  # fmt: skip
    assert rows[0] == {
        "observationID": f"{card[0].id}-0",
        "deploymentID": "north",
        "mediaID": str(card[0].id),
        "eventID": "north/2026-03-01T06:30:00",
        "eventStart": "2026-03-01T06:30:00+03:00",
        "eventEnd": "2026-03-01T06:30:05+03:00",
        "observationLevel": "media",
        "observationType": "animal",
        "scientificName": "Panthera leo",
        "count": "1",
        "bboxX": "0.100000",
        "bboxY": "0.200000",
        "bboxWidth": "0.400000",
        "bboxHeight": "0.600000",
        "classificationMethod": "machine",
        "classifiedBy": "Bestiary 2@0123456789ab",
        "classificationTimestamp": "2026-11-22T08:00:00+00:00",
        "classificationProbability": "0.9",
        "observationTags": "detectionScore:0.9000",
        "observationComments": "With probability 0.95 one of: lion, tiger",
    }
    assert rows[4]["classificationProbability"] == "0.98", "how sure it is that there is nothing"
    assert "count" not in rows[7], "nobody counted"


def test_events_count_each_animal_once(tmp_path: Path, card: list[Record]) -> None:
    package(tmp_path, card)
    rows = [known(row) for row in table(tmp_path, "observations") if row["observationLevel"] == "event"]
    assert [(row["eventID"], row.get("scientificName"), row.get("count")) for row in rows] == [
        ("north/2026-03-01T06:30:00", "Panthera leo", "2"),
        ("north/2026-03-01T06:30:00", "Felidae", "1"),
        ("south/2026-03-01T06:30:00", "Panthera leo", None),
        ("south/2026-03-01T06:38:20", None, None),
        ("south/2026-03-01T06:45:00", "Animalia", "1"),
        ("south/2026-03-01T07:00:00", None, "1"),
    ]
    assert [row["observationType"] for row in rows[3:]] == ["blank", "animal", "unknown"]


def test_given_deployments_come_first(tmp_path: Path) -> None:
    given = {
        "north": {
            "deploymentID": "north", "latitude": "1.5", "longitude": "36", "deploymentStart": "2026-02-01",
            "deploymentEnd": "2026-04-01", "locationName": "Salt lick", "baitUse": "false", "cameraID": "7",
        },
        "saw nothing": {
            "deploymentID": "saw nothing", "latitude": "1.6", "longitude": "36", "deploymentStart": "2026-02-01T10:00Z",
            "deploymentEnd": "2026-04-01T10:00Z",
        },
        "elsewhere": {"deploymentID": "elsewhere"},
    }  # fmt: skip
    record = sighting("north/1.JPG", ["lion"], camera=Camera(model="PC800"))
    places = Places(given=frozenset(given))
    written, metadata = package(tmp_path, [record], facts(deployments=given, places=places))
    assert written.deployments == 2
    north, nothing = (known(row) for row in table(tmp_path, "deployments"))
    assert (north["deploymentStart"], north["deploymentEnd"]) == (
        "2026-02-01T00:00:00+03:00",
        "2026-04-01T23:59:59+03:00",
    )
    assert (north["locationName"], north["cameraID"], north["cameraModel"]) == ("Salt lick", "7", "PC800")
    assert (nothing["deploymentID"], nothing["deploymentEnd"]) == ("saw nothing", "2026-04-01T10:00:00+00:00")
    assert metadata["temporal"] == {"start": "2026-02-01", "end": "2026-04-01"}


def test_the_project_is_as_its_people_say(tmp_path: Path) -> None:
    people = ["Rosa Okello <rosa@example.org>", "Park Authority"]
    _, metadata = package(
        tmp_path,
        [sighting(location=HERE)],
        facts(title="Lions of the north", contributors=people, sampling_design="targeted", capture_method="timeLapse"),
    )
    assert metadata["project"]["title"] == "Lions of the north"
    assert (metadata["project"]["samplingDesign"], metadata["project"]["captureMethod"]) == ("targeted", ["timeLapse"])
    assert metadata["contributors"] == [
        {"title": "Rosa Okello", "role": "contributor", "email": "rosa@example.org"},
        {"title": "Park Authority", "role": "contributor"},
    ]


def test_an_unknown_position_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InterchangeError, match=r"that of north, south is unknown: give --deployments"):
        camtrap_dp.write([sighting("north/1.JPG"), sighting("south/1.JPG")], tmp_path / "out", facts())
    assert not (tmp_path / "out").exists()


def test_photos_without_any_time_are_told(tmp_path: Path) -> None:
    with pytest.raises(InterchangeError, match="capture time"):
        camtrap_dp.write([sighting(at=None, location=HERE)], tmp_path, facts())


@pytest.mark.parametrize(
    ("end", "complaint"), [("soon", "must be times such as"), ("2026-01-01", "ends before it starts")]
)
def test_wrong_times_of_a_deployment_are_told(tmp_path: Path, end: str, complaint: str) -> None:
    given = {".": {"deploymentID": ".", "latitude": "1", "longitude": "2", "deploymentEnd": end}}
    with pytest.raises(InterchangeError, match=complaint):
        camtrap_dp.write([sighting()], tmp_path, facts(deployments=given))


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("north/1.JPG", "north/1.JPG"),
        ("../1.JPG", "%2E%2E%2F1.JPG"),
        (".hidden/1.JPG", "%2Ehidden/1.JPG"),
        ("~/1.JPG", "%7E%2F1.JPG"),
        ("/abs/1.JPG", "%2Fabs/1.JPG"),
        ("a..b.JPG", "a%2E.b.JPG"),
        ("two\nlines.JPG", "two%0Alines.JPG"),
        ('Löwe, "1".JPG', 'Löwe, "1".JPG'),
    ],
)
def test_paths_that_the_standard_forbids_are_encoded(tmp_path: Path, file: str, written: str) -> None:
    assert path(file) == written
    package(tmp_path, [sighting(file, ["lion"], location=HERE)])


def test_folders_with_odd_names_are_deployments(tmp_path: Path) -> None:
    records = [sighting(f"{name}/1.JPG", ["lion"], location=HERE) for name in ("NA", "nan", "Süd, 1", '"q"', "1")]
    written, _ = package(tmp_path, [*records, sighting(None, location=HERE)])
    assert written.deployments == 6
    assert [row["deploymentID"] for row in table(tmp_path, "deployments")][:2] == ["NA_", "nan_"]


def test_boxes_without_an_extent_keep_their_observation(tmp_path: Path) -> None:
    flat = box("lion", at=(0.5, 0.5, 0.5000001, 0.9))
    package(tmp_path, [sighting(animals=[flat, box("lion", at=(-0.5, 0.5, 1.5, 1.5))], location=HERE)])
    rows = table(tmp_path, "observations")
    assert rows[0]["bboxX"] == ""
    assert (rows[1]["bboxX"], rows[1]["bboxWidth"]) == ("0.000000", "1.000000")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
ANIMALS = st.lists(
    st.builds(
        box,
        st.sampled_from([*KNOWN, "animal", "unknown", ""]),
        st.floats(0, 1),
        st.tuples(*[st.floats(-0.5, 1.5, allow_nan=False)] * 4),
    ),
    max_size=3,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(NAMES, ANIMALS, st.integers(0, 10**7)), min_size=1, max_size=5))
def test_whatever_was_seen_the_package_is_valid(
    tmp_path_factory: pytest.TempPathFactory, photos: list[tuple[str, list[Box], int]]
) -> None:
    records = [sighting(name, animals, second=second, location=HERE) for name, animals, second in photos]
    package(tmp_path_factory.mktemp("package"), records)


def test_linked_schemas_are_the_standards_own(tmp_path: Path) -> None:
    camtrap_dp.write([sighting(location=HERE)], tmp_path, facts(schemas=Schemas.LINKED))
    metadata = json.loads((tmp_path / "datapackage.json").read_text())
    assert metadata["profile"] == f"{HOME}/camtrap-dp-profile.json"
    assert [resource["schema"] for resource in metadata["resources"]] == [
        f"{HOME}/{name}-table-schema.json" for name in TABLES
    ]
    assert not (tmp_path / "camtrap-dp").exists()


def test_the_command_that_users_run_passes_and_finds_damage(tmp_path: Path) -> None:
    def validate() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "frictionless", "validate", "datapackage.json"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    package(tmp_path, [sighting(animals=["lion"], location=HERE)])
    assert validate().returncode == 0
    spoiled = (tmp_path / "observations.csv").read_text().replace("machine", "magic")
    (tmp_path / "observations.csv").write_text(spoiled)
    done = validate()
    assert done.returncode == 1
    assert "magic" in done.stdout


def test_one_deployment_for_all_photos(tmp_path: Path) -> None:
    records = [sighting(f"{number}/x.JPG", ["lion"], location=HERE, second=number) for number in range(3)]
    written, _ = package(tmp_path, records, facts(places=Places(By.NONE)))
    assert written.deployments == 1


def test_field_names_follow_the_standard() -> None:
    assert {name: len(FIELDS[name]) for name in TABLES} == {"deployments": 24, "media": 11, "observations": 28}
    assert columns("media")[:5] == ["mediaID", "deploymentID", "captureMethod", "timestamp", "filePath"]


def test_created_is_now_by_default(tmp_path: Path) -> None:
    camtrap_dp.write([sighting(location=HERE)], tmp_path, Facts(NAIROBI))
    created = datetime.fromisoformat(json.loads((tmp_path / "datapackage.json").read_text())["created"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 60
