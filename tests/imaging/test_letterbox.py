"""A photo keeps its shape in the detector's square, and boxes find their way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.preprocessing import LETTERBOX_FILL, SCENE_SIZE
from imaging.letterbox import fitted, letterbox, to_photo

sides = st.integers(1, 5000)


def photo(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 100, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("width", "height"), [(832, 416), (208, 416), (100, 30), (416, 416), (1000, 999)])
def test_the_photo_stands_top_left_with_grey_beside_it(width: int, height: int) -> None:
    square = letterbox(photo(width, height))
    columns, rows = fitted(width, height)
    assert square.shape == (SCENE_SIZE, SCENE_SIZE, 3)
    assert max(columns, rows) == SCENE_SIZE
    assert (square[:rows, :columns] < 100).all()
    assert (square[rows:] == LETTERBOX_FILL).all()
    assert (square[:, columns:] == LETTERBOX_FILL).all()


def test_colours_keep_their_order() -> None:
    red = np.zeros((10, 20, 3), np.uint8)
    red[..., 0] = 255
    assert (letterbox(red)[0, 0] == (255, 0, 0)).all()


def test_a_photo_of_the_right_size_is_not_touched() -> None:
    exact = photo(SCENE_SIZE, SCENE_SIZE)
    assert np.array_equal(letterbox(exact), exact)


def test_a_part_of_a_batch_is_filled_in_place() -> None:
    batch = np.full((2, SCENE_SIZE, SCENE_SIZE, 3), 7, np.uint8)
    assert letterbox(photo(300, 200), out=batch[1]) is not None
    assert np.array_equal(batch[1], letterbox(photo(300, 200)))
    assert (batch[0] == 7).all()


@pytest.mark.parametrize("out", [np.empty((416, 415, 3), np.uint8), np.empty((416, 416, 3), np.float32)])
def test_a_place_of_another_form_is_refused(out: np.ndarray) -> None:
    with pytest.raises(ValueError, match="has to be uint8"):
        letterbox(photo(10, 10), out=out)


@given(sides, sides)
def test_the_longer_side_fills_the_square_and_the_shorter_keeps_its_ratio(width: int, height: int) -> None:
    columns, rows = fitted(width, height)
    assert max(columns, rows) == SCENE_SIZE
    assert min(columns, rows) == pytest.approx(max(1, SCENE_SIZE * min(width, height) / max(width, height)), abs=0.5)


@given(sides, sides, st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4))
def test_boxes_come_back_as_shares_of_the_photo(width: int, height: int, box: list[float]) -> None:
    shares = np.array([box], np.float32)
    columns, rows = fitted(width, height)
    in_square = shares * np.array([columns, rows, columns, rows], np.float32) / SCENE_SIZE
    back = to_photo(in_square.astype(np.float32), width, height)
    assert back.dtype == np.float32
    assert back == pytest.approx(shares, abs=1e-5)


def test_what_reaches_outside_the_photo_is_clipped() -> None:
    boxes = np.array([[[-0.2, -0.1, 1.4, 0.9]]], np.float32)
    assert to_photo(boxes, 400, 200).tolist() == [[[0, 0, 1, 1]]]
