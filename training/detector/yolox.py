"""YOLOX-nano in PyTorch: a cross-stage-partial trunk, a path-aggregating neck and a decoupled head.

Architecture: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", section 2 (decoupled head, anchor-free)
and table 5 (nano: depth 0.33, width 0.25, depthwise convolutions); trunk and neck as in YOLOv4
(Bochkovskiy et al., 2020: CSPDarknet53, spatial pyramid pooling, PAN; Liu et al., CVPR 2018).

Batch normalisation is already folded into the convolutions, so every convolution has a bias and
nothing else: the starting weights come folded, the statistics that normalisation would need are gone,
and batches of a few mosaics on a CPU would give poor ones. Fine-tuning with fixed statistics is the
same thing as fine-tuning a convolution with a bias.

Modules stand in the order in which the network computes, which is the order of the convolutions in
the starting weights (:mod:`training.detector.start`).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional

STRIDES: Final = (8, 16, 32)
"""Pixels between neighbouring cells of the three grids, finest first."""

FOCUS_ORDER: Final = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Row and column of 2x2 pixels, in the order of the channels that the first convolution sees."""

HEAD_WIDTH: Final = 64

_WIDTHS: Final = (16, 32, 64, 128, 256)
_TRUNK_REPEATS: Final = (1, 3, 3, 1)
_NECK_REPEATS: Final = 1
_POOL: Final = 5
_POOLINGS: Final = 3


class Conv(nn.Module):
    """Convolution that keeps the size at stride 1, then SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups)
        self.activation = nn.SiLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] FP32 -> [N, outputs, H / stride, W / stride] FP32."""
        result: torch.Tensor = self.activation(self.convolution(images))
        return result


class Focus(Conv):
    """2x2 pixels laid into the channels, then a 3x3 convolution (YOLOX's first layer, after YOLOv5's)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(4 * inputs, outputs, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] FP32 -> [N, outputs, H / 2, W / 2] FP32."""
        parts = [images[..., row::2, column::2] for row, column in FOCUS_ORDER]
        return super().forward(torch.cat(parts, dim=1))


class Separable(nn.Sequential):
    """3x3 depthwise, then 1x1 convolution, SiLU after each."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(Conv(inputs, inputs, 3, stride=stride, groups=inputs), Conv(inputs, outputs, 1))


class Bottleneck(nn.Module):
    """1x1 and separable 3x3 convolution, added to the input if ``residual``."""

    def __init__(self, channels: int, *, residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(Conv(channels, channels, 1), Separable(channels, channels))
        self.residual = residual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] FP32 -> the same shape."""
        result: torch.Tensor = self.layers(images)
        return images + result if self.residual else result


class CrossStage(nn.Module):
    """Half of the channels through ``repeats`` bottlenecks, half past them, merged by a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, repeats: int, *, residual: bool) -> None:
        super().__init__()
        hidden = outputs // 2
        self.through = Conv(inputs, hidden, 1)
        self.past = Conv(inputs, hidden, 1)
        self.bottlenecks = nn.Sequential(*(Bottleneck(hidden, residual=residual) for _ in range(repeats)))
        self.merge = Conv(2 * hidden, outputs, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] FP32 -> [N, outputs, H, W] FP32."""
        halves = (self.bottlenecks(self.through(images)), self.past(images))
        result: torch.Tensor = self.merge(torch.cat(halves, dim=1))
        return result


class PyramidPooling(nn.Module):
    """The input beside its maxima over 5x5, 9x9 and 13x13 neighbourhoods, between two 1x1 convolutions.

    A maximum of maxima is the maximum over a larger neighbourhood, so each pooling goes on from the one before.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.narrow = Conv(channels, hidden, 1)
        self.pool = nn.MaxPool2d(_POOL, stride=1, padding=_POOL // 2)
        self.widen = Conv(hidden * (1 + _POOLINGS), channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] FP32 -> the same shape."""
        parts = [self.narrow(images)]
        for _ in range(_POOLINGS):
            parts.append(self.pool(parts[-1]))
        result: torch.Tensor = self.widen(torch.cat(parts, dim=1))
        return result


