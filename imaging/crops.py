"""Where to cut an animal out of its photo for the classifier."""

from __future__ import annotations

from typing import Final

CONTEXT: Final = 0.1
"""How much is kept round a box on each side, as a share of its longer side: ears and tails that the box missed,
and some of the ground that says how large the animal is."""


def crop_window(box: tuple[float, float, float, float], width: int, height: int) -> tuple[int, int, int, int]:
    """The pixels x1, y1, x2, y2 (end excluded, at least 1 x 1) to cut for a box x1, y1, x2, y2 in shares of the photo.

    The box is grown by ``CONTEXT``, then made square round its centre, so that the animal is not squeezed, and
    shifted inside the photo. Where the photo is too narrow for the square the window is as wide as the photo.
    """
    left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(right - left, bottom - top) * (1 + 2 * CONTEXT)
    x1, x2 = _span((left + right) / 2, side, width)
    y1, y2 = _span((top + bottom) / 2, side, height)
    return x1, y1, x2, y2


def _span(centre: float, side: float, length: int) -> tuple[int, int]:
    """A window of ``side`` round ``centre``, shifted into 0..length and cut to it."""
    size = max(1, min(round(side), length))
    start = min(max(round(centre - size / 2), 0), length - size)
    return start, start + size
