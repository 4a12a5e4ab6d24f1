"""What the frozen trunk makes of every view, computed once, so that an epoch takes seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch

from imaging.decode import Pixels
from training.augment import random_view
from training.dataset import BASE_WEIGHTS, Photo
from training.evaluate import Progress
from training.mobilenet import MobileNetV2, pooled
from training.network import normalised
from training.regions import served_pixels, training_pixels

CUT: Final = 15
"""First block of ``MobileNetV2.blocks`` that is fine-tuned: the last three inverted residuals follow,
all at 7x7, and the last convolution. Before it lie [160, 7, 7] activations."""

BATCH: Final = 64

VIEWS_FILE: Final = "views.pt"

PROBES: Final = 40
"""Views that are drawn to see whether kept ones are still what the code would draw."""


@dataclass(frozen=True, slots=True)
class Cached:
    """Activations before ``CUT`` [M, 160, 7, 7] FP16 and the base network's logits [M, its rows] FP16."""

    trunk: torch.Tensor
    base_logits: torch.Tensor

    def of(self, rows: torch.Tensor) -> Cached:
        """Some of the photos: rows by number, INT64 [m]."""
        return Cached(self.trunk[rows], self.base_logits[rows])


def cache_views(
    base: MobileNetV2,
    data: Path,
    photos: Sequence[Photo],
    views: int,
    seed: int,
    folder: Path,
    progress: Progress,
    weights: Path | None = None,
) -> list[Cached]:
    """``views`` random views of every photo; entry ``v`` holds view ``v`` of all photos in their order.

    They are kept in ``folder`` and read from there as long as nothing that they follow from has changed.
    ``weights`` is the file that ``base`` was read from, the base network's if none is named.
    """
    file = folder / VIEWS_FILE
    key = _key(data, weights or data / BASE_WEIGHTS, photos, views, seed)
    cached = _kept(file, key)
    if cached is None:
        rng = np.random.default_rng(seed)
        pixels = (random_view(training_pixels(data, photo, rng), rng) for _ in range(views) for photo in photos)
        cached = _through(base, pixels, views * len(photos), "views", progress)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"key": key, "trunk": cached.trunk, "base_logits": cached.base_logits}, file)
    pieces = [slice(view * len(photos), (view + 1) * len(photos)) for view in range(views)]
    return [Cached(cached.trunk[piece], cached.base_logits[piece]) for piece in pieces]


def cache_served(base: MobileNetV2, data: Path, photos: Sequence[Photo], progress: Progress) -> Cached:
    """Every photo once, exactly as serving shows it to the classifier."""
    return _through(base, (served_pixels(data, photo) for photo in photos), len(photos), "photos", progress)


def _key(data: Path, weights: Path, photos: Sequence[Photo], views: int, seed: int) -> str:
    """SHA-256 of what the views follow from: photos, weights, seed, and how some of the views come out."""
    rng = np.random.default_rng(seed)
    key = hashlib.sha256(repr((tuple(photos), views, seed, CUT)).encode())
    key.update(weights.read_bytes())
    for photo in photos[:: max(1, len(photos) // PROBES)]:
        key.update(random_view(training_pixels(data, photo, rng), rng).tobytes())
    return key.hexdigest()


def _kept(file: Path, key: str) -> Cached | None:
    if not file.is_file():
        return None
    kept = torch.load(file, weights_only=True, mmap=True)
    return Cached(kept["trunk"], kept["base_logits"]) if kept["key"] == key else None


def _through(base: MobileNetV2, pixels: Iterable[Pixels], total: int, what: str, progress: Progress) -> Cached:
    trunks: list[torch.Tensor] = []
    logits: list[torch.Tensor] = []
    done = 0
    with torch.inference_mode():
        for batch in _batches(pixels):
            trunk = base.blocks[:CUT](normalised(batch))
            trunks.append(trunk.half().contiguous())
            logits.append(base.head(pooled(base.blocks[CUT:](trunk))).half())
            done += len(batch)
            progress(what, done, total)
    return Cached(torch.cat(trunks).clone(), torch.cat(logits).clone())


def _batches(pixels: Iterable[Pixels]) -> Iterator[torch.Tensor]:
    """UINT8 [n, 224, 224, 3], n at most ``BATCH``."""
    stream = iter(pixels)
    while batch := list(islice(stream, BATCH)):
        yield torch.from_numpy(np.stack(batch))
