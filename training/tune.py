"""One fine-tuning run over cached views."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.cache import CUT, Cached
from training.evaluate import Probabilities, Progress
from training.losses import forgetting_loss, set_loss
from training.mobilenet import MobileNetV2, pooled

BATCH = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train and how strongly. Rates are Adam's at the start; they fall to 0 along a cosine."""

    name: str
    epochs: int
    head_rate: float
    block_rate: float
    """0: only the head is trained, a linear probe that starts from the base network's head."""
    forgetting: float
    """Weight of :func:`training.losses.forgetting_loss` beside :func:`training.losses.set_loss`."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Per training photo: accepted rows BOOL [M, rows] and weight FP32 [M] with mean 1."""

    accepted: torch.Tensor
    weight: torch.Tensor


def tune(
    start: MobileNetV2, views: Sequence[Cached], targets: Targets, recipe: Recipe, seed: int, progress: Progress
) -> MobileNetV2:
    """A fine-tuned copy of ``start``; epoch ``e`` sees view ``e`` of every photo, around and around."""
    network = copy.deepcopy(start)
    tail = network.blocks[CUT:]
    network.requires_grad_(False)
    network.head.requires_grad_(True)
    tail.requires_grad_(recipe.block_rate > 0)
    optimiser = torch.optim.Adam(
        [
            {"params": network.head.parameters(), "lr": recipe.head_rate},
            {"params": tail.parameters(), "lr": recipe.block_rate},
        ]
    )
    photos = len(targets.weight)
    steps = recipe.epochs * -(-photos // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    shuffle = torch.Generator().manual_seed(seed)
    for epoch in range(recipe.epochs):
        view = views[epoch % len(views)]
        order = torch.randperm(photos, generator=shuffle)
        for chosen in (order[i : i + BATCH] for i in range(0, photos, BATCH)):
            optimiser.zero_grad(set_to_none=True)
            logits = network.head(pooled(tail(_channels_last(view.trunk[chosen]))))
            accepted = targets.accepted[chosen]
            learned = set_loss(logits, accepted) * targets.weight[chosen]
            kept = forgetting_loss(logits, view.base_logits[chosen].float(), accepted)
            torch.autograd.backward((learned + recipe.forgetting * kept).mean())
            optimiser.step()
            schedule.step()
        progress(f"{recipe.name}: epochs", epoch + 1, recipe.epochs)
    return network.requires_grad_(False).eval()


def cached_logits(network: MobileNetV2, cached: Cached) -> Probabilities:
    """The network's logits for cached photos: FP32 [M, rows]."""
    tail = network.blocks[CUT:]
    pieces = (cached.trunk[i : i + BATCH] for i in range(0, len(cached.trunk), BATCH))
    with torch.inference_mode():
        logits = [network.head(pooled(tail(_channels_last(piece)))) for piece in pieces]
    return np.asarray(torch.cat(logits).numpy(), np.float32)


def _channels_last(trunk: torch.Tensor) -> torch.Tensor:
    return trunk.float().contiguous(memory_format=torch.channels_last)
