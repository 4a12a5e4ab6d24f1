"""From the base network to the release: its logits, 15 new ones, and the fold to the taxonomy's leaves."""

from __future__ import annotations

import copy
from importlib import resources
from typing import Final

import torch
from torch import nn

from contract.manifest import TAXONOMY_NAME
from contract.preprocessing import MEAN, SCALE
from contract.taxonomy import NO_ANIMAL, Taxonomy, parse_taxonomy
from training.mobilenet import BASE_ROWS, MobileNetV2

NEW_ROW_BIAS: Final = -2.0
"""First bias of a new row: below the mean logit of the base (about 0), so a new leaf starts out unlikely."""


def load_taxonomy() -> Taxonomy:
    """The taxonomy of the package ``contract``."""
    return parse_taxonomy(taxonomy_text())


def taxonomy_text() -> str:
    """The CSV text of :func:`load_taxonomy`."""
    return resources.files("contract").joinpath(TAXONOMY_NAME).read_text(encoding="utf-8")


def leaf_rows(taxonomy: Taxonomy) -> list[int]:
    """The logit of every leaf but ``no_animal``, in taxonomy order.

    Rows below ``BASE_ROWS`` are the base network's; leaves without one follow in taxonomy order.
    """
    rows = []
    new = BASE_ROWS
    for leaf in taxonomy:
        if leaf.key == NO_ANIMAL:
            continue
        rows.append(new if leaf.imagenet_row is None else leaf.imagenet_row)
        new += leaf.imagenet_row is None
    return rows


def no_animal_rows(taxonomy: Taxonomy) -> list[int]:
    """The logits that together are ``no_animal``: the base network's background and objects."""
    return sorted(set(range(BASE_ROWS)) - set(leaf_rows(taxonomy)))


def count_rows(taxonomy: Taxonomy) -> int:
    """Logits of the whole network: ``BASE_ROWS`` and one for each leaf that the base does not know."""
    return len(leaf_rows(taxonomy)) + len(no_animal_rows(taxonomy))


def extend_head(base: MobileNetV2, taxonomy: Taxonomy) -> MobileNetV2:
    """A copy of the base network with zero-weight rows for the leaves that it does not know."""
    network = MobileNetV2(count_rows(taxonomy))
    network.blocks.load_state_dict(base.blocks.state_dict())
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(NEW_ROW_BIAS)
        network.head.weight[:BASE_ROWS] = base.head.weight
        network.head.bias[:BASE_ROWS] = base.head.bias
    return network.eval()


def halved(network: MobileNetV2) -> MobileNetV2:
    """A copy whose weights and biases are numbers that half precision (FP16) can hold; they stay FP32 tensors.

    What is measured is then what is stored: a release keeps them in half the bytes.
    """
    result = copy.deepcopy(network)
    with torch.no_grad():
        for values in result.parameters():
            values.copy_(values.half().float())
    return result


class Fold(nn.Module):
    """Logits to the taxonomy's leaves: softmax over all rows, then everything that is no animal summed.

    ``temperature`` divides the logits (:func:`training.calibrate.best_temperature`).
    """

    leaves: torch.Tensor
    rest: torch.Tensor

    def __init__(self, taxonomy: Taxonomy, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("leaves", torch.tensor(leaf_rows(taxonomy)), persistent=False)
        self.register_buffer("rest", torch.tensor(no_animal_rows(taxonomy)), persistent=False)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """[N, rows] FP32 -> probabilities [N, leaves] FP32 that sum to 1; ``no_animal`` is the last leaf."""
        probabilities = (logits / self.temperature).softmax(dim=1)
        none = probabilities.index_select(1, self.rest).sum(dim=1, keepdim=True)
        return torch.cat((probabilities.index_select(1, self.leaves), none), dim=1)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """UINT8 [N, H, W, 3] -> FP32 [N, 3, H, W], (x - MEAN) / SCALE. The result lies channels-last in memory."""
    return ((pixels.float() - MEAN) / SCALE).permute(0, 3, 1, 2)


class AnimalClassifier(nn.Module):
    """What is exported: pixels in, probabilities of the taxonomy's leaves out."""

    def __init__(self, network: MobileNetV2, taxonomy: Taxonomy, temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.fold = Fold(taxonomy, temperature)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """UINT8 [N, 224, 224, 3], upright RGB -> FP32 [N, leaves]."""
        result: torch.Tensor = self.fold(self.network(normalised(pixels)))
        return result
