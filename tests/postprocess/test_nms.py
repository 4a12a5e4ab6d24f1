"""One box an animal, whatever the network says."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from postprocess.nms import keep, overlaps

BOX = [0.1, 0.1, 0.5, 0.5]
Rows = npt.NDArray[np.float32]


def rows(*boxes: list[float]) -> Rows:
    return np.array(boxes, np.float32)


def plainly(detections: Rows, score_from: float, overlap: float, limit: int) -> list[int]:
    """The definition, one box at a time."""
    kept: list[int] = []
    for row in sorted(range(len(detections)), key=lambda row: -float(np.nan_to_num(detections[row, 4]))):
        x1, y1, x2, y2, score = (float(value) for value in detections[row])
        if not np.isfinite(detections[row]).all() or not score >= np.float32(score_from) or x2 <= x1 or y2 <= y1:
            continue
        if len(kept) < limit and all(shared(detections[row], detections[other]) <= overlap for other in kept):
            kept.append(row)
    return kept


def shared(one: Rows, other: Rows) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


near_each_other = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 40), st.just(5)),
    elements=st.sampled_from([0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]),
)
anything = hnp.arrays(
    np.float32, st.tuples(st.integers(0, 20), st.just(5)), elements=st.floats(width=32, allow_nan=True)
)


@given(near_each_other, st.sampled_from([0.0, 0.2, 0.5]), st.sampled_from([0.3, 0.5, 0.65]), st.integers(1, 64))
def test_boxes_are_kept_as_a_plain_greedy_loop_keeps_them(
    detections: Rows, score_from: float, overlap: float, limit: int
) -> None:
    assert keep(detections, score_from, overlap, limit).tolist() == plainly(detections, score_from, overlap, limit)


@given(anything)
def test_no_number_breaks_it(detections: Rows) -> None:
    kept = keep(detections, 0.2, 0.5)
    assert np.isfinite(detections[kept]).all()
    assert (np.diff(detections[kept, 4]) <= 0).all()


def test_the_best_of_overlapping_boxes_stays() -> None:
    detections = rows([*BOX, 0.6], [0.12, 0.1, 0.5, 0.5, 0.9], [0.6, 0.6, 0.9, 0.9, 0.7])
    assert keep(detections, 0.2, 0.5).tolist() == [1, 2]


def test_a_fallen_box_takes_no_other_with_it() -> None:
    chain = rows([0.0, 0, 0.4, 1, 0.9], [0.1, 0, 0.5, 1, 0.8], [0.2, 0, 0.6, 1, 0.7])
    assert keep(chain, 0.2, 0.5).tolist() == [0, 2]


def test_three_hundred_identical_boxes_are_one_animal() -> None:
    assert keep(np.tile(rows([*BOX, 0.5]), (300, 1)), 0.2, 0.5).tolist() == [0]


def test_no_more_than_the_limit_are_kept() -> None:
    corners = np.arange(100, dtype=np.float32) / 100
    apart = np.column_stack((corners, corners, corners + 0.009, corners + 0.009, 1 - corners / 2))
    assert keep(apart, 0.2, 0.5).tolist() == list(range(64))
    assert keep(apart, 0.2, 0.5, limit=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(5))
def test_a_row_without_finite_numbers_is_left_out(bad: float, column: int) -> None:
    detections = rows([*BOX, 0.9], [0.6, 0.6, 0.9, 0.9, 0.7])
    detections[0, column] = bad
    assert keep(detections, 0.2, 0.5).tolist() == [1]


def test_boxes_without_an_area_show_nothing() -> None:
    assert not len(keep(rows([0.1, 0.1, 0.1, 0.5, 0.9], [0.5, 0.5, 0.4, 0.6, 0.9]), 0.2, 0.5))


def test_scores_below_the_threshold_and_empty_input_give_nothing() -> None:
    assert not len(keep(rows([*BOX, 0.19]), 0.2, 0.5))
    assert not len(keep(np.empty((0, 5), np.float32), 0.2, 0.5))


def test_overlap_is_shared_over_joint_area() -> None:
    found = overlaps(rows([0, 0, 0.5, 1], [0.25, 0, 0.75, 1], [0.8, 0, 1, 1]))
    assert found == pytest.approx(np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]))
