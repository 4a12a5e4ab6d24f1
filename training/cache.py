"""What the frozen trunk makes of every view, computed once, so that an epoch takes seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from imaging.decode import Pixels, decode_photo
from training.augment import random_view
from training.dataset import Photo, read_bytes
from training.errors import DataError
from training.evaluate import Progress
from training.mobilenet import MobileNetV2, pooled
from training.network import normalised

CUT: Final = 15
"""First block of ``MobileNetV2.blocks`` that is fine-tuned: the last three inverted residuals follow,
all at 7x7, and the last convolution. Before it lie [160, 7, 7] activations."""

BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Cached:
    """Activations before ``CUT`` [M, 160, 7, 7] FP16 and the base network's logits [M, 1001] FP16."""

    trunk: torch.Tensor
    base_logits: torch.Tensor


def cache_views(
    base: MobileNetV2, data: Path, photos: Sequence[Photo], views: int, seed: int, progress: Progress
) -> list[Cached]:
    """``views`` random views of every photo; entry ``v`` holds view ``v`` of all photos in their order."""
    rng = np.random.default_rng(seed)
    pixels = (random_view(_full_photo(data, photo), rng) for _ in range(views) for photo in photos)
    cached = _through(base, pixels, views * len(photos), "views", progress)
    parts = [slice(view * len(photos), (view + 1) * len(photos)) for view in range(views)]
    return [Cached(cached.trunk[part], cached.base_logits[part]) for part in parts]


def cache_served(base: MobileNetV2, data: Path, photos: Sequence[Photo], progress: Progress) -> Cached:
    """Every photo once, exactly as serving decodes it."""
    pixels = (decode_photo(read_bytes(data, photo)).pixels for photo in photos)
    return _through(base, pixels, len(photos), "photos", progress)


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


def _full_photo(data: Path, photo: Photo) -> Pixels:
    """All pixels of an upright photo, RGB."""
    pixels = cv2.imdecode(np.frombuffer(read_bytes(data, photo), np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise DataError(f"{photo.path} cannot be decoded. Restore it or take it out of the manifest.")
    return np.asarray(pixels, np.uint8)
