"""The epochs: mixed precision, several processes, early stopping, and a state to go on from after a kill."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.adding.machine import Machine
from training.adding.recipe import AddRecipe
from training.errors import TrainingError
from training.evaluate import Figures
from training.losses import forgetting_loss, set_loss

STATE: Final = "state.pt"
LOSS: Final = "validation.loss"
"""The figure of an epoch that decides which epoch is the best and when to stop."""


class Batch(NamedTuple):
    """``inputs`` as the model takes them, ``teacher`` the base release's logits [n, its rows], ``accepted`` BOOL
    [n, rows], ``weight`` FP32 [n]."""

    inputs: torch.Tensor
    teacher: torch.Tensor
    accepted: torch.Tensor
    weight: torch.Tensor


class Course(Protocol):
    """What a model is taught, and how it is examined."""

    @property
    def steps(self) -> int:
        """Batches of an epoch for each process."""

    def batches(self, epoch: int, machine: Machine) -> Iterable[Batch]:
        """One process's share of an epoch. Depends on the seed and the epoch alone."""

    def examine(self, model: nn.Module, machine: Machine) -> Figures:
        """Figures on validation photos; ``LOSS`` among them."""


@dataclass(slots=True)
class History:
    """Figures by epoch, the first is that of the untrained model; ``best`` is the number of the best epoch."""

    epochs: list[Figures] = field(default_factory=list)
    best: int = 0

    @property
    def stopped_early(self) -> int:
        """Epochs since the best one."""
        return len(self.epochs) - 1 - self.best


EpochDone = Callable[[int, Figures], None]
"""Called with an epoch's number, 0 before the first, and its figures; it may raise to end the training."""


class Diverged(TrainingError):
    """The loss is no number any more."""


def train(
    model: nn.Module,
    groups: Sequence[dict[str, Any]],
    course: Course,
    recipe: AddRecipe,
    seed: int,
    machine: Machine,
    state: Path | None,
    key: str,
    done: EpochDone,
) -> History:
    """Train ``model`` in place; it ends as it was after its best epoch.

    ``groups`` are AdamW's. After each epoch everything goes to the file ``state``; started again with the same
    ``key``, training goes on after its last whole epoch and ends with the same weights. Raises Diverged.
    """
    model.to(machine.device)
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, recipe.epochs * course.steps))
    scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.scales)
    learner: nn.Module = DistributedDataParallel(model) if machine.world > 1 else model
    parts: dict[str, Any] = {"model": model, "optimiser": optimiser, "schedule": schedule, "scaler": scaler}
    kept = _kept(state, key)
    if kept is None:
        history = History([machine.agreed(course.examine(model.eval(), machine))])
        best = copy.deepcopy(model.state_dict())
        done(0, history.epochs[0])
    else:
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        history, best = History(kept["epochs"], kept["best"]), kept["best_model"]
    for epoch in range(len(history.epochs), recipe.epochs + 1):
        if history.stopped_early >= recipe.patience:
            break
        torch.manual_seed(1_000_003 * seed + epoch)  # of dropout
        loss = _epoch(learner.train(), course.batches(epoch, machine), recipe, machine, optimiser, schedule, scaler)
        figures = machine.agreed({"train.loss": loss} | course.examine(model.eval(), machine))
        if not math.isfinite(loss) or not math.isfinite(figures[LOSS]):
            raise Diverged(f"The loss of epoch {epoch} is no number: train again with lower rates.")
        history.epochs.append(figures)
        if figures[LOSS] < history.epochs[history.best][LOSS]:
            history.best, best = epoch, copy.deepcopy(model.state_dict())
        if state is not None and machine.rank == 0:
            told = {name: part.state_dict() for name, part in parts.items()}
            _keep(state, told | {"key": key, "epochs": history.epochs, "best": history.best, "best_model": best})
        done(epoch, figures)
    model.load_state_dict(best)
    model.eval()
    return history


def _epoch(
    learner: nn.Module,
    batches: Iterable[Batch],
    recipe: AddRecipe,
    machine: Machine,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
) -> float:
    """Mean loss of one epoch."""
    total, count = 0.0, 0
    for batch in batches:
        inputs, teacher, accepted, weight = (part.to(machine.device, non_blocking=True) for part in batch)
        optimiser.zero_grad(set_to_none=True)
        with machine.autocast():
            logits = learner(inputs)
        learned = set_loss(logits.float(), accepted) * weight
        kept = forgetting_loss(logits.float(), teacher.float(), accepted) if recipe.forgetting else 0.0
        loss = (learned + recipe.forgetting * kept).mean()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimiser)
        scaler.update()
        schedule.step()
        total, count = total + float(loss.detach()) * len(weight), count + len(weight)
    return machine.mean(total, count)


def _kept(state: Path | None, key: str) -> dict[str, Any] | None:
    if state is None or not state.is_file():
        return None
    kept: dict[str, Any] = torch.load(state, weights_only=True, map_location="cpu")
    return kept if kept["key"] == key else None


def _keep(state: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    state.parent.mkdir(parents=True, exist_ok=True)
    unfinished = state.with_suffix(".new")
    torch.save(content, unfinished)
    unfinished.replace(state)
