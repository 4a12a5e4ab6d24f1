"""Windows for the classifier: square, with context, inside the photo."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.crops import CONTEXT, crop_window


def test_a_box_in_the_middle_gets_a_square_with_context() -> None:
    x1, y1, x2, y2 = crop_window((0.4, 0.45, 0.6, 0.55), 1000, 1000)
    assert (x2 - x1, y2 - y1) == (240, 240), f"200 pixels and {CONTEXT:.0%} on both sides"
    assert (x1 + x2, y1 + y2) == (1000, 1000)


def test_a_window_at_the_edge_is_shifted_inside() -> None:
    assert crop_window((0.9, 0.0, 1.0, 0.1), 1000, 1000) == (880, 0, 1000, 120)


def test_a_photo_too_narrow_for_the_square_is_used_from_side_to_side() -> None:
    assert crop_window((0.0, 0.3, 1.0, 0.9), 100, 1000) == (0, 240, 100, 960)


@given(
    corners=st.tuples(*[st.floats(0, 1)] * 4),
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
)
def test_a_window_holds_pixels_and_all_of_its_box(corners: tuple[float, ...], width: int, height: int) -> None:
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    x1, y1, x2, y2 = crop_window((left, top, right, bottom), width, height)
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert x1 <= left * width + 1
    assert x2 >= right * width - 1
    assert y1 <= top * height + 1
    assert y2 >= bottom * height - 1


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.5, 0.5), (1.0, 1.0, 1.0, 1.0)])
def test_a_box_without_area_still_gives_a_pixel(box: tuple[float, float, float, float]) -> None:
    x1, y1, x2, y2 = crop_window(box, 100, 100)
    assert (x2 - x1, y2 - y1) == (1, 1)
