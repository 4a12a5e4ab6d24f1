"""What ``animals`` does with a batch: decode → detect → crop → classify, each photo as far as its task needs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contract.options import Options, Task
from contract.preprocessing import IMAGE_SIZE
from contract.tensors import CLASSIFIER, DETECTIONS, DETECTOR, IMAGE, SCENE, probabilities
from imaging.crops import crop_window
from imaging.decode import Pixels, stretched
from imaging.letterbox import to_photo
from postprocess.nms import keep
from serving.models.decoding import Call, Decoder, Opened

Floats = npt.NDArray[np.float32]

DETECT_AT_ONCE: Final = 2
CLASSIFY_AT_ONCE: Final = 4
CALLS_AT_ONCE: Final = 8
"""Pictures in one call of a network, and calls that wait side by side. A call runs on one core, so a photo with many
animals is split among the cores; on a GPU the network's batcher puts the calls together again."""


@dataclass(slots=True)
class Found:
    """What is known of one photo after the networks have answered."""

    opened: Opened
    options: Options
    leaves: Floats | None = None
    """Probabilities of the whole photo, [leaves]; None where its names were not asked for."""
    boxes: Floats = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """Shares of the photo, [boxes, 4], best first."""
    scores: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    box_leaves: Floats | None = None
    """Probabilities of every box, [boxes, leaves]."""
    best_score: float = 0.0
    """Score of the best candidate, whether it became a box or not."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Milliseconds of wall time that a batch spent decoding, detecting, classifying, and in all."""

    decode: float
    detect: float
    classify: float
    total: float


class Pipeline:
    """One release's way from encoded photos to what is in them.

    Calls of the networks block, and only where several are wanted at once do threads help out: an event loop costs
    two switches of thread a call, as much as the decoding of a small photo.
    """

    def __init__(self, call: Call, decoder: Decoder, leaves: int, detect_from: float, overlap: float) -> None:
        self._call = call
        self._decoder = decoder
        self._probabilities = probabilities(leaves).name
        self._detect_from = detect_from
        self._overlap = overlap
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="call")

    def run(self, photos: Sequence[bytes], options: Sequence[Options]) -> tuple[list[Found], Spans]:
        """Everything that the options ask for, photo by photo. Raises ModelCallError for the batch."""
        began = time.perf_counter()
        found = self._open(photos, options)
        decoded = time.perf_counter()
        whole = [one for one in found if one.opened.image is not None]
        scenes = [one for one in found if one.opened.scene is not None]
        self._classify_whole(whole)
        named = time.perf_counter()
        self._detect(scenes)
        detected = time.perf_counter()
        self._name([one for one in scenes if one.options.tasks is Task.FULL])
        ended = time.perf_counter()
        return found, Spans(
            decode=(decoded - began) * 1e3,
            detect=(detected - named) * 1e3,
            classify=(named - decoded + ended - detected) * 1e3,
            total=(ended - began) * 1e3,
        )

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _open(self, photos: Sequence[bytes], options: Sequence[Options]) -> list[Found]:
        tasks = [asked.tasks for asked in options]
        at_once = self._threads.map if self._decoder.elsewhere else map
        opened = at_once(self._decoder.open, photos, tasks)
        return [Found(one, asked) for one, asked in zip(opened, options, strict=True)]

    def _classify_whole(self, photos: Sequence[Found]) -> None:
        images = [one.opened.image for one in photos if one.opened.image is not None]
        for one, leaves in zip(photos, self._classify(images), strict=True):
            one.leaves = leaves

    def _detect(self, photos: Sequence[Found]) -> None:
        """Boxes of all photos: one call for a few of them, then those that show the same animal thrown out."""
        scenes = [one.opened.scene for one in photos if one.opened.scene is not None]
        answers = self._ask(DETECTOR, SCENE.name, DETECTIONS.name, scenes, DETECT_AT_ONCE)
        for one, detections in zip(photos, answers, strict=True):
            options = one.options
            rows = keep(
                detections,
                self._detect_from if options.detect_from is None else options.detect_from,
                self._overlap if options.overlap is None else options.overlap,
            )
            one.boxes = to_photo(detections[rows, :4], one.opened.width, one.opened.height)
            one.scores = detections[rows, 4]
            one.best_score = float(np.nan_to_num(detections[:, 4].max()))

    def _name(self, photos: Sequence[Found]) -> None:
        """Classify the animals of all photos together; of a photo without any, the whole."""
        crops = [crop for one in photos for crop in _crops(one)]
        leaves = self._classify(crops)
        at = 0
        for one in photos:
            count = len(one.boxes)
            if count:
                one.box_leaves = np.stack(leaves[at : at + count])
                one.leaves = np.average(one.box_leaves, axis=0, weights=one.scores).astype(np.float32)
            else:
                one.leaves = leaves[at]
            at += max(1, count)
            one.opened.view = None

    def _classify(self, images: Sequence[Pixels]) -> list[Floats]:
        return self._ask(CLASSIFIER, IMAGE.name, self._probabilities, images, CLASSIFY_AT_ONCE)

    def _ask(self, model: str, name: str, wanted: str, pictures: Sequence[Pixels], at_once: int) -> list[Any]:
        """Rows of one output, in order of the pictures."""
        parts = [pictures[at : at + at_once] for at in range(0, len(pictures), at_once)]

        def ask(part: Sequence[Pixels]) -> Any:
            return self._call(model, {name: _stacked(part)}, (wanted,))[wanted]

        answers = self._threads.map(ask, parts) if len(parts) > 1 else map(ask, parts)
        return [row for answer in answers for row in answer]


def _crops(one: Found) -> list[Pixels]:
    view = one.opened.view
    if view is None:
        return []
    if not len(one.boxes):
        return [stretched(view, IMAGE_SIZE)]
    height, width = view.shape[:2]
    windows = (crop_window((b[0], b[1], b[2], b[3]), width, height) for b in one.boxes.tolist())
    return [stretched(view[y1:y2, x1:x2], IMAGE_SIZE) for x1, y1, x2, y2 in windows]


def _stacked(pictures: Sequence[Pixels]) -> Pixels:
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)
