"""How far DALI's pixels are from the shrink-on-load decoder's, and how often that changes the answer."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from contract.photo_status import PhotoError, PhotoStatus
from contract.taxonomy import Taxonomy
from export.errors import DaliError
from imaging.decode import Pixels, decode_photo
from training.dataset import read_manifest
from training.evaluate import Figures, Predict, Progress

MAX_CHANGED: Final = 0.005
"""Largest share of photos whose best species may be another one under DALI."""

PIPELINE: Final = Path(__file__).with_name("dali_pipeline.py")


def dali_installed() -> bool:
    """Whether the comparison can be made here."""
    return importlib.util.find_spec("nvidia.dali") is not None


class DaliDecoder:
    """The pipeline of the model ``preprocess`` on this CPU, one photo at a time."""

    def __init__(self) -> None:
        """Raises DaliError where DALI is not installed."""
        if not dali_installed():
            raise DaliError("NVIDIA DALI is not installed: `make install-dali`, then try again.")
        self._pipeline = self._build()

    def __call__(self, photo: bytes) -> tuple[Pixels, Pixels, Pixels] | None:
        """IMAGE, SCENE and VIEW of one photo (``contract.tensors``); None if DALI does not read it."""
        try:
            self._pipeline.feed_input("PHOTO", [np.frombuffer(photo, np.uint8)])
            outputs = self._pipeline.run()
        except RuntimeError:  # DALI's only error type; the pipeline is unusable after it
            self._pipeline = self._build()
            return None
        image, scene, view, _ = (np.asarray(output.at(0)) for output in outputs)
        return image, scene, view

    def _build(self) -> Any:
        pipeline = _module().preprocess_pipeline(
            decoder_device="cpu",
            device_id=None,
            batch_size=1,
            num_threads=1,
            prefetch_queue_depth=1,
            exec_async=False,
            exec_pipelined=False,
        )
        pipeline.build()
        return pipeline


def compare(data: Path, network: Predict, taxonomy: Taxonomy, progress: Progress) -> Figures:
    """Decode every photo of the manifest and of photos/ that is whole with both decoders and name both results.

    Returns the number of photos, the share whose best species differs, and of the pixels of IMAGE (0..255) the
    largest and the mean difference. Raises DaliError if DALI is missing or ``MAX_CHANGED`` is passed.
    """
    decoder = DaliDecoder()
    species = np.asarray(taxonomy.species_of_leaf)
    photos = list(_files(data))
    changed, worst, differences, compared = 0, 0.0, [], 0
    for number, file in enumerate(photos):
        if (pair := _both(file.read_bytes(), decoder)) is not None:
            ours, theirs = pair
            difference = np.abs(ours.astype(np.int16) - theirs)
            worst = max(worst, float(difference.max()))
            differences.append(float(difference.mean()))
            best = [species[network(pixels[None])[0].argmax()] for pixels in pair]
            changed += int(best[0] != best[1])
            compared += 1
        progress("dali: photos", number + 1, len(photos))
    share = changed / compared
    if share > MAX_CHANGED:
        raise DaliError(f"DALI changes the best species of {share:.2%} of {compared} photos; {MAX_CHANGED:.1%} may.")
    return {
        "dali.photos": float(compared),
        "dali.changed": share,
        "dali.largest_difference": worst,
        "dali.mean_difference": float(np.mean(differences)),
    }


def _both(photo: bytes, decoder: DaliDecoder) -> tuple[Pixels, Pixels] | None:
    """IMAGE by both decoders; None for a photo that is not sent to DALI (cut off, damaged, no plain JPEG)."""
    try:
        ours = decode_photo(photo)
    except PhotoError:
        return None
    if ours.status is not PhotoStatus.OK or not photo.startswith(b"\xff\xd8"):
        return None
    theirs = decoder(photo)
    return None if theirs is None else (ours.pixels, theirs[0])


def _files(data: Path) -> Iterator[Path]:
    yield from sorted(file for file in (data / "photos").glob("*") if file.is_file())
    for photo in read_manifest(data):
        yield data / photo.path


def _module() -> ModuleType | Any:
    spec = importlib.util.spec_from_file_location("bestiary_dali_pipeline", PIPELINE)
    if spec is None or spec.loader is None:
        raise AssertionError(f"{PIPELINE} is part of the package.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
