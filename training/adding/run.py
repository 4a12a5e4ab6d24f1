"""One order of the command: search, train, measure, write, report and track."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.adding.add import MOBILENET, Added, Task, add, make_task, write
from training.adding.base_release import read_base_release
from training.adding.machine import Machine, this_machine
from training.adding.recipe import AddRecipe
from training.adding.report import REPORT, write_report
from training.adding.tracking import tracked
from training.adding.trainer import EpochDone
from training.datasets import Dataset, read_dataset
from training.datasets.store import find_version
from training.errors import DataError
from training.evaluate import Figures, Progress
from training.fit import CHECKPOINT, EVALUATION


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, as it was typed."""

    data: str
    datasets: Path
    base: Path
    old: Path | None
    out: Path
    backbone: str
    search: int
    seed: int
    add_species: bool
    track: bool


def run(order: Order, recipe: AddRecipe, progress: Progress) -> Figures | None:
    """Figures on the held-back photos; None in all but the first of several processes.

    Raises TrainingError for whatever cannot be done, before anything is written where that can be known.
    """
    if order.backbone and order.search:
        raise DataError("--search looks for recipes of the release's own network; leave out --backbone or --search.")
    base = read_base_release(order.base)
    task = make_task(base, _dataset(order), order.old, recipe, order.seed, add_species=order.add_species)
    with this_machine() as machine:
        if order.search:
            from training.adding.search import search

            if machine.world > 1:
                raise DataError("--search runs in one process: start it without torchrun.")
            recipe = search(task, recipe, order.search, order.out, machine, progress, track=order.track)
        first = machine.rank == 0
        tags = {"base_release": base.identity, "dataset": task.dataset.identity, "kind": "addition"}
        facts = recipe.to_dict() | {"seed": order.seed, "backbone": order.backbone or MOBILENET}
        with tracked(order.out, task.dataset.identity, facts, tags, wanted=order.track and first) as tracking:
            added = _trained(order, task, recipe, machine, progress, tracking.epoch)
            if not first:
                return None
            write(added, order.out)
            write_report(added, order.out / REPORT)
            tracking.figures(added.figures)
            tracking.files(order.out / name for name in (CHECKPOINT, EVALUATION, REPORT))
    return added.figures


def _dataset(order: Order) -> Dataset:
    """The version that was named, by its folder or as NAME[@DIGEST]."""
    folder = Path(order.data)
    return read_dataset(folder if folder.is_dir() else find_version(order.datasets, order.data))


def _trained(
    order: Order, task: Task, recipe: AddRecipe, machine: Machine, progress: Progress, done: EpochDone
) -> Added:
    if not order.backbone:
        return add(task, recipe, order.out, machine, progress, done)
    from training.adding.backbone import add as add_backbone

    return add_backbone(task, order.backbone, recipe, order.out, machine, progress, done)