class Trunk(nn.Module):
    """Images to features at strides 8, 16 and 32 with 64, 128 and 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem: nn.Module = Focus(3, _WIDTHS[0])
        stages = []
        for inputs, outputs, repeats in zip(_WIDTHS, _WIDTHS[1:], _TRUNK_REPEATS, strict=False):
            last = outputs == _WIDTHS[-1]
            stages.append(
                nn.Sequential(
                    Separable(inputs, outputs, stride=2),
                    *([PyramidPooling(outputs)] if last else []),
                    CrossStage(outputs, outputs, repeats, residual=not last),
                )
            )
        self.stages = nn.ModuleList(stages)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """[N, 3, H, W] FP32, H and W multiples of 32 -> features, finest first."""
        features = [self.stem(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[2:]


class Neck(nn.Module):
    """Coarse features added to fine ones, then fine to coarse; widths stay 64, 128 and 256."""

    def __init__(self) -> None:
        super().__init__()
        _, _, fine, middle, coarse = _WIDTHS
        self.coarse_lateral = Conv(coarse, middle, 1)
        self.middle_down = CrossStage(2 * middle, middle, _NECK_REPEATS, residual=False)
        self.middle_lateral = Conv(middle, fine, 1)
        self.fine_down = CrossStage(2 * fine, fine, _NECK_REPEATS, residual=False)
        self.fine_stride = Separable(fine, fine, stride=2)
        self.middle_up = CrossStage(2 * fine, middle, _NECK_REPEATS, residual=False)
        self.middle_stride = Separable(middle, middle, stride=2)
        self.coarse_up = CrossStage(2 * middle, coarse, _NECK_REPEATS, residual=False)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Features of :class:`Trunk` -> features of the same shapes."""
        fine, middle, coarse = features
        coarse_side = self.coarse_lateral(coarse)
        middle_side = self.middle_lateral(self.middle_down(torch.cat((doubled(coarse_side), middle), dim=1)))
        fine_out = self.fine_down(torch.cat((doubled(middle_side), fine), dim=1))
        middle_out = self.middle_up(torch.cat((self.fine_stride(fine_out), middle_side), dim=1))
        coarse_out = self.coarse_up(torch.cat((self.middle_stride(middle_out), coarse_side), dim=1))
        return [fine_out, middle_out, coarse_out]


class Head(nn.Module):
    """One grid's boxes, objectness and class logits: classes and boxes have branches of their own."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.stem = Conv(inputs, HEAD_WIDTH, 1)
        self.class_branch = nn.Sequential(Separable(HEAD_WIDTH, HEAD_WIDTH), Separable(HEAD_WIDTH, HEAD_WIDTH))
        self.classes = nn.Conv2d(HEAD_WIDTH, classes, 1)
        self.box_branch = nn.Sequential(Separable(HEAD_WIDTH, HEAD_WIDTH), Separable(HEAD_WIDTH, HEAD_WIDTH))
        self.box = nn.Conv2d(HEAD_WIDTH, 4, 1)
        self.objectness = nn.Conv2d(HEAD_WIDTH, 1, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] FP32 -> [N, 5 + classes, H, W] FP32: box, objectness logit, class logits."""
        stem = self.stem(features)
        boxes = self.box_branch(stem)
        return torch.cat((self.box(boxes), self.objectness(boxes), self.classes(self.class_branch(stem))), dim=1)


class YoloxNano(nn.Module):
    """Images to one row for every cell of the three grids."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.neck = Neck()
        self.heads = nn.ModuleList(Head(width, classes) for width in _WIDTHS[2:])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] FP32, BGR 0..255 -> [N, cells, 5 + classes] FP32, the finest grid first, row by row.

        A row is the box as the grid has it (:func:`decoded`), the logit of objectness and the logits of classes.
        """
        features = self.neck(self.trunk(images))
        grids = [head(level).flatten(2) for head, level in zip(self.heads, features, strict=True)]
        return torch.cat(grids, dim=2).transpose(1, 2)


def doubled(features: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] -> [N, C, 2 H, 2 W]: every cell four times."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def cells(size: int) -> torch.Tensor:
    """x, y and stride of every cell of an image with sides of ``size`` pixels: FP32 [cells, 3], x and y in cells."""
    grids = []
    for stride in STRIDES:
        side = size // stride
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        grids.append(torch.stack((x.flatten(), y.flatten(), torch.full((side * side,), stride)), dim=1))
    return torch.cat(grids).float()


def decoded(rows: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Boxes x1, y1, x2, y2 in pixels, FP32 [..., cells, 4], of rows [..., cells, 4 or more] and :func:`cells`.

    The centre is an offset from the cell in cells, width and height are logarithms of cells (YOLOX, section 2.2).
    """
    stride = grid[:, 2:]
    centre = (rows[..., :2] + grid[:, :2]) * stride
    half = rows[..., 2:4].exp() * (stride / 2)
    return torch.cat((centre - half, centre + half), dim=-1)
