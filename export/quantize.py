"""The classifier's network in 8-bit integers: grids for activations and weights, and biases that make up for both.

Activations are UINT8 with one grid a tensor, weights INT8 with one scale an output channel. The base weights
come from an 8-bit network, so the layers that were not tuned lie almost on their grid again. What is lost
elsewhere shows as a shift of the mean of a channel, which its bias takes back layer by layer ("bias
correction": Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
ICCV 2019, section 4.2, with measured instead of derived means).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from imaging.decode import Pixels
from training.mobilenet import InvertedResidual, MobileNetV2, SameConv, pooled
from training.network import normalised

LEVELS: Final = 255
"""Steps of a UINT8 grid."""

LARGEST: Final = 127
"""Of an INT8 weight; -128 is left out, so that grids are symmetric."""

SHRUNK: Final = tuple(step / 50 for step in range(50, 14, -1))
"""Shares of the observed range that are tried for a grid: a few clipped values may cost less than coarse steps."""

SAMPLE: Final = 200_000
"""Values of a tensor that its grid is fitted to."""

BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Grid:
    """UINT8 values q stand for (q - zero) * scale."""

    scale: float
    zero: int

    def nearest(self, values: torch.Tensor) -> torch.Tensor:
        """FP32 of any shape -> the values of the grid next to them."""
        return (torch.round(values / self.scale).add(self.zero).clamp(0, LEVELS) - self.zero) * self.scale


@dataclass(frozen=True, slots=True)
class QuantisedLayer:
    """A convolution or the head: INT8 weights, FP32 scale of each output channel, FP32 bias, grid of what comes out.

    The head's output has no grid: it is FP32.
    """

    weight: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    out: Grid | None


@dataclass(frozen=True, slots=True)
class QuantisedNetwork:
    """Layers in order of computation, the grid after each residual addition by number of its block, the pooled grid."""

    layers: list[QuantisedLayer]
    sums: dict[int, Grid]
    features: Grid


def quantise(network: MobileNetV2, pixels: Pixels) -> QuantisedNetwork:
    """Quantise a network to suit real photos UINT8 [N, 224, 224, 3]; a hundred are enough.

    Layer by layer the photos go through the network as it is and as quantised so far.
    """
    state = _Photos(normalised(torch.from_numpy(pixels)))
    layers: list[QuantisedLayer] = []
    sums: dict[int, Grid] = {}
    with torch.inference_mode():
        for number, block in enumerate(network.blocks):
            if isinstance(block, SameConv):
                layers.append(state.through(block))
            elif isinstance(block, InvertedResidual):
                exact, rounded = state.exact, state.rounded
                layers += [state.through(layer) for layer in block.layers if isinstance(layer, SameConv)]
                if block.residual:
                    sums[number] = state.add(exact, rounded)
        features = state.pool()
        layers.append(state.head(network.head))
    return QuantisedNetwork(layers, sums, features)


class _Photos:
    """Activations of the calibration photos, ``exact`` in the network as it is, ``rounded`` as quantised so far."""

    def __init__(self, images: torch.Tensor) -> None:
        self.exact = self.rounded = images

    def through(self, layer: SameConv) -> QuantisedLayer:
        conv = layer.conv
        if conv.bias is None:
            raise AssertionError("Batch normalisation is folded, so every convolution has a bias.")
        integers, scale = quantised_weights(conv.weight, depthwise=conv.groups > 1)
        weight = integers * _by_channel(scale, integers)
        exact = _batched(layer, conv, conv.weight, self.exact)
        rounded = _batched(layer, conv, weight, self.rounded)
        shift = (exact - rounded).mean(dim=(0, 2, 3))
        self.exact = layer.activation(exact)
        out = fitted(self.exact)
        self.rounded = out.nearest(layer.activation(rounded + shift[:, None, None]))
        return _layer(integers, scale, conv.bias + shift, out)

    def add(self, exact: torch.Tensor, rounded: torch.Tensor) -> Grid:
        self.exact = exact + self.exact
        out = fitted(self.exact)
        self.rounded = out.nearest(rounded + self.rounded)
        return out

    def pool(self) -> Grid:
        self.exact, self.rounded = pooled(self.exact), pooled(self.rounded)
        out = fitted(self.exact)
        self.rounded = out.nearest(self.rounded)
        return out

    def head(self, head: nn.Linear) -> QuantisedLayer:
        integers, scale = quantised_weights(head.weight, depthwise=False)
        shift = (self.exact @ head.weight.T - self.rounded @ (integers * _by_channel(scale, integers)).T).mean(dim=0)
        return _layer(integers, scale, head.bias + shift, None)


def quantised_weights(weight: torch.Tensor, *, depthwise: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights FP32 [outputs, ...] -> whole numbers of the same shape within ``LARGEST`` and FP32 scales [outputs].

    Processors without VNNI multiply UINT8 by INT8 in pairs of neighbours whose sum has to fit 16 bits
    (``vpmaddubsw``, Intel SDM volume 2), and saturate without a word where it does not. 255 (a + b) fits as
    long as |a + b| is at most 128, so the scale grows until all pairs of like sign keep to that; halving the
    weights' range, which onnxruntime's ``reduce_range`` does for the same reason, costs every channel a whole bit.
    Neighbours are those of a channels-last layout, in which onnxruntime computes (rows, columns, channels).
    Depthwise kernels sum in 32 bits and need none of it.
    """
    flat = weight.movedim(1, -1).flatten(1)
    largest = flat.abs().amax(dim=1) / LARGEST
    if not depthwise:
        pairs = nn.functional.pad(flat, (0, flat.shape[1] % 2)).view(len(flat), -1, 2)
        up, down = pairs.clamp(min=0).sum(dim=2).amax(dim=1), (-pairs).clamp(min=0).sum(dim=2).amax(dim=1)
        largest = torch.maximum(largest, torch.maximum(up, down) / LARGEST)  # 127: both may be rounded up by a half
    scale = torch.where(largest > 0, largest, 1 / LARGEST)  # a channel without weights keeps a scale for its bias
    return torch.round(weight / _by_channel(scale, weight)), scale


def _by_channel(scale: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return scale.view(-1, *[1] * (weight.dim() - 1))


def fitted(values: torch.Tensor) -> Grid:
    """The grid with the least squared error on values of any shape; 0 lies on every grid."""
    flat = values.flatten()
    low, high = min(0.0, float(flat.min())), max(0.0, float(flat.max()), 1e-6)
    sample = flat[:: max(1, len(flat) // SAMPLE)]
    return min(_tried(low, high), key=lambda grid: float((grid.nearest(sample) - sample).square().mean()))


def _tried(low: float, high: float) -> Iterator[Grid]:
    for share in SHRUNK:
        scale = float(np.float32((high - low) * share / LEVELS))
        yield Grid(scale, round(-low * share / scale))


def _batched(layer: SameConv, conv: nn.Conv2d, weight: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The convolution with other weights, before its activation."""
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    return torch.cat(
        [
            nn.functional.conv2d(layer.pad(part), weight, conv.bias, conv.stride, conv.padding, groups=conv.groups)
            for part in parts
        ]
    )


def _layer(integers: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, out: Grid | None) -> QuantisedLayer:
    return QuantisedLayer(integers.numpy().astype(np.int8), scale.numpy(), bias.numpy(), out)
