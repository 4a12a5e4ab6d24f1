"""Names, datatypes and shapes of every tensor between the gateway and the models.

Shapes are per photo, without the batch dimension; -1 is a variable dimension. ``export`` writes
``config.pbtxt`` from these tables, the Python models build their replies by them, and the gateway
parses by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contract.preprocessing import CHANNELS, IMAGE_SIZE

MAX_BOXES: Final = 64
"""Rows in every box tensor. Fewer animals are padded, so that replies of a batch stack."""

TOP_K: Final = 5
"""Species per box and per photo, best first."""

NO_SPECIES: Final = -1
"""Padding in species-id tensors."""

NOT_COUNTED: Final = -1
"""``COUNT`` of a release without a detector."""

MAX_BATCH: Final = 32
"""``max_batch_size`` of every model."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor: KServe v2 datatype (``FP32``, ``INT32``, ``UINT8``, ``BYTES``) and per-photo shape."""

    name: str
    datatype: str
    shape: tuple[int, ...]


PREPROCESS: Final = "preprocess"
CLASSIFIER: Final = "classifier"
ANIMALS: Final = "animals"

PHOTO: Final = TensorSpec("PHOTO", "BYTES", (1,))
"""The encoded photo as it was uploaded: input of the public model. A client may send N of them as [N, 1]."""

ENCODED: Final = TensorSpec("PHOTO", "UINT8", (-1,))
"""The same bytes as a vector of any length: input of ``preprocess``, the form that DALI's external source
takes. Lengths differ, so the model's configuration must allow a ragged batch."""

IMAGE: Final = TensorSpec("IMAGE", "UINT8", (IMAGE_SIZE, IMAGE_SIZE, CHANNELS))
"""Upright RGB pixels, 0..255, rows x columns x channels."""

STATUS: Final = TensorSpec("STATUS", "INT32", (1,))
""":class:`contract.photo_status.PhotoStatus`."""

IMAGE_WIDTH_HEIGHT: Final = TensorSpec("IMAGE_WIDTH_HEIGHT", "INT32", (2,))
"""Width and height of the upright original in pixels; 0 where they could not be read."""


def probabilities(classes: int) -> TensorSpec:
    """The classifier's answer: softmax over ``classes`` leaves in taxonomy order, sums to 1."""
    return TensorSpec("PROBABILITIES", "FP32", (classes,))


BOXES: Final = TensorSpec("BOXES", "FP32", (MAX_BOXES, 4))
"""x1, y1, x2, y2 of each animal, 0..1 of the upright photo; padded with 0."""

BOX_SCORES: Final = TensorSpec("BOX_SCORES", "FP32", (MAX_BOXES,))
"""Detection score, 0..1, best first; padded with 0."""

BOX_SPECIES_IDS: Final = TensorSpec("BOX_SPECIES_IDS", "INT32", (MAX_BOXES, TOP_K))
BOX_SPECIES_SCORES: Final = TensorSpec("BOX_SPECIES_SCORES", "FP32", (MAX_BOXES, TOP_K))

COUNT: Final = TensorSpec("COUNT", "INT32", (1,))
"""Animals found; ``NOT_COUNTED`` where the release has no detector."""

SPECIES_IDS: Final = TensorSpec("SPECIES_IDS", "INT32", (TOP_K,))
"""Leaves of the release's taxonomy (row numbers) for the whole photo, best first. Of the leaves of
one species (breeds, sexes) the likeliest stands for it."""

SPECIES_SCORES: Final = TensorSpec("SPECIES_SCORES", "FP32", (TOP_K,))
"""Probability of the *species*: the sum over its leaves."""

SPECIES_NAMES: Final = TensorSpec("SPECIES_NAMES", "BYTES", (TOP_K,))
"""Common names, UTF-8, so that a KServe v2 client needs no table."""

TIMINGS_MS: Final = TensorSpec("TIMINGS_MS", "FP32", (3,))
"""Milliseconds of wall time this photo's batch spent in the stages of ``TIMING_STAGES``."""

TIMING_STAGES: Final = ("decode", "classify", "total")

RELEASE: Final = TensorSpec("RELEASE", "BYTES", (1,))
"""Identity of the release that answered, ``name@digest``."""

PREPROCESS_INPUTS: Final = (ENCODED,)
PREPROCESS_OUTPUTS: Final = (IMAGE, STATUS, IMAGE_WIDTH_HEIGHT)
CLASSIFIER_INPUTS: Final = (IMAGE,)
ANIMALS_INPUTS: Final = (PHOTO,)
ANIMALS_OUTPUTS: Final = (
    STATUS,
    IMAGE_WIDTH_HEIGHT,
    COUNT,
    SPECIES_IDS,
    SPECIES_SCORES,
    SPECIES_NAMES,
    BOXES,
    BOX_SCORES,
    BOX_SPECIES_IDS,
    BOX_SPECIES_SCORES,
    TIMINGS_MS,
    RELEASE,
)
