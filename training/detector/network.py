"""The detector that is exported: a letterboxed photo in, its best candidates out."""

from __future__ import annotations

import copy

import torch
from torch import nn

from contract.preprocessing import CHANNELS, SCENE_SIZE
from contract.tensors import MAX_CANDIDATES
from training.detector.yolox import FOCUS_ORDER, Focus, YoloxNano, cells, decoded


class AnimalDetector(nn.Module):
    """YOLOX-nano for RGB pixels, with one score a box: objectness times the likeliest of the network's classes.

    The starting network's ten animals are kept as ten ways to look like *an animal*; which of them a
    box resembles is nobody's business outside. So the fine-tuning starts from exactly the starting
    network's class-agnostic answers, and costs no more than one class would.
    """

    grid: torch.Tensor

    def __init__(self, network: YoloxNano) -> None:
        super().__init__()
        self.network = for_rgb(network)
        self.register_buffer("grid", cells(SCENE_SIZE), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """UINT8 [N, 416, 416, 3] RGB -> FP32 [N, 300, 5], best first: x1, y1, x2, y2 as shares of the square, score."""
        rows = self.network(pixels.permute(0, 3, 1, 2).float())
        boxes = decoded(rows, self.grid) / SCENE_SIZE
        scores = rows[..., 4].sigmoid() * rows[..., 5:].amax(dim=2).sigmoid()
        best, places = scores.topk(MAX_CANDIDATES, dim=1)
        chosen = boxes.gather(1, places.unsqueeze(2).expand(-1, -1, 4))
        return torch.cat((chosen, best.unsqueeze(2)), dim=2)


def for_rgb(network: YoloxNano) -> YoloxNano:
    """A copy that takes RGB where the network takes BGR, and is quicker: same answers, other first layer.

    Laying 2x2 pixels into channels and a 3x3 convolution of them is one 6x6 convolution with stride 2.
    """
    result = copy.deepcopy(network)
    stem = network.trunk.stem
    if not isinstance(stem, Focus):
        raise AssertionError("The first layer has been replaced before.")
    old = stem.convolution
    new = nn.Conv2d(CHANNELS, old.out_channels, 6, stride=2, padding=2)
    with torch.no_grad():
        for place, (row, column) in enumerate(FOCUS_ORDER):
            part = old.weight[:, place * CHANNELS : (place + 1) * CHANNELS]
            new.weight[:, :, row::2, column::2] = part.flip(1)
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    result.trunk.stem = nn.Sequential(new, nn.SiLU())
    return result
