"""Give back to the animals that training never showed what it took from them.

Fine-tuning on 37 folders teaches that everything is one of them or an object; all other animals sink
together, whatever their order among themselves. Raising them by one constant mends most of that
("calibrated stacking": Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning
for Object Recognition in the Wild", ECCV 2016).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

import torch

from contract.taxonomy import Taxonomy
from training.mobilenet import MobileNetV2
from training.network import leaf_rows

OFFSETS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Constants that are tried, in logits."""


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
