"""Detectors as functions from pixels to candidates, however their weights are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from contract.preprocessing import CHANNELS, LETTERBOX_FILL, SCENE_SIZE
from contract.tensors import DETECTOR, SCENE
from imaging.decode import Pixels, decode_picture
from imaging.letterbox import letterbox
from training.dataset import Photo, read_bytes
from training.detector.network import AnimalDetector
from training.detector.start import COCO_ANIMALS, START_WEIGHTS, animals_only, load_start
from training.detector.yolox import YoloxNano
from training.errors import CheckpointError
from training.evaluate import Progress

Candidates = npt.NDArray[np.float32]
"""[..., 300, 5] of ``contract.tensors.DETECTIONS``."""

Detect = Callable[[Pixels], Candidates]
"""UINT8 [N, 416, 416, 3] -> FP32 [N, 300, 5]."""

FURTHER = (304, 160)
"""Pixels of a photo's longer side where it is seen from further away."""

ONNX_IN_RELEASE = Path(DETECTOR) / "1" / "model.onnx"


def torch_detector(detector: AnimalDetector) -> Detect:
    """A network in this process."""

    def detect(pixels: Pixels) -> Candidates:
        with torch.inference_mode():
            return np.asarray(detector(torch.from_numpy(pixels)).numpy(), np.float32)

    return detect


def onnx_detector(file: Path) -> Detect:
    """An exported detector on onnxruntime's CPU provider. Raises CheckpointError if there is no such file."""
    if not file.is_file():
        raise CheckpointError(f"No detector at {file}. Export one from a checkpoint of `fit-detector`.")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def detect(pixels: Pixels) -> Candidates:
        return np.asarray(session.run(None, {SCENE.name: pixels})[0], np.float32)

    return detect


def start_detector(data: Path) -> AnimalDetector:
    """The starting network, class-agnostic, in evaluation mode. Raises CheckpointError as ``load_start`` does."""
    return AnimalDetector(animals_only(load_start(data / START_WEIGHTS))).eval()


def load_checkpoint(file: Path) -> AnimalDetector:
    """The detector that ``fit-detector`` saved, in evaluation mode. Raises CheckpointError if it does not fit."""
    if not file.is_file():
        raise CheckpointError(f"No checkpoint at {file}. Make one with `python -m training fit-detector`.")
    network = YoloxNano(len(COCO_ANIMALS))
    try:
        network.load_state_dict(torch.load(file, weights_only=True)["state"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{file} does not fit YOLOX-nano. Train again.") from error
    return AnimalDetector(network).eval()


def served_scene(photo: bytes) -> Pixels:
    """An encoded photo as serving gives it to the detector: UINT8 [416, 416, 3]. Raises PhotoError."""
    return letterbox(decode_picture(photo, long=SCENE_SIZE).pixels)


def as_served(photo: bytes) -> Pixels:
    """The one view of a photo that serving has: UINT8 [1, 416, 416, 3]. Raises PhotoError."""
    return served_scene(photo)[None]


def in_many_ways(photo: bytes) -> Pixels:
    """A photo as served, mirrored, grey, and twice from further away: UINT8 [5, 416, 416, 3]. Raises PhotoError.

    How many animals it shows stays the same, so few photos tell more about thresholds.
    """
    pixels = decode_picture(photo, long=SCENE_SIZE).pixels
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    views = np.full((3 + len(FURTHER), SCENE_SIZE, SCENE_SIZE, CHANNELS), LETTERBOX_FILL, np.uint8)
    for view, shown in zip(views, (pixels, np.ascontiguousarray(pixels[:, ::-1]), grey), strict=False):
        letterbox(shown, out=view)
    for view, size in zip(views[3:], FURTHER, strict=True):
        edge = (SCENE_SIZE - size) // 2
        view[edge : edge + size, edge : edge + size] = letterbox(pixels, size)
    return views


def ask(
    data: Path,
    photos: Sequence[Photo],
    detectors: Sequence[Detect],
    progress: Progress,
    views: Callable[[bytes], Pixels] = as_served,
) -> list[Candidates]:
    """Show every photo to all detectors: FP32 [views, photos, 300, 5] for each of them."""
    answers: list[list[Candidates]] = [[] for _ in detectors]
    for number, photo in enumerate(photos, 1):
        pixels = views(read_bytes(data, photo))
        for detect, parts in zip(detectors, answers, strict=True):
            parts.append(detect(pixels))
        progress("evaluation: photos", number, len(photos))
    return [np.stack(parts, axis=1) for parts in answers]
