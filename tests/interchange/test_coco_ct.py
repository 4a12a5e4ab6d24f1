"""COCO Camera Traps: what its integrity check asks for."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from contract.record import Record
from interchange.coco_ct import write
from interchange.places import Places
from tests.support.sightings import box, sighting, taxon, whole_photo


def exported(*records: Record, failures: Mapping[str, str] | None = None) -> dict[str, Any]:
    stream = io.StringIO()
    count = write(records, stream, places=Places(), failures=failures)
    result: dict[str, Any] = json.loads(stream.getvalue())
    assert count == len(result["images"])
    assert all(isinstance(result["info"][name], str) for name in ("version", "description"))
    for part, kind in (("images", str), ("annotations", str), ("categories", int)):
        numbers = [entry["id"] for entry in result[part]]
        assert len(set(numbers)) == len(numbers)
        assert all(isinstance(number, kind) for number in numbers)
    names = [category["name"] for category in result["categories"]]
    assert len(set(names)) == len(names)
    images = {image["id"] for image in result["images"]}
    categories = {category["id"] for category in result["categories"]}
    for annotation in result["annotations"]:
        assert annotation["image_id"] in images
        assert annotation["category_id"] in categories
    return result


def annotations(result: dict[str, Any]) -> list[tuple[str, Any]]:
    names = {category["id"]: category["name"] for category in result["categories"]}
    return [(names[one["category_id"]], one.get("bbox")) for one in result["annotations"]]


def test_boxes_are_in_pixels_and_named() -> None:
    result = exported(sighting(animals=["lion", box("Felidae", 0.8)]))
    assert annotations(result) == [("lion", [200, 200, 800, 600]), ("felidae_family", [200, 200, 800, 600])]
    assert result["categories"][1:] == [
        {"id": 1, "name": "felidae_family", "scientific_name": "Felidae", "rank": "family"},
        {"id": 2, "name": "lion", "scientific_name": "Panthera leo", "rank": "species"},
    ]
    assert [one["score"] for one in result["annotations"]] == [0.9, 0.8]


def test_an_empty_photo_is_category_0() -> None:
    result = exported(sighting())
    assert result["annotations"][0]["category_id"] == 0
    assert result["categories"] == [{"id": 0, "name": "empty"}]


def test_bursts_are_sequences() -> None:
    result = exported(*(sighting(f"a/{number}.jpg", second=second) for number, second in enumerate((5, 0, 500))))
    sequences = [(image["seq_id"], image["seq_num_frames"], image["frame_num"]) for image in result["images"]]
    assert sequences == [
        ("a/2026-03-01T06:30:00", 2, 1),
        ("a/2026-03-01T06:30:00", 2, 0),
        ("a/2026-03-01T06:38:20", 1, 0),
    ]
    assert result["images"][0]["datetime"] == "2026-03-01 06:30:05"
    assert result["images"][0]["location"] == "a"


def test_a_photo_without_a_time_is_in_no_sequence() -> None:
    assert "seq_id" not in exported(sighting(at=None))["images"][0]


def test_a_photo_that_was_only_named_has_an_annotation_without_a_box() -> None:
    assert annotations(exported(whole_photo())) == [("lion", None)]


def test_a_photo_that_cannot_be_read_is_corrupt() -> None:
    result = exported(failures={"site/bad.jpg": "truncated"})
    assert result["images"][0]["corrupt"] is True
    assert result["images"][0]["location"] == "site"


def test_two_taxa_with_one_common_name_are_two_categories() -> None:
    other = taxon("tiger").model_copy(update={"common_name": "lion"})
    boxes = [box("lion"), box("tiger").model_copy(update={"taxon": other})]
    names = [name for name, _ in annotations(exported(sighting(animals=boxes)))]
    assert names == ["lion", "panthera_tigris"]


def test_an_animal_called_empty_does_not_take_the_reserved_name() -> None:
    odd = taxon("tiger").model_copy(update={"common_name": "Empty", "name": ""})
    result = exported(sighting(animals=[box("tiger").model_copy(update={"taxon": odd})]))
    assert [category["name"] for category in result["categories"]] == ["empty", "empty_2"]
