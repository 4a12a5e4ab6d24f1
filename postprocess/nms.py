"""Which of a photo's candidate boxes are animals of their own: greedy non-maximum suppression, class-agnostic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from contract.tensors import MAX_BOXES

Detections = npt.NDArray[np.float32]
"""[candidates, 5]: x1, y1, x2, y2 and the score, one photo's part of ``contract.tensors.DETECTIONS``."""

Indices = npt.NDArray[np.intp]


def keep(detections: Detections, score_from: float, overlap: float, limit: int = MAX_BOXES) -> Indices:
    """Rows of ``detections`` FP32 [candidates, 5] that stand for one animal each, best first, at most ``limit``.

    A row counts if its score is ``score_from`` or more, and falls to a better row with which its
    intersection over union is more than ``overlap``; of equal scores the earlier row is the better.
    Rows that hold a number that is not finite and boxes without an area show nothing and are left out.
    """
    chosen = _candidates(detections, score_from)
    if len(chosen) < 2:
        return chosen[:limit]
    clashes = overlaps(detections[chosen, :4]) > overlap
    alive = np.ones(len(chosen), np.bool_)
    kept: list[int] = []
    best = 0
    while alive[best] and len(kept) < limit:
        kept.append(best)
        alive &= ~clashes[best]
        alive[best] = False
        best = int(alive.argmax())
    return chosen[kept]


def overlaps(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair of boxes with an area: FP32 [M, 4] -> FP64 [M, M].

    In FP64 no area of FP32 sides overflows or vanishes.
    """
    x1, y1, x2, y2 = boxes.T.astype(np.float64)[:, None]
    wide = np.minimum(x2.T, x2) - np.maximum(x1.T, x1)
    high = np.minimum(y2.T, y2) - np.maximum(y1.T, y1)
    both = np.maximum(wide, 0) * np.maximum(high, 0)
    area = (x2 - x1) * (y2 - y1)
    shared: npt.NDArray[np.float64] = both / (area.T + area - both)
    return shared


def _candidates(detections: Detections, score_from: float) -> Indices:
    """Rows that may be kept, best first."""
    likely = np.flatnonzero(detections[:, 4] >= score_from)
    rows = detections[likely]
    sound = np.isfinite(rows).all(axis=1) & (rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])
    likely, scores = likely[sound], rows[sound, 4]
    best_first: Indices = likely[np.argsort(-scores, kind="stable")]
    return best_first
