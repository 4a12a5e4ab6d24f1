"""Which parts of a photo the classifier is shown."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from imaging.crops import crop_window
from training.classes import accepted_leaves
from training.dataset import Photo, read_manifest, trainable
from training.network import load_taxonomy
from training.regions import animals_beside_boxes, background, parts, served_pixels, training_pixels

LION = Photo("boxes/lion/x.jpg", "boxes", "lion", "asiatic-lion", "CC-BY-4.0", 640, 480, ((0.5, 0.4, 0.7, 0.9),))


def test_a_photo_is_shown_whole_then_animal_by_animal_then_without() -> None:
    whole, crop, empty = parts([LION])
    taxonomy = load_taxonomy()
    assert whole == LION
    assert crop.crop == LION.boxes[0]
    assert [taxonomy[leaf].key for leaf in accepted_leaves(crop, taxonomy)] == ["lion"]
    assert [taxonomy[leaf].key for leaf in accepted_leaves(empty, taxonomy)] == ["no_animal"]


def test_a_photo_without_marked_animals_is_shown_whole() -> None:
    photo = dataclasses.replace(LION, boxes=())
    assert parts([photo]) == [photo]


@pytest.mark.parametrize("number", range(20))
def test_no_box_reaches_into_a_background(number: int) -> None:
    empty = background(dataclasses.replace(LION, path=f"{number}.jpg"))
    assert empty is not None
    assert empty.crop is not None
    x1, y1, x2, y2 = crop_window(empty.crop, 640, 480)
    left, top, right, bottom = np.array(LION.boxes[0]) * (640, 480, 640, 480)
    assert x2 <= left or x1 >= right or y2 <= top or y1 >= bottom
    assert 0 <= x1 < x2 <= 640
    assert 0 <= y1 < y2 <= 480


def test_a_photo_full_of_animal_has_no_background() -> None:
    assert background(dataclasses.replace(LION, boxes=((0.05, 0.05, 0.95, 0.95),))) is None


def test_backgrounds_with_unmarked_animals_are_left_out(data: Path) -> None:
    shown = parts(trainable(read_manifest(data)))
    assert not {photo.path for photo in shown if photo.cls == "blank"} & animals_beside_boxes()
    assert animals_beside_boxes() <= {photo.path for photo in shown}


def test_crops_are_served_square_and_learned_from_with_a_moving_box(data: Path) -> None:
    photo = next(photo for photo in parts(trainable(read_manifest(data))) if photo.crop is not None)
    assert served_pixels(data, photo).shape == (224, 224, 3)
    rng = np.random.default_rng(0)
    assert len({training_pixels(data, photo, rng).shape for _ in range(8)}) > 1
