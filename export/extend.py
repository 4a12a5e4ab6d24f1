"""A release with more species: the classifier from a checkpoint, everything else from the release that was taught."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from contract.preprocessing import IMAGE_SIZE
from contract.release import Release, Source, Thresholds, Training
from contract.rollout import Bounds
from export.card_extended import extended_card
from export.extension import Base, Extension, read_base, read_extension
from export.forms import Forms, write_forms
from export.layout import CARD, DETECTOR_PATH, MANIFEST_PATH, MODELS, ONNX_PATH, VERSION, file_digests
from export.photos import read_samples
from export.repository import refuse_strangers, swap, texts, write_texts
from training.datasets import Dataset, read_dataset
from training.errors import DataError
from training.evaluate import Figures, Progress

DETECTOR_FIGURES: Final = "detector."
"""Figures of the base release that hold for this one too begin so."""

UNSTATED: Final = "not stated"


@dataclass(frozen=True, slots=True)
class Order:
    """What release is wanted. ``photos``: folders as :func:`export.photos.read_samples` takes them; ``dataset``: folder
    of the version that was learned from, for licences and sources; ``max_disagreement`` as
    :class:`contract.rollout.Bounds` has it, None for the base release's."""

    base: Path
    checkpoint: Path
    photos: tuple[Path, ...]
    out: Path
    name: str
    dataset: Path | None = None
    tensorrt: bool = False
    max_disagreement: float | None = None


def extend_release(order: Order, progress: Progress) -> Release:
    """Export, hold against the checkpoint and write a release; ``order.out`` is replaced as a whole, or not at all.

    Raises ParityError if a form answers differently, over all photos or on a taxon, RepositoryError if a folder is not
    what it should be or the checkpoint was made from another release, TensorRTError, and the errors of ``training``
    for a bad checkpoint or data set.
    """
    refuse_strangers(order.out)
    base = read_base(order.base)
    extension = read_extension(order.checkpoint, base)
    dataset = _dataset(order.dataset, extension)
    samples = read_samples(order.photos, extension.taxonomy)
    order.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=order.out.parent, prefix=f".{order.out.name}-") as scratch:
        fresh = Path(scratch) / order.out.name
        forms = write_forms(extension, samples, fresh, progress, tensorrt=order.tensorrt)
        progress("export: repository", 0, 1)
        write_texts(fresh, texts(extension.taxonomy_text))
        (fresh / DETECTOR_PATH).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base.folder / DETECTOR_PATH, fresh / DETECTOR_PATH)
        training = _training(order, base, extension, dataset)
        write_texts(fresh, {CARD: extended_card(order.name, base, extension, forms, training, base.text(CARD))})
        release = Release(
            name=order.name,
            created=date.today().isoformat(),
            models=dict.fromkeys(MODELS, VERSION),
            image_size=IMAGE_SIZE,
            thresholds=_thresholds(base, extension),
            bounds=_bounds(base.release.bounds, order.max_disagreement),
            files=file_digests(fresh),
            training=training,
            evaluation=_figures(base, extension, forms),
        )
        write_texts(fresh, {MANIFEST_PATH: release.to_json()})
        swap(fresh, order.out, Path(scratch) / "previous")
    return release


def _dataset(folder: Path | None, extension: Extension) -> Dataset | None:
    if folder is None:
        return None
    dataset = read_dataset(folder)
    if extension.dataset and dataset.identity != extension.dataset:
        raise DataError(f"The checkpoint was made from {extension.dataset}; {folder} is {dataset.identity}.")
    return dataset


def _thresholds(base: Base, extension: Extension) -> Thresholds:
    """The classifier's as they were calibrated anew, the detector's as they were."""
    chosen = extension.evaluation.calibration
    return base.release.thresholds.model_copy(
        update={
            "sure_from": chosen.sure_from,
            "empty_from": chosen.empty_from,
            "alternatives_from": chosen.alternatives_from,
            "coverage": chosen.coverage,
        }
    )


def _bounds(bounds: Bounds, max_disagreement: float | None) -> Bounds:
    return bounds if max_disagreement is None else bounds.model_copy(update={"max_disagreement": max_disagreement})


def _figures(base: Base, extension: Extension, forms: Forms) -> Figures:
    """The classifier's new ones, the detector's as they were, and the forms'."""
    kept = {name: value for name, value in base.release.evaluation.items() if name.startswith(DETECTOR_FIGURES)}
    figures = extension.evaluation.test[extension.evaluation.chosen] | kept | forms.figures
    return {name: value for name, value in figures.items() if math.isfinite(value)}  # JSON knows no others


def _training(order: Order, base: Base, extension: Extension, dataset: Dataset | None) -> Training:
    folders = " ".join(f"--photos {folder.name}" for folder in order.photos)
    return Training(
        command=f"bestiary train --base {base.folder.name} --data {extension.dataset} --add-species"
        f" --seed {extension.evaluation.seed} && bestiary export extend --base {base.folder.name}"
        f" --checkpoint {order.checkpoint.name} {folders} --out {order.out.name} --name {order.name}",
        seed=extension.evaluation.seed,
        base_weights=base.release.training.base_weights,
        data=(*base.release.training.data, _classifier_of(base), *_sources(extension, dataset)),
    )


def _classifier_of(base: Base) -> Source:
    weights = base.release.training.base_weights
    return Source(
        name=f"classifier of release {base.release.identity} (starting weights)",
        licence=weights.licence,
        sha256=hashlib.sha256((base.folder / ONNX_PATH).read_bytes()).hexdigest(),
        attribution=weights.attribution,
    )


def _sources(extension: Extension, dataset: Dataset | None) -> Sequence[Source]:
    """The data set, by source and licence where its version is at hand."""
    if dataset is None:
        name, _, digest = extension.dataset.partition("@")
        return (Source(name=f"data set {name or UNSTATED}", licence=UNSTATED, sha256=digest),)
    kinds: dict[tuple[str, str], list[str]] = {}
    for photo in dataset.photos:
        if photo.part != "test":
            kinds.setdefault((photo.source, photo.licence), []).append(photo.sha256)
    return tuple(
        Source(
            name=f"data set {dataset.identity}{f', {source}' if source else ''}",
            licence=licence or UNSTATED,
            sha256=hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest(),
            photos=len(digests),
            attribution=source,
        )
        for (source, licence), digests in sorted(kinds.items())
    )
