"""What is sent: kinds of photos and their shares, from a folder or made here."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loadtest import scenes

TRAP_PIXELS: Final = 2_900_000
"""A photo of a folder with this many pixels or more is a camera trap's (2048 x 1536 is 3.1 MP)."""

SMALL_PIXELS: Final = 1_000_000
"""A photo with fewer is a small upload; between the two it stands for neither and is left out."""

MAX_OF_A_KIND: Final = 64
MAX_BYTES_OF_A_KIND: Final = 64 << 20
"""Bounds of what one generator holds; of a larger folder a sample is sent."""


class MixError(ValueError):
    """No such mix, or nothing to send for it; the message says what to give."""


class Kind(StrEnum):
    """What a photo stands for."""

    SMALL = "small"
    """An upload of an application, some 640 x 480 pixels."""
    TRAP = "trap"
    """A camera trap's photo, 3 to 12 megapixels."""
    BAD = "bad"
    """Cut off, garbled, no photo at all: has to be refused, and to cost nobody else anything."""


Mix = Mapping[Kind, float]


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Encoded photos by kind, those that have a share."""

    of: Mapping[Kind, tuple[bytes, ...]]
    source: str

    def facts(self) -> dict[str, dict[str, float]]:
        """How many photos of each kind there are, and their mean size in bytes."""
        return {
            kind.value: {"photos": len(photos), "mean_bytes": sum(map(len, photos)) / len(photos)}
            for kind, photos in self.of.items()
        }


def read_mix(text: str) -> dict[Kind, float]:
    """Shares from ``small=0.8,trap=0.15,bad=0.05`` (any weights, or one word). Raises MixError."""
    weights = read_weights(text, [kind.value for kind in Kind])
    return {Kind(name): share for name, share in weights.items()}


def read_weights(text: str, known: Sequence[str]) -> dict[str, float]:
    """Names with their shares, which sum to 1; a name without a number weighs 1. Raises MixError."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        try:
            weight = float(number) if equals else 1.0
        except ValueError:
            weight = math.nan
        if name not in known or name in weights or not (math.isfinite(weight) and weight >= 0):
            raise MixError(f"{part.strip()!r}: give each of {', '.join(known)} at most once with a weight, as in "
                           f"{known[0]}=0.8,{known[1]}=0.2.")  # fmt: skip
        weights[name] = weight
    total = sum(weights.values())
    if not total > 0:
        raise MixError("The weights of a mix must not all be 0.")
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def load_photos(mix: Mix, folder: Path | None, seed: int = 0) -> PhotoSet:
    """Photos for every kind of ``mix``: of ``folder`` as far as it has them, the others made here. Raises MixError.

    Subfolders called ``small``, ``trap`` and ``bad`` say which kind a photo is; elsewhere its size does, and a file
    that does not open is bad.
    """
    found = _of_folder(folder, seed) if folder is not None else {}
    small = found.get(Kind.SMALL) or (scenes.small_photos() if folder is None or Kind.TRAP not in found else ())
    made = {
        Kind.SMALL: lambda: small or tuple(map(scenes.shrunk, found[Kind.TRAP])),
        Kind.TRAP: lambda: found.get(Kind.TRAP) or scenes.trap_photos(small),
        Kind.BAD: lambda: found.get(Kind.BAD) or scenes.bad_photos((small or found[Kind.TRAP])[0]),
    }
    return PhotoSet({kind: tuple(made[kind]()) for kind in mix}, "made here" if folder is None else folder.name)


def _of_folder(folder: Path, seed: int) -> dict[Kind, tuple[bytes, ...]]:
    if not folder.is_dir():
        raise MixError(f"{folder} is no folder: give --photos a folder of photos.")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    random.Random(seed).shuffle(files)
    of: dict[Kind, list[bytes]] = {kind: [] for kind in Kind}
    room = dict.fromkeys(Kind, MAX_BYTES_OF_A_KIND)
    for path in files:
        if all(len(photos) >= MAX_OF_A_KIND for photos in of.values()):
            break
        kind = _kind_of(path, folder)
        size = path.stat().st_size
        if kind is not None and len(of[kind]) < MAX_OF_A_KIND and size <= room[kind]:
            of[kind].append(path.read_bytes())
            room[kind] -= size
    if not (of[Kind.SMALL] or of[Kind.TRAP]):
        raise MixError(f"Nothing in {folder} is a photo: give --photos a folder of photos, or leave it out.")
    return {kind: tuple(photos) for kind, photos in of.items() if photos}


def _kind_of(path: Path, folder: Path) -> Kind | None:
    """By its folder, else by its pixels; None for neither, and for what has the name of another kind of file."""
    top = path.relative_to(folder).parts[0]
    if top in tuple(Kind):
        return Kind(top)
    if path.suffix.lower() in (".txt", ".md", ".csv", ".json", ".html"):
        return None
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Kind.BAD
    return Kind.TRAP if pixels >= TRAP_PIXELS else Kind.SMALL if pixels < SMALL_PIXELS else None


def draw(shares: Sequence[float], number: int, seed: int) -> NDArray[np.int8]:
    """A place in ``shares`` for each of ``number`` photos, int8 [number]; the same for the same seed."""
    return np.random.default_rng([seed, 1]).choice(len(shares), number, p=list(shares)).astype(np.int8)
