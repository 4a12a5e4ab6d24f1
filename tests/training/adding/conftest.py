"""A data set small enough to be learned in seconds: pictures of colours, two of them species that nobody knows."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from tests.support.stack import ROOT
from training.adding.add import Task, make_task
from training.adding.base_release import BaseRelease, read_base_release
from training.adding.material import Material, gather
from training.adding.recipe import AddRecipe
from training.datasets import Dataset, DatasetPhoto, NewSpecies, Part, read_dataset
from training.datasets.model import content_digest
from training.datasets.store import COLUMNS, DATASET, FORMAT, PHOTOS

COLOURS = {"red_monkey": (40, 40, 220), "blue_monkey": (220, 60, 30), "patas": (60, 200, 60)}
COUNTS: dict[Part, int] = {"train": 6, "validation": 2, "test": 3}
RECIPE = AddRecipe(epochs=3, patience=3, head_rate=1e-2, views=1, batch=8)


def _picture(colour: tuple[int, int, int], number: int) -> bytes:
    noise = np.random.default_rng((number, *colour)).normal(0, 25, (64, 72, 3)) + colour
    _, encoded = cv2.imencode(".png", noise.clip(0, 255).astype(np.uint8))
    return encoded.tobytes()


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a version of the data set."""
    root = tmp_path_factory.mktemp("datasets")
    photos = []
    for label, colour in COLOURS.items():
        for part, count in COUNTS.items():
            for number in range(count):
                content = _picture(colour, 100 * len(part) + number)
                name = hashlib.sha256(content).hexdigest()
                path = root / "photos" / name[:2] / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                photos.append(DatasetPhoto(path.relative_to(root).as_posix(), name, label, part, name, 72, 64))
    species = tuple(
        NewSpecies(key, ("Mammalia", "Primates", "Cercopithecidae", "Pictus", f"Pictus {key}"), key.replace("_", " "))
        for key in ("blue_monkey", "red_monkey")
    )
    photos.sort(key=lambda photo: photo.sha256)
    digest = content_digest(photos, species)
    folder = root / "colours" / digest[:12]
    folder.mkdir(parents=True)
    with (folder / PHOTOS).open("w", newline="") as stream:
        rows = csv.DictWriter(stream, COLUMNS)
        rows.writeheader()
        rows.writerows(dataclasses.asdict(photo) | {"boxes": "[]", "captured_at": ""} for photo in photos)
    facts = {"format": FORMAT, "name": "colours", "digest": digest, "species": [one.row() for one in species]}
    (folder / DATASET).write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="session")
def dataset(colours: Path) -> Dataset:
    return read_dataset(colours)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The model repository of this checkout."""
    return ROOT / "model_repository"


@pytest.fixture(scope="session")
def release(repository: Path) -> BaseRelease:
    return read_base_release(repository)


@pytest.fixture(scope="session")
def recipe() -> AddRecipe:
    """Quick."""
    return RECIPE


@pytest.fixture(scope="session")
def task(release: BaseRelease, dataset: Dataset) -> Task:
    return make_task(release, dataset, None, RECIPE, 7, add_species=True)


@pytest.fixture(scope="session")
def material(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return gather(task.base, task.sources, RECIPE, task.seed, tmp_path_factory.mktemp("cache"), silent)


def silent(what: str, done: int, total: int) -> None:
    """Nobody watches."""
