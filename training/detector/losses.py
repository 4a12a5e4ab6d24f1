"""What a prediction costs: its score against the overlap that it reached, and its box.

The score is objectness times the likeliest animal, the number that serving compares with its threshold,
so the loss is taken on the product and not on its factors: what the starting network already calls a
chair or a person has a low product and is left alone. A cell that answers for an animal is to score
its overlap with it, as in Zhang et al., "VarifocalNet", CVPR 2021, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional

from training.detector.assign import assign, inside_any
from training.detector.yolox import decoded

BOX_WEIGHT: Final = 5.0
"""Of the box's loss beside the score's (YOLOX's released code: 5)."""

GUESS_WEIGHT: Final = 0.5
"""Of everything that is learned from a guessed box."""

_LEAST_LOG: Final = 1e-6
_TINY: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Target:
    """What one image shows, in pixels of the network's input.

    ``boxes`` FP32 [n, 4] with ``weight`` FP32 [n]; in ``unclear`` FP32 [m, 4] no cell is taught to be empty
    unless it lies in one of the boxes that weigh 1.
    """

    boxes: torch.Tensor
    weight: torch.Tensor
    unclear: torch.Tensor


def log_score(rows: torch.Tensor) -> torch.Tensor:
    """Logarithm of objectness times the likeliest class: rows FP32 [..., 5 + classes] -> FP32 [...], below 0."""
    thing = functional.logsigmoid(rows[..., 4])
    animal = functional.logsigmoid(rows[..., 5:].amax(dim=-1))
    return (thing + animal).clamp(max=-_LEAST_LOG)


def detection_loss(rows: torch.Tensor, grid: torch.Tensor, targets: list[Target], *, exact: bool) -> torch.Tensor:
    """Loss of a batch of rows FP32 [N, cells, 5 + classes]; ``exact`` adds the L1 loss of raw boxes (YOLOX, 2.2)."""
    predicted = decoded(rows, grid)
    scores = log_score(rows)
    wanted = torch.zeros_like(scores)
    weight = torch.ones_like(scores)
    total = rows.new_zeros(())
    answering = 0
    for image, target in enumerate(targets):
        found = assign(grid, predicted[image].detach(), scores[image].detach(), target.boxes)
        unclear = inside_any(grid, target.unclear) & ~inside_any(grid, target.boxes[target.weight >= 1])
        weight[image, unclear] = 0
        weight[image, found.cells] = target.weight[found.boxes]
        wanted[image, found.cells] = found.overlap
        if not len(found.cells):
            continue
        answering += len(found.cells)
        mine, theirs = predicted[image, found.cells], target.boxes[found.boxes]
        cost = BOX_WEIGHT * (1 - generalised_overlap(mine, theirs))
        if exact:
            raw = encoded(theirs, grid[found.cells])
            cost = cost + (rows[image, found.cells, :4] - raw).abs().sum(dim=1)
        total = total + (cost * target.weight[found.boxes]).sum()
    refused = torch.log1p(-scores.exp())
    total = total - (weight * (wanted * scores + (1 - wanted) * refused)).sum()
    return total / max(answering, 1)


def generalised_overlap(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Generalised IoU of boxes in pairs, FP32 [n, 4] twice -> [n], -1..1 (Rezatofighi et al., CVPR 2019, section 3)."""
    both = _area(torch.maximum(ours[:, :2], theirs[:, :2]), torch.minimum(ours[:, 2:], theirs[:, 2:]))
    hull = _area(torch.minimum(ours[:, :2], theirs[:, :2]), torch.maximum(ours[:, 2:], theirs[:, 2:]))
    union = _area(ours[:, :2], ours[:, 2:]) + _area(theirs[:, :2], theirs[:, 2:]) - both
    return both / (union + _TINY) - (hull - union) / (hull + _TINY)


def encoded(boxes: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`training.detector.yolox.decoded`, FP32 [n, 4] and the grid's [n, 3] -> [n, 4]."""
    stride = grid[:, 2:]
    centre = (boxes[:, :2] + boxes[:, 2:]) / (2 * stride) - grid[:, :2]
    size = ((boxes[:, 2:] - boxes[:, :2]) / stride).clamp(min=_TINY).log()
    return torch.cat((centre, size), dim=1)


def _area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    return (high - low).clamp(min=0).prod(dim=1)
