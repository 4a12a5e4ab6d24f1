"""Any Hugging Face image classifier instead of the release's own network, fine-tuned end to end.

Its rows are the leaves: the base release's in their order, then the new ones. What the base release says of
every view is distilled into it, so that it knows the old species too, whatever it was pretrained on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from contract.preprocessing import IMAGE_SIZE
from contract.taxonomy import Taxonomy
from imaging.decode import Pixels
from training.adding.add import Added, Task, telling
from training.adding.base_release import BaseRelease
from training.adding.judging import Said, judge
from training.adding.machine import Machine
from training.adding.material import examined, weights
from training.adding.recipe import AddRecipe
from training.adding.taxonomy import keys
from training.adding.trainer import STATE, Batch, EpochDone, train
from training.augment import random_view
from training.classes import accepted_leaves
from training.dataset import Photo
from training.errors import CheckpointError
from training.evaluate import Figures, Probabilities, Progress
from training.network import normalised
from training.predict import folded
from training.regions import served_pixels, training_pixels

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TINY: Final = 1e-8

Placed = tuple[Path, Photo]
"""A photo and where its path begins."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Which logit is which leaf: the base release's leaves keep their places, new ones follow."""

    of_leaf: tuple[int, ...]

    @staticmethod
    def of(base: Taxonomy, taxonomy: Taxonomy) -> Rows:
        """For an extended taxonomy."""
        known = keys(base)
        new = [leaf.key for leaf in taxonomy if leaf.key not in known]
        place = {leaf.key: leaf.index for leaf in base} | {key: len(base) + row for row, key in enumerate(new)}
        return Rows(tuple(place[leaf.key] for leaf in taxonomy))

    def accepted(self, photos: Sequence[Photo], taxonomy: Taxonomy) -> torch.Tensor:
        """BOOL [N, rows]."""
        mask = torch.zeros(len(photos), len(self.of_leaf), dtype=torch.bool)
        for row, photo in enumerate(photos):
            mask[row, [self.of_leaf[leaf] for leaf in accepted_leaves(photo, taxonomy)]] = True
        return mask

    def fold(self, logits: Probabilities, temperature: float) -> Probabilities:
        """Logits FP32 [N, rows] -> probabilities FP32 [N, leaves] in the taxonomy's order."""
        shares = torch.from_numpy(logits / np.float32(temperature)).softmax(dim=1)
        return np.asarray(shares[:, list(self.of_leaf)].numpy(), np.float32)


class Backbone(nn.Module):
    """A Hugging Face image classifier that takes pixels as serving has them."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, model: PreTrainedModel, mean: Sequence[float], scale: Sequence[float], size: int) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """UINT8 [N, 224, 224, 3], upright RGB -> logits [N, rows]."""
        images = (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.scale
        if self.size != IMAGE_SIZE:
            images = nn.functional.interpolate(images, self.size, mode="bilinear", antialias=True)
        logits: torch.Tensor = self.model(pixel_values=images).logits
        return logits

    def groups(self, recipe: AddRecipe, rows: int) -> list[dict[str, Any]]:
        """The optimiser's: what has a value for each row is the head, all else the blocks."""
        parameters = list(self.parameters())
        head = [values for values in parameters if values.shape[0] == rows]
        blocks = [values for values in parameters if values.shape[0] != rows]
        for values in blocks:
            values.requires_grad_(recipe.block_rate > 0)
        rest = [{"params": blocks, "lr": recipe.block_rate}] if recipe.block_rate > 0 else []
        return [{"params": head, "lr": recipe.head_rate}, *rest]


def load_backbone(name: str, rows: int) -> Backbone:
    """A model of the hub or of a local folder with a fresh head of ``rows`` logits.

    Raises CheckpointError if there is no such model or it classifies no images.
    """
    from transformers import AutoModelForImageClassification
    from transformers.image_processing_base import ImageProcessingMixin
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity(logging.ERROR)  # else it lists every weight of the head
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModelForImageClassification.from_pretrained(name, num_labels=rows, ignore_mismatched_sizes=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{name!r} is no Hugging Face image classifier that can be had here: {str(error).strip().splitlines()[0]} "
            "Give --backbone a folder with config.json and weights, or the name of a model on the hub."
        ) from error
    try:
        facts, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        facts = {}
    size = getattr(model.config, "image_size", IMAGE_SIZE)
    return Backbone(
        model,
        facts.get("image_mean", [0.5] * 3),
        facts.get("image_std", [0.5] * 3),
        size if isinstance(size, int) else size[0],
    )


class Views(TorchDataset[tuple[torch.Tensor, int]]):
    """A random view of each photo, the same in every process and with any number of workers."""

    def __init__(self, photos: Sequence[Placed], seed: int, epoch: int) -> None:
        self._photos = photos
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        """UINT8 [224, 224, 3] and the photo's number."""
        rng = np.random.default_rng((self._seed, self._epoch, row))
        root, photo = self._photos[row]
        return torch.from_numpy(random_view(training_pixels(root, photo, rng), rng)), row


class Served(TorchDataset[tuple[torch.Tensor, int]]):
    """Each photo as serving shows it."""

    def __init__(self, photos: Sequence[Placed]) -> None:
        self._photos = photos

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        """UINT8 [224, 224, 3] and the photo's number."""
        pixels: Pixels = served_pixels(*self._photos[row])
        return torch.from_numpy(pixels), row


