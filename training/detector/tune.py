"""One fine-tuning run of the detector."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from contract.preprocessing import SCENE_SIZE
from training.detector.augment import random_view
from training.detector.canvas import View
from training.detector.losses import GUESS_WEIGHT, Target, detection_loss
from training.detector.scenes import Read, Scene
from training.detector.yolox import YoloxNano, cells
from training.evaluate import Progress

PROGRESS_FILE: Final = "progress.pt"
"""Everything that the next epoch needs, written after each."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. Rates are Adam's at their height; they rise over ``warm_up`` epochs and fall along a cosine."""

    epochs: int = 6
    batch: int = 12
    rate: float = 3e-4
    trunk_rate: float = 5e-5
    warm_up: float = 0.5
    last_rate: float = 0.02
    """Share of the rates that is left at the end."""
    exact_epochs: int = 1
    """Last epochs: no mosaics, and the exact box counts too (YOLOX, section 2.1, does so for 15 of 300)."""
    decay: float = 0.997
    """Of the mean over steps whose weights are kept in the end."""
    frozen_stages: int = 2
    """First stages of the trunk, beside its stem, that stay as they are: edges and textures are what they were, and
    what small animals look like was learned from far more photos than there are here."""
    clip: float = 10.0
    """Largest norm of a step's gradient."""


@dataclass(slots=True)
class _State:
    network: YoloxNano
    mean: YoloxNano
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0


def tune(
    start: YoloxNano, scenes: Sequence[Scene], read: Read, recipe: Recipe, seed: int, out: Path, progress: Progress
) -> YoloxNano:
    """A fine-tuned copy of ``start``; an epoch shows every entry of ``scenes`` once, in mosaics beside others.

    After each epoch the run is saved in ``out`` and a call with the same recipe, seed and scenes goes on from
    there. Deterministic for a seed on one machine: a view follows from seed, epoch and place alone.
    """
    state = _prepared(start, recipe)
    key = {"recipe": repr(recipe), "seed": seed, "scenes": [scene.photo.path for scene in scenes]}
    _resume(state, out / PROGRESS_FILE, key)
    grid = cells(SCENE_SIZE)
    steps = -(-len(scenes) // recipe.batch)
    while state.epoch < recipe.epochs:
        exact = state.epoch >= recipe.epochs - recipe.exact_epochs
        loss = 0.0
        for images, targets in _batches(scenes, read, recipe, seed, state.epoch, mosaics=not exact):
            _set_rates(state, recipe, steps)
            rows = state.network(images)
            cost = detection_loss(rows, grid, targets, exact=exact)
            state.optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(cost)
            torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip)
            state.optimiser.step()
            state.step += 1
            _follow(state, recipe.decay)
            loss += float(cost.detach())
            progress(f"epoch {state.epoch + 1}: steps", state.step % steps or steps, steps)
        state.epoch += 1
        _save(state, out / PROGRESS_FILE, key)
        progress(f"loss {loss / steps:.3f}: epochs", state.epoch, recipe.epochs)
    return state.mean.requires_grad_(False).eval()


def _prepared(start: YoloxNano, recipe: Recipe) -> _State:
    network = copy.deepcopy(start).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    frozen = [network.trunk.stem, *network.trunk.stages[: recipe.frozen_stages]]
    for part in frozen:
        part.requires_grad_(False)
    trunk = [weight for weight in network.trunk.parameters() if weight.requires_grad]
    rest = [*network.neck.parameters(), *network.heads.parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": rest, "height": recipe.rate}, {"params": trunk, "height": recipe.trunk_rate}],
        lr=recipe.rate,
        weight_decay=0.0,
    )
    return _State(network, copy.deepcopy(network).requires_grad_(False), optimiser)


def _set_rates(state: _State, recipe: Recipe, steps: int) -> None:
    warm = recipe.warm_up * steps
    done = max(0.0, state.step - warm) / max(1.0, recipe.epochs * steps - warm)
    fall = recipe.last_rate + (1 - recipe.last_rate) * (1 + math.cos(math.pi * done)) / 2
    for group in state.optimiser.param_groups:
        group["lr"] = group["height"] * fall * min(1.0, (state.step + 1) / max(1.0, warm))


def _follow(state: _State, decay: float) -> None:
    """Move the mean; in the first steps faster, so that it does not hang on to the start."""
    share = 1 - min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for mean, weight in zip(state.mean.parameters(), state.network.parameters(), strict=True):
            mean.lerp_(weight, share)


def _batches(
    scenes: Sequence[Scene], read: Read, recipe: Recipe, seed: int, epoch: int, *, mosaics: bool
) -> Iterator[tuple[torch.Tensor, list[Target]]]:
    """Images FP32 [n, 3, 416, 416], BGR, channels last in memory, and what they show; the next batch is made ahead."""
    order = np.random.default_rng((seed, epoch)).permutation(len(scenes))

    def view(place: int) -> View:
        rng = np.random.default_rng((seed, epoch, place))
        return random_view(scenes[int(order[place])], scenes, read, rng, mosaics=mosaics)

    def batch(first: int) -> list[View]:
        return [view(place) for place in range(first, min(first + recipe.batch, len(scenes)))]

    with ThreadPoolExecutor(1) as ahead:
        starts = range(0, len(scenes), recipe.batch)
        coming = ahead.submit(batch, 0)
        for first in starts:
            views = coming.result()
            if first != starts[-1]:
                coming = ahead.submit(batch, first + recipe.batch)
            yield _images(views), [_target(view) for view in views]


def _images(views: Sequence[View]) -> torch.Tensor:
    pixels = np.stack([cv2.cvtColor(view.pixels, cv2.COLOR_RGB2BGR) for view in views])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


def _target(view: View) -> Target:
    weight = torch.tensor([1.0 if sure else GUESS_WEIGHT for sure in view.surely])
    return Target(torch.from_numpy(view.boxes), weight, torch.from_numpy(view.unclear))


def _save(state: _State, file: Path, key: dict[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    saved = {name: getattr(state, name).state_dict() for name in ("network", "mean", "optimiser")}
    fresh = file.with_suffix(".new")
    torch.save({"key": key, "epoch": state.epoch, "step": state.step, **saved}, fresh)
    fresh.replace(file)


def _resume(state: _State, file: Path, key: dict[str, object]) -> None:
    if not file.is_file():
        return
    saved = torch.load(file, weights_only=True)
    if saved["key"] != key:
        return
    for name in ("network", "mean", "optimiser"):
        getattr(state, name).load_state_dict(saved[name])
    state.epoch, state.step = saved["epoch"], saved["step"]
