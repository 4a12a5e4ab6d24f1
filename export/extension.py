"""A checkpoint that a release was taught more species with, and the release that it came from."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from contract.manifest import TAXONOMY_NAME
from contract.release import Release
from contract.taxonomy import Taxonomy, TaxonomyError, parse_taxonomy
from contract.tensors import ANIMALS
from export.errors import RepositoryError
from export.layout import MANIFEST_PATH, VERSION, file_digests
from training.errors import CheckpointError
from training.fit import EVALUATION, Evaluation
from training.network import AnimalClassifier
from training.predict import load_checkpoint


@dataclass(frozen=True, slots=True)
class Base:
    """The release that was taught: its folder, manifest and taxonomy."""

    folder: Path
    release: Release
    taxonomy: Taxonomy

    def text(self, path: str) -> str:
        """One of its text files."""
        return (self.folder / path).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Extension:
    """What was learned: the classifier, its taxonomy, what training measured and which data set it was."""

    classifier: AnimalClassifier
    taxonomy: Taxonomy
    taxonomy_text: str
    evaluation: Evaluation
    base_release: str
    dataset: str
    """``name@digest``."""


def read_base(folder: Path) -> Base:
    """Raises RepositoryError if there is no release or its files are not those of its manifest."""
    manifest = folder / MANIFEST_PATH
    if not manifest.is_file():
        raise RepositoryError(f"There is no release in {folder}. Point --base to a model repository.")
    try:
        release = Release.model_validate_json(manifest.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise RepositoryError(f"{manifest} is not of this version. Build the release again.") from error
    changed = sorted(set(release.files.items()) ^ set(file_digests(folder).items()))
    if changed:
        raise RepositoryError(f"{changed[0][0]} in {folder} is not as its manifest says. Restore the release first.")
    taxonomy = parse_taxonomy((folder / ANIMALS / str(VERSION) / TAXONOMY_NAME).read_text(encoding="utf-8"))
    return Base(folder, release, taxonomy)


def read_extension(checkpoint: Path, base: Base) -> Extension:
    """``checkpoint.pt`` with the ``evaluation.json`` beside it.

    Raises CheckpointError if it is no such checkpoint, and RepositoryError if it was not made from ``base``.
    """
    saved = _saved(checkpoint)
    if "backbone" in saved:
        raise CheckpointError(
            f"{checkpoint} has the backbone {saved['backbone']}; only the release's own network can be exported."
            " Train without --backbone."
        )
    if "taxonomy" not in saved:
        raise CheckpointError(f"{checkpoint} adds no species. Export it with `python -m export build`.")
    try:
        taxonomy = parse_taxonomy(saved["taxonomy"])
    except TaxonomyError as error:
        raise CheckpointError(f"The taxonomy in {checkpoint} cannot be read. {error}") from error
    if saved.get("base_release") != base.release.identity:
        raise RepositoryError(
            f"{checkpoint} was made from release {saved.get('base_release')}; {base.folder} holds"
            f" {base.release.identity}. Point --base to the release that was taught, or train again."
        )
    _check_leaves(checkpoint, base.taxonomy, taxonomy)
    evaluation = checkpoint.with_name(EVALUATION)
    if not evaluation.is_file():
        raise CheckpointError(f"There is no {EVALUATION} beside {checkpoint}. Train again.")
    return Extension(
        classifier=load_checkpoint(checkpoint, taxonomy),
        taxonomy=taxonomy,
        taxonomy_text=saved["taxonomy"],
        evaluation=Evaluation.from_json(evaluation.read_text(encoding="utf-8")),
        base_release=saved["base_release"],
        dataset=str(saved.get("dataset", "")),
    )


def _saved(checkpoint: Path) -> dict[str, Any]:
    if not checkpoint.is_file():
        raise CheckpointError(f"No checkpoint at {checkpoint}. Make one with `bestiary train --add-species`.")
    try:
        saved = torch.load(checkpoint, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} is no checkpoint. Train again.") from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"{checkpoint} is no checkpoint. Train again.")
    return saved


def _check_leaves(checkpoint: Path, base: Taxonomy, taxonomy: Taxonomy) -> None:
    """All animals of the base come first, unchanged; so records of either release mean the same by a number."""
    for before, leaf in zip(list(base)[:-1], taxonomy, strict=False):
        if before != leaf:
            raise CheckpointError(
                f"In the taxonomy of {checkpoint} leaf {leaf.index} is {leaf.key}, in the base release {before.key}:"
                " new leaves have to follow the old ones."
            )
    if len(taxonomy) < len(base):
        raise CheckpointError(f"The taxonomy of {checkpoint} has fewer leaves than the base release.")
