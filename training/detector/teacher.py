"""Boxes for photos that nobody drew boxes on: what the starting network says of them, and what is known of them.

A photo of species/ shows one animal, mostly in view. Where the starting network is sure of an animal of
COCO, its boxes are taken; where it is not, its best guess at *any* thing is, since it outlines crabs and
beetles well and only lacks a name for them. A photo of no_animal/ shows none, whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from imaging.decode import Pixels
from imaging.letterbox import Boxes, letterbox, to_photo
from postprocess.nms import keep, overlaps
from training.dataset import NO_ANIMAL_SET, SPECIES, Photo
from training.detector.scenes import Read, Scene, no_boxes, whole_photo
from training.detector.start import COCO_ANIMALS
from training.detector.yolox import YoloxNano, cells, decoded
from training.evaluate import Progress

SIZES: Final = (416, 320)
"""The photo is shown at both, and mirrored: on 250 photos of species/ some animal scores 0.2 or more on
64 % at 416 pixels alone, on 67 % at one of 416 and 256, on 70 % at one of four sizes."""

SURE: Final = 0.25
"""An animal from this score on."""

ALSO_SURE: Final = 0.4
"""An animal beside a better one; weaker ones are often a part or a double of it."""

UNCLEAR: Final = 0.1
"""Neither animal nor background between this score and the one that would be sure."""

INSIDE: Final = 0.8
"""Share of a box inside another from which on it is taken for a part of the same animal."""

APART: Final = 0.3
"""Largest overlap of two animals that are both believed."""

GUESS: Final = 0.06
"""A guess below this is not worth teaching."""

NAMELESS, BARE = 0.6, 0.3
"""What a thing that is no animal of COCO counts in a guess, and objectness alone."""

_BEST = 100
_PERSON = 0


@dataclass(frozen=True, slots=True)
class _Answers:
    """One photo's candidates of all views: boxes FP32 [n, 4] in shares of the photo, scores FP32 [n]."""

    boxes: Boxes
    animal: npt.NDArray[np.float32]
    guess: npt.NDArray[np.float32]


def taught_scenes(start: YoloxNano, photos: Sequence[Photo], read: Read, progress: Progress) -> list[Scene]:
    """The photos of species/ and no_animal/ with boxes; those of which the network has no idea are left out.

    ``start`` is the network with all classes of COCO.
    """
    scenes: list[Scene] = []
    shown = [photo for photo in photos if photo.set in (SPECIES, NO_ANIMAL_SET)]
    for number, photo in enumerate(shown, 1):
        if photo.set == NO_ANIMAL_SET:
            scenes.append(Scene(photo, no_boxes()))
        elif scene := _taught(photo, _ask(start, read(photo))):
            scenes.append(scene)
        progress("photos shown to the starting network", number, len(shown))
    return scenes


def _taught(photo: Photo, answers: _Answers) -> Scene | None:
    rows = np.column_stack((answers.boxes, answers.animal))
    likely = keep(rows, UNCLEAR, 0.5)
    if len(likely) and answers.animal[likely[0]] >= SURE:
        sure = _believed(answers.boxes[likely], answers.animal[likely])
        return Scene(photo, answers.boxes[likely[sure]], unclear=_unlike(answers.boxes[likely], sure))
    guess = answers.guess * np.sqrt(np.prod(answers.boxes[:, 2:] - answers.boxes[:, :2], axis=1))
    best = int(guess.argmax())
    if guess[best] < GUESS:
        return None
    return Scene(photo, answers.boxes[best : best + 1], surely=False, unclear=whole_photo())


def _believed(boxes: Boxes, scores: npt.NDArray[np.float32]) -> list[int]:
    """The best box and others that are sure and stand apart."""
    shared = overlaps(boxes)
    inside = _inside(boxes)
    believed = [0]
    for row in range(1, len(boxes)):
        apart = all(shared[row, other] < APART and inside[row, other] < INSIDE for other in believed)
        if scores[row] >= ALSO_SURE and apart:
            believed.append(row)
    return believed


def _unlike(boxes: Boxes, sure: list[int]) -> Boxes:
    """Boxes that are not believed and are no part of a believed one."""
    inside = _inside(boxes)
    rest = [row for row in range(len(boxes)) if row not in sure and all(inside[row, sure] < INSIDE)]
    return boxes[rest]


def _inside(boxes: Boxes) -> npt.NDArray[np.float32]:
    """[M, M]: the share of each row's box that lies in each column's."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(both / np.maximum(area[:, None], 1e-9), np.float32)


def _ask(start: YoloxNano, pixels: Pixels) -> _Answers:
    views = list(_views(start, pixels))
    return _Answers(*(np.concatenate(parts) for parts in zip(*views, strict=True)))


def _views(
    start: YoloxNano, pixels: Pixels
) -> Iterator[tuple[Boxes, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    height, width = pixels.shape[:2]
    for size in SIZES:
        views = np.stack([letterbox(view, size)[..., ::-1] for view in (pixels, pixels[:, ::-1])])
        with torch.inference_mode():
            rows = start(torch.from_numpy(views).permute(0, 3, 1, 2).float())
            squares = decoded(rows, cells(size)) / size
            thing = rows[..., 4].sigmoid()
            classes = rows[..., 5:].sigmoid() * thing[..., None]
        animal = classes[..., list(COCO_ANIMALS)].amax(dim=2)
        named = classes[..., _PERSON + 1 :].amax(dim=2)
        guess = torch.stack((animal, named * NAMELESS, thing * BARE)).amax(dim=0)
        for mirrored in range(2):
            best = torch.maximum(animal[mirrored], guess[mirrored]).topk(_BEST).indices
            boxes = to_photo(squares[mirrored, best].numpy(), width, height, size)
            if mirrored:
                boxes = np.stack((1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]), axis=1)
            yield boxes, animal[mirrored, best].numpy(), guess[mirrored, best].numpy()
