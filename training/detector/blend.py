"""Between the starting network and the tuned one.

The mean of both networks' weights keeps more of what the start knew of scenes that tuning never showed,
at little cost on those that it did: Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022.
"""

from __future__ import annotations

import copy
from typing import Final

import torch

from training.detector.yolox import YoloxNano

SHARES: Final = (0.5, 0.75, 1.0)
"""Shares of the tuned network that are tried."""


def blended(start: YoloxNano, tuned: YoloxNano, share: float) -> YoloxNano:
    """A network whose weights are ``share`` of the tuned one's and the rest of the start's; in evaluation mode."""
    result = copy.deepcopy(tuned)
    with torch.no_grad():
        for weight, before in zip(result.parameters(), start.parameters(), strict=True):
            weight.lerp_(before, 1 - share)
    return result.eval()
