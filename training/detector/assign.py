"""Which cells of the grids answer for which animal: simplified optimal transport assignment (SimOTA).

Ge et al., "YOLOX: Exceeding YOLO Series in 2021", section 2.1, "SimOTA"; the dynamic number of cells is
from Ge et al., "OTA: Optimal Transport Assignment for Object Detection", CVPR 2021, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

CENTRE_CELLS: Final = 2.5
"""A cell this near to a box's centre, in cells of its own grid, may answer for it (YOLOX's released code: 2.5)."""

BEST_OVERLAPS: Final = 10
"""A box gets as many cells as the sum of so many of its best overlaps, at least one (OTA, section 3.3)."""

BOX_COST: Final = 3.0
"""Weight of the overlap's logarithm beside the score's (YOLOX, equation 1: lambda)."""

FAR_COST: Final = 1e5
_TINY: Final = 1e-8


@dataclass(frozen=True, slots=True)
class Assigned:
    """``cells`` INT64 [m] answer for the boxes ``boxes`` INT64 [m], which their own overlap by ``overlap`` FP32 [m]."""

    cells: torch.Tensor
    boxes: torch.Tensor
    overlap: torch.Tensor


def assign(grid: torch.Tensor, predicted: torch.Tensor, log_scores: torch.Tensor, boxes: torch.Tensor) -> Assigned:
    """Cells for the boxes of one image.

    ``grid`` is FP32 [cells, 3] of :func:`training.detector.yolox.cells`, ``predicted`` FP32 [cells, 4] and
    ``boxes`` FP32 [n, 4] are in pixels, ``log_scores`` FP32 [cells] are logarithms. No gradient flows.
    """
    with torch.no_grad():
        if not len(boxes):
            none = torch.empty(0, dtype=torch.int64)
            return Assigned(none, none, torch.empty(0))
        inside, central = _near(grid, boxes)
        near = (inside | central).any(dim=0).nonzero().squeeze(1)
        shared = pairwise_overlap(boxes, predicted[near])
        cost = -log_scores[near] - BOX_COST * (shared + _TINY).log()
        cost = cost + FAR_COST * ~(inside & central)[:, near]
        chosen = _cheapest(cost, shared)
        box, place = chosen.nonzero(as_tuple=True)
        return Assigned(near[place], box, shared[box, place])


def pairwise_overlap(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Intersection over union of every pair: FP32 [n, 4] and [m, 4] -> [n, m]."""
    low = torch.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = torch.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    both = (high - low).clamp(min=0).prod(dim=2)
    area = (ours[:, 2:] - ours[:, :2]).prod(dim=1)[:, None] + (theirs[:, 2:] - theirs[:, :2]).prod(dim=1)[None]
    return both / (area - both).clamp(min=_TINY)


def inside_any(grid: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """BOOL [cells]: whether a cell's centre lies in one of the boxes FP32 [n, 4], in pixels."""
    return _inside(grid, boxes).any(dim=0)


def _near(grid: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """BOOL [n, cells] twice: a cell's centre lies in the box; it lies near the box's centre."""
    reach = CENTRE_CELLS * grid[None, :, 2, None]
    middle = (boxes[:, :2] + boxes[:, 2:])[:, None] / 2
    central = ((_centres(grid)[None] - middle).abs() < reach).all(dim=2)
    return _inside(grid, boxes), central


def _inside(grid: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    centres = _centres(grid)[None]
    return ((centres > boxes[:, None, :2]) & (centres < boxes[:, None, 2:])).all(dim=2)


def _centres(grid: torch.Tensor) -> torch.Tensor:
    return (grid[:, :2] + 0.5) * grid[:, 2:]


def _cheapest(cost: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """BOOL [n, m]: each box's cheapest cells, as many as its overlaps add up to; a cell serves its cheapest box."""
    best = shared.topk(min(BEST_OVERLAPS, shared.shape[1]), dim=1).values
    wanted = best.sum(dim=1).int().clamp(min=1)
    rank = cost.argsort(dim=1).argsort(dim=1)
    chosen = rank < wanted[:, None]
    contested = chosen.sum(dim=0) > 1
    owner = cost[:, contested].argmin(dim=0)
    chosen[:, contested] = False
    chosen[owner, contested.nonzero().squeeze(1)] = True
    return chosen
