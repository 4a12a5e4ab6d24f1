"""Deployments by folder, by camera, and as somebody lists them; time zones."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from contract.record import Camera, Location
from interchange.camtrap_schema import columns
from interchange.clocks import iso, moment, zone
from interchange.errors import InterchangeError
from interchange.places import By, Deployment, Places, read_deployments, unplaced
from tests.support.sightings import sighting

COLUMNS = columns("deployments")


@pytest.mark.parametrize(
    ("filename", "place"),
    [
        ("siteA/IMG_1.JPG", "siteA"),
        ("siteA/DCIM/100RECNX/IMG_1.JPG", "siteA"),
        ("DCIM/100_BTCF/IMG_1.JPG", "."),
        ("IMG_1.JPG", "."),
        ("north/siteA/2026/IMG_1.JPG", "north/siteA/2026"),
        ("siteA\\DCIM\\101EK113\\IMG_1.JPG", "siteA"),
        ("./siteA//IMG_1.JPG", "siteA"),
        ("/abs/siteA/IMG_1.JPG", "abs/siteA"),
        (None, "."),
    ],
)
def test_a_folder_is_a_deployment_without_what_the_camera_made(filename: str | None, place: str) -> None:
    assert Places().of(sighting(filename)) == place


def test_a_listed_folder_holds_what_is_below_it() -> None:
    places = Places(given=frozenset({"north/siteA", "north"}))
    assert places.of(sighting("north/siteA/2026/x.jpg")) == "north/siteA"
    assert places.of(sighting("north/siteB/x.jpg")) == "north"
    assert Places(given=frozenset({"north/siteA"})).of(sighting("north/siteA/2026/x.jpg")) == "north/siteA"
    assert Places(given=frozenset({"100RECNX"})).of(sighting("100RECNX/x.jpg")) == "100RECNX"


def test_a_camera_is_a_deployment_on_demand() -> None:
    places = Places(By.CAMERA)
    assert places.of(sighting(camera=Camera(make="RECONYX", model="PC800", serial="P8"))) == "RECONYX PC800 P8"
    assert places.of(sighting()) == "unknown camera"


def test_everything_is_one_deployment_on_demand() -> None:
    assert Places(By.NONE).of(sighting("a/x.jpg")) == "all"
    assert Places(By.NONE, frozenset({"site 7"})).of(sighting("a/x.jpg")) == "site 7"


def test_a_position_is_the_given_one_else_the_middle_of_its_photos() -> None:
    one = Deployment("a")
    assert one.position() is None
    for latitude in (2.0, 1.0, 50.0):
        one.take(sighting(location=Location(latitude=latitude, longitude=30)))
    assert one.position() == (2.0, 30)
    given = Deployment("a", {"latitude": "-3.5", "longitude": "36"})
    assert given.position() == (-3.5, 36)
    assert unplaced([Deployment("b"), one, Deployment("a")]) == ["a", "b"]


def test_a_list_of_deployments_is_read() -> None:
    text = "deploymentID,latitude,longitude,locationName,cameraID\nsiteA/,-2.5,34.75,River,\n.,1,2,,7\n"
    assert read_deployments(io.StringIO(text), COLUMNS) == {
        "siteA": {"deploymentID": "siteA", "latitude": "-2.5", "longitude": "34.75", "locationName": "River"},
        ".": {"deploymentID": ".", "latitude": "1", "longitude": "2", "cameraID": "7"},
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("site;latitude\n", "needs a header"),
        ("", "needs a header"),
        ("deploymentID,lat\n", "column 'lat'"),
        ("deploymentID,latitude\na,91\n", "Line 2 .*-90 to 90"),
        ("deploymentID,longitude\na,34 E\n", "Line 2 .*-180 to 180"),
        ("deploymentID,longitude\na,nan\n", "Line 2"),
        ("deploymentID\na\na\n", "Line 3 .*twice"),
        ("deploymentID\na,1\n", "Line 2 .*too many"),
    ],
)
def test_a_wrong_list_is_told_by_line(text: str, complaint: str) -> None:
    with pytest.raises(InterchangeError, match=complaint):
        read_deployments(io.StringIO(text), COLUMNS)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("UTC", "2026-07-01T12:00:00+00:00"),
        ("+02:00", "2026-07-01T12:00:00+02:00"),
        ("-0330", "2026-07-01T12:00:00-03:30"),
        ("Europe/Berlin", "2026-07-01T12:00:00+02:00"),
    ],
)
def test_zones_are_names_or_offsets(name: str, written: str) -> None:
    assert iso(moment(datetime(2026, 7, 1, 12), zone(name))) == written


@pytest.mark.parametrize("name", ["Berlin", "", "+25:00", "../etc/passwd", "/etc/localtime", "local"])
def test_what_is_no_zone_is_told(name: str) -> None:
    with pytest.raises(InterchangeError, match=r"Europe/Berlin"):
        zone(name)


def test_a_time_that_summer_time_skips_is_moved_on() -> None:
    assert iso(moment(datetime(2026, 3, 29, 2, 30), zone("Europe/Berlin"))) == "2026-03-29T03:30:00+02:00"


def test_a_time_with_a_zone_keeps_it() -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert moment(at, zone("Europe/Berlin")) - at == timedelta(0)
