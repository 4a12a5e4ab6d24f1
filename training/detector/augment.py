"""Random scenes for training: one photo scaled and shifted, or several side by side, in many looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from contract.preprocessing import SCENE_SIZE
from imaging.decode import Pixels
from imaging.letterbox import Boxes, fitted
from training.detector.canvas import Canvas, View
from training.detector.scenes import Read, Scene, whole_photo

LAYOUTS: Final = ((1, 2), (2, 1), (2, 2), (2, 2), (2, 3), (3, 2), (3, 3), (4, 4), (5, 5))
"""Rows and columns of a mosaic (Bochkovskiy et al., "YOLOv4", 2020, section 3.3, has two of each)."""

MOSAIC_SHARE: Final = 0.5

SERVED_SHARE: Final = 0.35
"""Single photos that stand exactly where serving puts them; the others are scaled and shifted."""

ZOOM: Final = (0.4, 1.6)
"""Scale of a single photo, 1 being the one that fits."""

STRETCH: Final = (0.8, 1.25)
"""Width to height, 1 being the photo's own."""

COVER_ZOOM: Final = (0.75, 1.5)
"""Scale of a photo in a mosaic, 1 being the one that covers its tile."""

CLOSE: Final = (1.05, 1.6)
"""Side of what is shown to the animal's, where a tile of a mosaic is drawn close around one animal."""

STICKERS: Final = (1, 7)
"""Cut-outs that are pasted on a photo: the photos here show animals near by, a herd far away has to be made."""

STICKER_SIDE: Final = (20.0, 140.0)
"""Longer side of a cut-out in pixels; those on one photo are of like size."""

HIDDEN: Final = 0.5
"""Largest share of an animal that a cut-out may hide."""

