"""Which cells answer for which animal, and what their answers cost."""

import pytest

torch = pytest.importorskip("torch")

from training.detector.assign import assign, pairwise_overlap  # noqa: E402
from training.detector.losses import Target, detection_loss, encoded, generalised_overlap, log_score  # noqa: E402
from training.detector.yolox import cells, decoded  # noqa: E402

SIZE = 64
GRID = cells(SIZE)
NONE = torch.empty(0, 4)


def rows(score: float = -6.0) -> torch.Tensor:
    """Boxes of one cell, all equally unlikely."""
    answer = torch.zeros(1, len(GRID), 7)
    answer[..., 4:] = score
    return answer


def target(*boxes: list[float], weight: float = 1.0, unclear: torch.Tensor = NONE) -> Target:
    return Target(torch.tensor(boxes).reshape(-1, 4), torch.full((len(boxes),), weight), unclear)


def test_cells_near_the_animal_answer_for_it() -> None:
    boxes = torch.tensor([[8.0, 8.0, 24.0, 24.0], [40.0, 40.0, 56.0, 56.0]])
    predicted = decoded(rows(), GRID)[0]
    found = assign(GRID, predicted, log_score(rows())[0], boxes)
    assert set(found.boxes.tolist()) == {0, 1}
    assert len(set(found.cells.tolist())) == len(found.cells)
    centres = (GRID[found.cells, :2] + 0.5) * GRID[found.cells, 2:]
    for centre, box in zip(centres, boxes[found.boxes], strict=True):
        assert (centre > box[:2] - 24).all()
        assert (centre < box[2:] + 24).all()


def test_a_cell_that_has_found_the_animal_answers_for_it() -> None:
    answer = rows()
    box = torch.tensor([[10.0, 12.0, 34.0, 30.0]])
    answer[0, 18, :4] = encoded(box, GRID[18:19])[0]
    found = assign(GRID, decoded(answer, GRID)[0], log_score(answer)[0], box)
    assert 18 in found.cells.tolist()
    assert found.overlap.max() == pytest.approx(1.0, abs=1e-5)


def test_no_animal_no_answer() -> None:
    assert not len(assign(GRID, decoded(rows(), GRID)[0], log_score(rows())[0], NONE).cells)


def test_raw_boxes_and_pixels_are_inverse() -> None:
    boxes = torch.tensor([[10.0, 12.0, 34.0, 30.0], [1.0, 2.0, 60.0, 61.0]])
    assert torch.allclose(decoded(encoded(boxes, GRID[[3, 80]]), GRID[[3, 80]]), boxes, atol=1e-4)


def test_generalised_overlap_is_one_for_equal_boxes_and_negative_far_apart() -> None:
    ours = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    theirs = torch.tensor([[0.0, 0.0, 1.0, 1.0], [9.0, 0.0, 10.0, 1.0]])
    assert generalised_overlap(ours, theirs).tolist() == pytest.approx([1.0, -0.8], abs=1e-4)
    assert pairwise_overlap(ours[:1], theirs)[0].tolist() == pytest.approx([1.0, 0.0])


def test_silence_on_an_empty_photo_costs_less_than_an_alarm() -> None:
    quiet = detection_loss(rows(-6), GRID, [target()], exact=False)
    loud = detection_loss(rows(2), GRID, [target()], exact=False)
    assert 0 <= quiet < loud


def test_nothing_is_taught_where_it_is_unclear_what_is_there() -> None:
    everywhere = torch.tensor([[0.0, 0.0, SIZE, SIZE]])
    assert detection_loss(rows(2), GRID, [target(unclear=everywhere)], exact=False) == 0


def test_a_guess_teaches_half_as_much() -> None:
    everywhere = torch.tensor([[0.0, 0.0, SIZE, SIZE]])
    box = [8.0, 8.0, 24.0, 24.0]
    sure = Target(torch.tensor([box]), torch.ones(1), everywhere)
    guess = Target(torch.tensor([box]), torch.full((1,), 0.5), everywhere)
    # Inside a sure box the cells that do not answer are taught to be silent; inside a guess they are not.
    assert detection_loss(rows(), GRID, [guess], exact=True) < detection_loss(rows(), GRID, [sure], exact=True)


def test_steps_along_the_gradient_find_the_animal() -> None:
    answer = rows().requires_grad_(True)
    wanted = target([8.0, 8.0, 40.0, 40.0])
    optimiser = torch.optim.Adam([answer], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        detection_loss(answer, GRID, [wanted], exact=True).backward()
        optimiser.step()
    with torch.no_grad():
        best = int(log_score(answer)[0].argmax())
        assert log_score(answer)[0, best].exp() > 0.8
        assert pairwise_overlap(wanted.boxes, decoded(answer, GRID)[0, best : best + 1]).item() > 0.9