class PhotoCourse:
    """:class:`training.adding.trainer.Course` over photos that are read anew in every epoch."""

    def __init__(self, task: Task, rows: Rows, recipe: AddRecipe, progress: Progress) -> None:
        self._task = task
        self._rows = rows
        self._recipe = recipe
        self._progress = progress
        self._photos = [(source.root, photo) for source in task.sources for photo in source.train]
        shown = [photo for _, photo in self._photos]
        self._accepted = rows.accepted(shown, task.taxonomy)
        self._weight = weights(shown, task.taxonomy)
        self._validation = [(source.root, photo) for source in task.sources for photo in source.validation]

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._photos) // self._recipe.batch)

    def batches(self, epoch: int, machine: Machine) -> Iterator[Batch]:
        """One view of every photo, shuffled; each of several processes has its share of every batch."""
        shuffle = torch.Generator().manual_seed(1_000_003 * self._task.seed + epoch)
        order = torch.randperm(len(self._photos), generator=shuffle)
        shares = [machine.share(batch).tolist() for batch in torch.split(order, self._recipe.batch)]
        views = Views(self._photos, self._task.seed, epoch)
        for done, (pixels, rows) in enumerate(_loader(views, shares, machine), start=1):
            teacher = _teacher(self._task.base, pixels, machine)
            yield Batch(pixels, teacher, self._accepted[rows], self._weight[rows])
            self._progress(f"epoch {epoch}: batches", done, len(shares))

    def examine(self, model: nn.Module, machine: Machine) -> Figures:
        """What :meth:`training.adding.material.CachedCourse.examine` reports."""
        said = ask(model, self._task, self._rows, self._validation, machine)
        logits = torch.from_numpy(said.logits)
        taught = _log_shares(said.base_logits, self._task.base)
        return examined(
            logits, said.photos, self._rows.fold(said.logits, 1.0), taught, said.accepted, self._task.taxonomy
        )


def ask(model: nn.Module, task: Task, rows: Rows, photos: Sequence[Placed], machine: Machine) -> Said:
    """What the model and the base release say of photos as served."""
    logits: list[torch.Tensor] = []
    taught: list[torch.Tensor] = []
    with torch.inference_mode():
        batches = [list(range(start, min(start + 64, len(photos)))) for start in range(0, len(photos), 64)]
        for pixels, _ in _loader(Served(photos), batches, machine):
            with machine.autocast():
                logits.append(model(pixels.to(machine.device)).float().cpu())
            taught.append(_network_logits(task.base, pixels, machine))
    shown = tuple(photo for _, photo in photos)
    roots = tuple(root for root, _ in photos)
    said = np.asarray(torch.cat(logits).numpy(), np.float32)
    return Said(shown, roots, torch.cat(taught), said, rows.accepted(shown, task.taxonomy))


def add(
    task: Task, name: str, recipe: AddRecipe, out: Path, machine: Machine, progress: Progress, done: EpochDone
) -> Added:
    """As :func:`training.adding.add.add`, with another network. Raises CheckpointError if it cannot be had."""
    torch.manual_seed(task.seed)  # of the new head
    rows = Rows.of(task.base.taxonomy, task.taxonomy)
    model = load_backbone(name, len(task.taxonomy))
    task.base.network.to(machine.device)
    course = PhotoCourse(task, rows, recipe, progress)
    groups = model.groups(recipe, len(task.taxonomy))
    key = task.key(recipe, name)
    history = train(
        model, groups, course, recipe, task.seed, machine, out / STATE, key, telling(progress, recipe, done)
    )
    model.requires_grad_(False)
    parts = {
        part: [(source.root, photo) for source in task.sources for photo in getattr(source, part)]
        for part in ("train", "validation", "test")
    }
    validation = ask(model, task, rows, parts["validation"], machine)
    test = ask(model, task, rows, parts["test"], machine)
    counts = {part: len(photos) for part, photos in parts.items()}
    evaluation, judged = judge(
        task.base, task.taxonomy, recipe, history, task.seed, counts, validation, test, rows.fold
    )
    checkpoint = {
        "backbone": name,
        "config": model.model.config.to_json_string(),
        "mean": model.mean.flatten().tolist(),
        "scale": model.scale.flatten().tolist(),
        "size": model.size,
        "row_of_leaf": list(rows.of_leaf),
        "state": {
            name: values.half() if values.is_floating_point() else values
            for name, values in model.model.cpu().state_dict().items()
        },
    }
    return Added(task, recipe, name, history, evaluation, judged, test.roots, checkpoint)


def _loader(
    photos: TorchDataset[tuple[torch.Tensor, int]], batches: list[list[int]], machine: Machine
) -> DataLoader[tuple[torch.Tensor, int]]:
    """Photos by batches of numbers. Processes of its own decode only where a device would wait for them."""
    cuda = machine.device.type == "cuda"
    workers = min(8, (os.cpu_count() or 1) // machine.world) if cuda else 0
    return DataLoader(photos, batch_sampler=batches, num_workers=workers, pin_memory=cuda)


def _network_logits(base: BaseRelease, pixels: torch.Tensor, machine: Machine) -> torch.Tensor:
    with torch.inference_mode():
        said: torch.Tensor = base.network(normalised(pixels.to(machine.device)))
    return said.float().cpu()


def _teacher(base: BaseRelease, pixels: torch.Tensor, machine: Machine) -> torch.Tensor:
    """The base release's answers as logits over its leaves, FP32 [n, leaves]."""
    return _log_shares(_network_logits(base, pixels, machine), base)


def _log_shares(logits: torch.Tensor, base: BaseRelease) -> torch.Tensor:
    shares = folded(np.asarray(logits.numpy(), np.float32), base.taxonomy, base.temperature)
    return torch.from_numpy(shares).clamp_min(_TINY).log()