LUMA: Final = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601)."""

_STICKERS_SHARE = 0.4
_CLOSE_SHARE = 0.4
_SHOWING_SHARE = 0.85
_GREY_SHARE = 0.15
_DEGRADED_SHARE = 0.15
_NOISE_SHARE = 0.4

Pair = npt.NDArray[np.float64]
"""x and y."""


def random_view(scene: Scene, others: Sequence[Scene], read: Read, rng: np.random.Generator, *, mosaics: bool) -> View:
    """A view of ``scene``, beside some of ``others`` if it is a mosaic."""
    canvas = Canvas()
    if mosaics and rng.random() < MOSAIC_SHARE:
        _mosaic(canvas, scene, others, read, rng)
    else:
        _single(canvas, scene, read, rng)
        if rng.random() < _STICKERS_SHARE:
            _stickers(canvas, others, read, rng)
    view = canvas.view()
    return replace(view, pixels=_looks(view.pixels, rng))


def _turned(scene: Scene, read: Read, rng: np.random.Generator) -> tuple[Scene, Pixels]:
    """A scene and its photo, every other time mirrored."""
    photo = read(scene.photo)
    if rng.random() < 0.5:
        return scene, photo
    mirrored = replace(scene, boxes=_mirrored(scene.boxes), unclear=_mirrored(scene.unclear))
    return mirrored, np.ascontiguousarray(photo[:, ::-1])


def _mirrored(boxes: Boxes) -> Boxes:
    return np.stack((1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]), axis=1)


def _single(canvas: Canvas, scene: Scene, read: Read, rng: np.random.Generator) -> None:
    scene, photo = _turned(scene, read, rng)
    size = np.array(fitted(photo.shape[1], photo.shape[0]), np.float64)
    corner = np.zeros(2)
    if rng.random() >= SERVED_SHARE:
        size *= np.exp(rng.uniform(*np.log(ZOOM))) * np.exp(rng.uniform(*np.log(STRETCH))) ** np.array([0.5, -0.5])
        room = SCENE_SIZE - size
        corner = rng.uniform(np.minimum(0, room), np.maximum(0, room))
        if len(scene.boxes) and rng.random() < _SHOWING_SHARE:
            animal = SCENE_SIZE / 2 - _some_centre(scene, rng) * size + rng.uniform(-0.35, 0.35, 2) * SCENE_SIZE
            corner = np.where(room < 0, np.clip(animal, np.minimum(0, room), 0), corner)
    whole = np.array([0, 0, SCENE_SIZE, SCENE_SIZE], np.float32)
    canvas.paste(scene, photo, np.concatenate((corner, corner + size)).astype(np.float32), whole)


def _mosaic(canvas: Canvas, scene: Scene, others: Sequence[Scene], read: Read, rng: np.random.Generator) -> None:
    rows, columns = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
    across, down = _cuts(columns, rng), _cuts(rows, rng)
    tiles = [(x, y) for y in range(rows) for x in range(columns)]
    mine = int(rng.integers(len(tiles)))
    for number, (x, y) in enumerate(tiles):
        chosen = scene if number == mine else others[int(rng.integers(len(others)))]
        shown, photo = _turned(chosen, read, rng)
        tile = np.array([across[x], down[y], across[x + 1], down[y + 1]], np.float32)
        canvas.paste(shown, photo, _covering(shown, photo, tile, rng), tile)


def _stickers(canvas: Canvas, others: Sequence[Scene], read: Read, rng: np.random.Generator) -> None:
    """Animals and things cut out of other photos, with little around them."""
    side = float(np.exp(rng.uniform(*np.log(STICKER_SIDE))))
    for _ in range(int(rng.integers(STICKERS[0], STICKERS[1] + 1))):
        shown, photo = _turned(others[int(rng.integers(len(others)))], read, rng)
        if not shown.surely:
            continue
        box = shown.boxes[int(rng.integers(len(shown.boxes)))] if len(shown.boxes) else whole_photo()[0]
        sides = np.array([photo.shape[1], photo.shape[0]], np.float64)
        around = np.maximum((box[2:] - box[:2]) * sides * rng.uniform(*CLOSE), 1)
        scale = min(1.0, side * rng.uniform(0.8, 1.25) / float(around.max()))
        size = np.maximum(np.round(around * scale), 4)
        low = np.round(rng.uniform(0, SCENE_SIZE - size))
        corner = low + size / 2 - (box[:2] + box[2:]) / 2 * sides * scale
        tile = np.concatenate((low, low + size)).astype(np.float32)
        if canvas.hidden(tile) <= HIDDEN:
            canvas.paste(shown, photo, np.concatenate((corner, corner + sides * scale)).astype(np.float32), tile)


def _cuts(parts: int, rng: np.random.Generator) -> list[int]:
    """Where a side is cut: ``parts`` pieces of unequal length."""
    lengths = rng.uniform(0.6, 1.4, parts)
    return [0, *(np.cumsum(lengths / lengths.sum()) * SCENE_SIZE).round().astype(int).tolist()]


def _covering(scene: Scene, photo: Pixels, tile: Boxes, rng: np.random.Generator) -> Boxes:
    """Where the whole photo lies, FP32 [4], so that the tile shows a good part of it, often close around an animal."""
    size = (tile[2:] - tile[:2]).astype(np.float64)
    sides = np.array([photo.shape[1], photo.shape[0]], np.float64)
    scale = float((size / sides).max()) * float(np.exp(rng.uniform(*np.log(COVER_ZOOM))))
    focus = rng.uniform(0.3, 0.7, 2)
    if len(scene.boxes):
        box = scene.boxes[int(rng.integers(len(scene.boxes)))]
        focus = (box[:2] + box[2:]) / 2
        if rng.random() < _CLOSE_SHARE:
            around = np.maximum((box[2:] - box[:2]) * sides * rng.uniform(*CLOSE), 1)
            scale = float((size / around).min())
    shown = sides * scale
    corner = (tile[:2] + tile[2:]) / 2 + rng.uniform(-0.1, 0.1, 2) * size - focus * shown
    return np.asarray(np.concatenate((corner, corner + shown)), np.float32)


def _some_centre(scene: Scene, rng: np.random.Generator) -> Pair:
    box = scene.boxes[int(rng.integers(len(scene.boxes)))]
    return np.asarray((box[:2] + box[2:]) / 2, np.float64)


def _looks(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness, contrast, saturation; sometimes grey, as infrared camera traps are; sometimes noisy or coarse."""
    middle = float(pixels[::4, ::4].mean())
    saturation = 0.0 if rng.random() < _GREY_SHARE else rng.uniform(0.5, 1.5)
    tint = rng.uniform(0.92, 1.08, 3) if saturation > 0 else np.ones(3)
    contrast, light = rng.uniform(0.7, 1.3), rng.uniform(0.6, 1.35)
    mix = (saturation * np.eye(3) + (1 - saturation) * np.array(LUMA)) * tint[:, None] * contrast
    shift = np.full((3, 1), middle * (light - contrast))
    result = np.asarray(cv2.transform(pixels, np.concatenate((mix, shift), axis=1)), np.uint8)
    return _degraded(result, rng) if rng.random() < _DEGRADED_SHARE else result


def _degraded(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The noise of a dark night, or fewer pixels and a coarse JPEG."""
    if rng.random() < _NOISE_SHARE:
        noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(4, 16))
        return np.asarray(np.clip(pixels + noise, 0, 255), np.uint8)
    side = int(rng.integers(SCENE_SIZE // 4, SCENE_SIZE))
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 75))])
    coarse = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if coarse is None:
        raise AssertionError("OpenCV cannot read the JPEG that it has just written.")
    return np.asarray(cv2.resize(coarse, (SCENE_SIZE, SCENE_SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
