"""What no server can beat on this machine: decoding on all cores, copying to the device, and the networks alone."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from benchmarks.gpu.engines import CPU, Run, pictures_of
from contract.options import Task
from contract.photo_status import PhotoError
from contract.preprocessing import SCENE_SIZE, VIEW_SIZE
from contract.tensors import CLASSIFIER, DETECTOR, MAX_BATCH
from imaging.decode import decode_photo, decode_picture
from imaging.letterbox import letterbox

LIMIT_S: Final = 120.0
NETWORKS_OF: Final[Mapping[Task, tuple[str, ...]]] = {
    Task.SPECIES: (CLASSIFIER,),
    Task.COUNT: (DETECTOR,),
    Task.FULL: (DETECTOR, CLASSIFIER),
}
"""Networks that a photo goes through, with one animal on it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Photos per second of each stage alone. The stages overlap, so the slowest bounds the whole."""

    decode: float
    copy: float
    compute: float
    """Of the engine called with host memory in batches of ``MAX_BATCH``: its own copies are in it."""

    @property
    def photos_per_s(self) -> float:
        """The slowest stage."""
        return min(self.decode, self.copy, self.compute)

    @property
    def stage(self) -> str:
        """Its name."""
        return min(("decode", "copy", "compute"), key=lambda name: getattr(self, name))


def measure(photos: Sequence[bytes], runs: Mapping[str, Run], task: Task, device: str, seconds: float) -> Bound:
    """Each stage for ``seconds``; ``runs`` by network."""
    networks = NETWORKS_OF[task]
    return Bound(
        decode=decode_rate(photos, task, seconds),
        copy=1 / sum(1 / copy_rate(network, device, seconds) for network in networks),
        compute=1 / sum(1 / compute_rate(network, runs[network], device, seconds) for network in networks),
    )


def decode_rate(photos: Sequence[bytes], task: Task, seconds: float) -> float:
    """Photos per second that all cores together decode as ``animals`` does."""
    context = multiprocessing.get_context("spawn")
    cores = len(os.sched_getaffinity(0))
    with context.Pool(cores) as pool:
        warm = pool.map_async(_decode, [(list(photos), task, 0.0)] * cores)
        warm.get(LIMIT_S)
        found = pool.map_async(_decode, [(list(photos), task, seconds)] * cores, chunksize=1).get(seconds + LIMIT_S)
    return sum(found)


def _decode(work: tuple[list[bytes], Task, float]) -> float:
    """Photos per second of one process."""
    import cv2

    photos, task, seconds = work
    cv2.setNumThreads(1)
    done, began = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - began < seconds:
        decoded(photos[done % len(photos)], task)
        done += 1
    return done / (time.perf_counter() - began)


def decoded(photo: bytes, task: Task) -> Any:
    """A photo as the task's first network takes it: UINT8 [side, side, 3]. Raises PhotoError."""
    if task is Task.SPECIES:
        return decode_photo(photo).pixels
    return letterbox(decode_picture(photo, long=VIEW_SIZE if task is Task.FULL else SCENE_SIZE).pixels, SCENE_SIZE)


def usable(photos: Sequence[bytes]) -> list[bytes]:
    """Those that decode."""
    found = []
    for photo in photos:
        try:
            decode_photo(photo)
        except PhotoError:
            continue
        found.append(photo)
    return found


def copy_rate(network: str, device: str, seconds: float) -> float:
    """Pictures per second from pinned memory to the device; in memory on a dry run."""
    host = torch.zeros((MAX_BATCH, *pictures_of(network).shape), dtype=torch.uint8)
    target = torch.empty_like(host, device=device)
    if device != CPU:
        host = host.pin_memory()

    def copy() -> None:
        target.copy_(host, non_blocking=True)
        if device != CPU:
            torch.cuda.synchronize()

    return MAX_BATCH * _per_s(copy, seconds)


def compute_rate(network: str, run: Run, device: str, seconds: float) -> float:
    """Pictures per second of a network alone, in the largest batches; on a dry run one by one, as a CPU likes it."""
    size = 1 if device == CPU else MAX_BATCH
    pictures = np.random.default_rng(7).integers(0, 256, (size, *pictures_of(network).shape), dtype=np.uint8)
    return size * _per_s(lambda: run(pictures), seconds)


def _per_s(call: Callable[[], Any], seconds: float) -> float:
    call()
    done, began = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - began < seconds:
        call()
        done += 1
    return done / (time.perf_counter() - began)
