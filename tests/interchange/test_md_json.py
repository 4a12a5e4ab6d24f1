"""MegaDetector's format: what its validator asks for, and what Timelapse and AddaxAI rely on."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract.record import Camera, Record, Verdict
from interchange.dataset import latest
from interchange.md_json import FORMAT_VERSION, write
from tests.support.sightings import KNOWN, box, sighting, species, taxon, whole_photo


def exported(*records: Record, failures: Mapping[str, str] | None = None) -> dict[str, Any]:
    stream = io.StringIO()
    count = write(records, stream, failures)
    result: dict[str, Any] = json.loads(stream.getvalue())
    assert count == len(result["images"])
    check(result)
    return result


def check(result: dict[str, Any]) -> None:
    """The rules of the format, version 1.6."""
    assert result["info"]["format_version"] == FORMAT_VERSION
    categories, names = result["detection_categories"], result.get("classification_categories", {})
    assert all(number.isdecimal() and name.strip() for number, name in (categories | names).items())
    descriptions = result.get("classification_category_descriptions", {})
    assert descriptions.keys() == names.keys()
    assert all(len(text.split(";")) == 7 and text == text.lower() for text in descriptions.values())
    for image in result["images"]:
        if image.get("failure"):
            assert image["detections"] is None
            continue
        for detection in image["detections"]:
            assert detection["category"] in categories
            assert isinstance(detection["conf"], float)
            x, y, width, height = detection["bbox"]
            assert min(x, y, width, height) >= 0
            assert max(x + width, y + height) <= 1.0001
            scores = [score for _, score in detection.get("classifications", [])]
            assert scores == sorted(scores, reverse=True)
            assert all(number in names for number, _ in detection.get("classifications", []))


def named(result: dict[str, Any], detection: dict[str, Any]) -> list[str]:
    return [result["classification_categories"][number] for number, _ in detection.get("classifications", [])]


def test_each_animal_is_a_detection_with_its_name_first() -> None:
    result = exported(sighting("siteA/DCIM/IMG_0001.JPG", ["lion", box("Felidae", 0.8)]))
    (image,) = result["images"]
    assert image["file"] == "siteA/DCIM/IMG_0001.JPG"
    assert [detection["bbox"] for detection in image["detections"]] == [[0.1, 0.2, 0.4, 0.6]] * 2
    assert named(result, image["detections"][0]) == ["lion"]
    assert named(result, image["detections"][1]) == ["Felidae (family)", "lion"], "an ancestor before its members"


def test_a_taxon_is_described_as_speciesnet_does() -> None:
    texts = exported(sighting(animals=["lion", "Felidae"]))["classification_category_descriptions"].values()
    ends = sorted(text.split(";", 1)[1] for text in texts)
    assert ends == ["mammalia;carnivora;felidae;;;felidae (family)", "mammalia;carnivora;felidae;panthera;leo;lion"]


def test_taxa_have_the_same_ids_in_every_export() -> None:
    one, two = (
        exported(sighting(animals=animals))["classification_category_descriptions"].values()
        for animals in (["lion"], ["tiger", "lion"])
    )
    assert set(one) < set(two)


def test_an_empty_photo_has_no_detections_and_a_failed_one_has_a_reason() -> None:
    result = exported(sighting("empty.jpg"), failures={"bad.jpg": "truncated"})
    assert result["images"][0]["detections"] == []
    assert result["images"][1] == {"file": "bad.jpg", "failure": "truncated", "detections": None}


def test_a_photo_that_was_only_named_gets_one_box_as_large_as_itself() -> None:
    result = exported(whole_photo(score=0.8))
    (detection,) = result["images"][0]["detections"]
    assert detection["bbox"] == [0, 0, 1, 1]
    assert detection["conf"] == 0.85, "what all names together say for an animal"
    assert named(result, detection) == ["lion", "tiger"]


def test_what_is_unknown_is_an_animal_without_a_name_not_an_empty_photo() -> None:
    record = whole_photo(verdict=Verdict.UNKNOWN, species=(species("lion", 0.2), species("no_animal", 0.3)))
    (detection,) = exported(record)["images"][0]["detections"]
    assert "classifications" not in detection
    assert detection["conf"] == 0.2


def test_thresholds_let_everything_through() -> None:
    result = exported(sighting(animals=[box("lion", 0.4567)]), sighting(animals=["lion"]))
    metadata = result["info"]["detector_metadata"]
    assert metadata == {"typical_detection_threshold": 0.45, "conservative_detection_threshold": 0.45}
    assert result["info"]["classifier_metadata"] == {"typical_classification_threshold": 0.45}


def test_time_and_camera_are_there_as_exif_writes_them() -> None:
    (image,) = exported(sighting(camera=Camera(make="RECONYX", serial="7")))["images"]
    assert image["datetime"] == "2026:03:01 06:30:00"
    assert image["exif_metadata"] == {
        "DateTimeOriginal": "2026:03:01 06:30:00",
        "Make": "RECONYX",
        "BodySerialNumber": "7",
    }
    assert (image["width"], image["height"]) == (2000, 1000)


def test_nothing_at_all_is_a_valid_file() -> None:
    assert exported()["images"] == []


def test_boxes_are_cut_at_the_edge() -> None:
    (image,) = exported(sighting(animals=[box("lion", 1.0, (-0.2, 0.5, 1.3, 1.1))]))["images"]
    assert image["detections"][0]["bbox"] == [0, 0.5, 1, 0.5]


def test_names_of_photos_are_written_as_they_are() -> None:
    result = exported(sighting("Löwe 1/\N{LION FACE}.jpg"), sighting("back\\slash.jpg"))
    assert [image["file"] for image in result["images"]] == ["Löwe 1/\N{LION FACE}.jpg", "back/slash.jpg"]


def test_of_photos_with_one_name_the_newest_result_stands() -> None:
    old, new = sighting("a.jpg", ["lion"]), sighting("a.jpg", ["tiger"], second=1)
    other = sighting("b.jpg")
    assert list(latest([new, other, old], by_name=True)) == [new, other]
    assert list(latest([new, other, old])) == [new, other, old], "they are different photos"
    assert list(latest([new, new.model_copy(update={"id": old.id})])) == [new]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([*KNOWN, "animal", "unknown"]), st.floats(0, 1)), max_size=3), max_size=6
    )
)
def test_whatever_was_seen_the_format_holds(photos: Sequence[Sequence[tuple[str, float]]]) -> None:
    records = [
        sighting(f"{number}.jpg", [box(name, score) for name, score in animals])
        for number, animals in enumerate(photos)
    ]
    result = exported(*records)
    for record, image in zip(records, result["images"], strict=True):
        assert len(image["detections"]) == len(record.boxes)
        for one, detection in zip(record.boxes, image["detections"], strict=True):
            if one.taxon is not None and one.taxon.rank == "species":
                assert taxon("lion").common_name in named(result, detection) or one.taxon.common_name != "lion"
