"""MobileNetV2 1.0 with batch normalisation already folded into its convolutions.

Architecture: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
table 2. The weights come from a TensorFlow network, so padding follows TensorFlow's SAME rule.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

FEATURES: Final = 1280
"""Channels of the last convolution, the length of the pooled feature vector."""

BASE_ROWS: Final = 1001
"""Outputs of the base network: background, 398 animals, 602 objects."""

STAGES: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion t, channels c, repeats n, stride s of the first repeat (table 2 of the paper)."""

_STEM = 32


class SameConv(nn.Module):
    """Convolution with bias and TensorFlow's SAME padding for even inputs, then ReLU6 unless it is linear.

    With stride 2 and a 3x3 kernel on an even side, SAME pads one row below and one column to the
    right and nothing above or left (TensorFlow, ``tf.nn`` guide, "Padding").
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups)
        self.activation = nn.Identity() if linear else nn.ReLU6()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] FP32 -> [N, outputs, H / stride, W / stride] FP32."""
        result: torch.Tensor = self.activation(self.conv(self.pad(images)))
        return result


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 linear projection; added to its input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [SameConv(inputs, hidden, 1)]
        layers.append(SameConv(hidden, hidden, 3, stride=stride, groups=hidden))
        layers.append(SameConv(hidden, outputs, 1, linear=True))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] FP32 -> [N, outputs, H / stride, W / stride] FP32."""
        result: torch.Tensor = self.layers(images)
        return images + result if self.residual else result


class MobileNetV2(nn.Module):
    """Normalised RGB images to logits.

    ``blocks`` is one flat sequence (stem, 17 inverted residuals, last convolution), so that the
    trunk can be cut before any of them. ``head`` maps pooled features to ``rows`` logits.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [SameConv(3, _STEM, 3, stride=2)]
        channels = _STEM
        for expansion, outputs, repeats, stride in STAGES:
            for repeat in range(repeats):
                blocks.append(
                    InvertedResidual(channels, outputs, stride=stride if repeat == 0 else 1, expansion=expansion)
                )
                channels = outputs
        blocks.append(SameConv(channels, FEATURES, 1))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(FEATURES, rows)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, 3, 224, 224] FP32, RGB, -1..1 -> logits [N, rows] FP32."""
        logits: torch.Tensor = self.head(pooled(self.blocks(images)))
        return logits


def pooled(activations: torch.Tensor) -> torch.Tensor:
    """Mean over rows and columns: [N, C, H, W] -> [N, C]."""
    return activations.mean(dim=(2, 3))
