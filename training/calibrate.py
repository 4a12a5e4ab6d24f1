"""What is mended after training: animals that it never showed, and how sure the network says it is.

Fine-tuning on 38 folders teaches that everything is one of them or an object; all other animals sink
together, whatever their order among themselves. Raising them by one constant mends most of that
("calibrated stacking": Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning
for Object Recognition in the Wild", ECCV 2016).

One divisor of all logits then makes probabilities mean what they say ("temperature scaling": Guo et al.,
"On Calibration of Modern Neural Networks", ICML 2017).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Final

import torch

from contract.taxonomy import Taxonomy
from training.losses import set_loss
from training.mobilenet import MobileNetV2
from training.network import leaf_rows

OFFSETS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Constants that are tried, in logits."""

TEMPERATURES: Final = (0.25, 4.0)
"""Between these the temperature is looked for."""

_STEPS = 40
_GOLDEN = (math.sqrt(5) - 1) / 2


def unseen_rows(accepted: torch.Tensor, taxonomy: Taxonomy) -> list[int]:
    """Logits of the animals that no training photo shows; ``accepted`` is BOOL [photos, rows]."""
    seen = accepted.any(dim=0)
    return [row for row in leaf_rows(taxonomy) if not seen[row]]


def raised(network: MobileNetV2, rows: list[int], offset: float) -> MobileNetV2:
    """A copy of the network with ``offset`` added to the bias of ``rows``."""
    result = copy.deepcopy(network)
    with torch.no_grad():
        result.head.bias[rows] += offset
    return result


def best_offset(score: Callable[[float], float]) -> float:
    """The largest of ``OFFSETS`` with which the score on validation is no lower than with none."""
    floor = score(0.0)
    return max(offset for offset in OFFSETS if score(offset) >= floor)


def best_temperature(logits: torch.Tensor, accepted: torch.Tensor) -> float:
    """The divisor of the logits with the lowest mean :func:`training.losses.set_loss`, to three decimals.

    logits FP32 [N, rows], accepted BOOL [N, rows]. Golden-section search over the logarithm within
    ``TEMPERATURES``.
    """

    def loss(log_temperature: float) -> float:
        return float(set_loss(logits / math.exp(log_temperature), accepted).mean())

    low, high = (math.log(bound) for bound in TEMPERATURES)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return round(math.exp((low + high) / 2), 3)
