"""Views for training show animals where their boxes are; guesses of the starting network are used with care."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from contract.preprocessing import SCENE_SIZE  # noqa: E402
from imaging.decode import Pixels  # noqa: E402
from training.dataset import Photo, read_manifest  # noqa: E402
from training.detector.augment import random_view  # noqa: E402
from training.detector.canvas import Canvas  # noqa: E402
from training.detector.scenes import Scene, marked_scenes, reader, whole_photo  # noqa: E402
from training.detector.start import START_WEIGHTS, load_start  # noqa: E402
from training.detector.teacher import taught_scenes  # noqa: E402

ANIMAL = np.array([[0.25, 0.4, 0.5, 0.7]], np.float32)
WHOLE = np.array([0, 0, SCENE_SIZE, SCENE_SIZE], np.float32)


def photo(name: str = "a", cls: str = "lion", kind: str = "boxes") -> Photo:
    return Photo(name, kind, cls, "", "CC-BY-4.0", 300, 200)


def pixels(_: Photo) -> Pixels:
    """A white animal on black ground."""
    picture = np.zeros((200, 300, 3), np.uint8)
    x1, y1, x2, y2 = (ANIMAL[0] * (300, 200, 300, 200)).round().astype(int)
    picture[y1:y2, x1:x2] = 255
    return picture


SCENE = Scene(photo(), ANIMAL)


@pytest.mark.parametrize("mosaics", [True, False])
def test_boxes_follow_the_animal_through_every_view(mosaics: bool) -> None:
    for seed in range(40):
        view = random_view(SCENE, [SCENE], pixels, np.random.default_rng(seed), mosaics=mosaics)
        assert view.pixels.shape == (SCENE_SIZE, SCENE_SIZE, 3)
        assert len(view.boxes) == len(view.surely)
        ground = np.median(view.pixels)
        for x1, y1, x2, y2 in view.boxes:
            assert 0 <= x1 < x2 <= SCENE_SIZE
            assert 0 <= y1 < y2 <= SCENE_SIZE
            middle = view.pixels[int((y1 + y2) / 2), int((x1 + x2) / 2)]
            assert middle.mean() > ground, seed


def test_the_same_seed_gives_the_same_view() -> None:
    views = [random_view(SCENE, [SCENE], pixels, np.random.default_rng(3), mosaics=True) for _ in range(2)]
    assert np.array_equal(views[0].pixels, views[1].pixels)
    assert np.array_equal(views[0].boxes, views[1].boxes)


def test_a_pasted_photo_lies_where_it_should() -> None:
    canvas = Canvas()
    at = np.array([40, 60, 340, 260], np.float32)
    canvas.paste(SCENE, pixels(photo()), at, WHOLE)
    view = canvas.view()
    x1, y1, x2, y2 = view.boxes[0].round().astype(int)
    assert [x1, y1, x2, y2] == [115, 140, 190, 200]
    assert (view.pixels[y1:y2, x1:x2] == 255).all()
    assert not view.pixels[60:260, 40:x1].any()


def test_an_animal_that_is_hardly_in_the_picture_is_neither_counted_nor_denied() -> None:
    canvas = Canvas()
    at = np.array([-200, 0, 416, 410], np.float32)  # the animal spans 154 pixels, of which 108 are in view
    canvas.paste(SCENE, pixels(photo()), at, WHOLE)
    assert len(canvas.view().boxes) == 1
    canvas = Canvas()
    canvas.paste(SCENE, pixels(photo()), at - np.array([90, 0, 90, 0], np.float32), WHOLE)
    assert not len(canvas.view().boxes)
    assert len(canvas.view().unclear) == 1


def test_nothing_is_denied_in_a_photo_with_forgotten_animals(data: Path) -> None:
    scenes = {scene.photo.path: scene for scene in marked_scenes(read_manifest(data))}
    assert np.array_equal(scenes["boxes/lion/asiatic-lion_12c29c6155.jpg"].unclear, whole_photo())
    assert not len(scenes["boxes/lion/asiatic-lion_ef456f83ff.jpg"].unclear)


def test_the_start_teaches_what_it_is_sure_of_and_guesses_at_the_rest(data: Path) -> None:
    manifest = read_manifest(data)
    chosen = [
        next(photo for photo in manifest if photo.cls == cls and photo.set in ("species", "no_animal"))
        for cls in ("elephant", "lobster", "stapler")
    ]
    scenes = taught_scenes(load_start(data / START_WEIGHTS), chosen, reader(data), lambda *_: None)
    elephant, lobster, stapler = scenes
    assert elephant.surely
    assert not lobster.surely
    assert np.array_equal(lobster.unclear, whole_photo())
    assert not len(stapler.boxes)
    for scene in scenes:
        assert ((scene.boxes >= 0) & (scene.boxes <= 1)).all()
