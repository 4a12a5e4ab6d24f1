"""Names, datatypes and shapes of every tensor between the gateway and the models.

Shapes are per photo, without the batch dimension; -1 is a variable dimension. ``export`` writes
``config.pbtxt`` from these tables, the Python models build their replies by them, and the gateway
parses by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contract.preprocessing import CHANNELS, IMAGE_SIZE, SCENE_SIZE, VIEW_SIZE
from contract.taxonomy import Depth

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
DETECTOR: Final = "detector"
CLASSIFIER: Final = "classifier"
ANIMALS: Final = "animals"

DECODER: Final = "decoder"
"""Parameter of ``animals`` in its configuration: who decodes, ``inline`` (itself) or ``preprocess``."""


def network_file(network: str) -> str:
    """Parameter of ``animals`` that names the ONNX file of a network it runs itself; absent, it calls the model."""
    return f"{network}_file"


def network_engine(network: str) -> str:
    """Parameter of ``animals`` that names the engine of such a network: ``onnxruntime`` (also if absent),
    ``openvino``, or ``openvino-bf16``. docs/engines.md compares them."""
    return f"{network}_engine"


def network_bf16_file(network: str) -> str:
    """Parameter of ``animals`` that names the float32 file which ``openvino-bf16`` runs in place of the other two
    parameters' choice, where the processor has AMX for bfloat16."""
    return f"{network}_bf16_file"


PHOTO: Final = TensorSpec("PHOTO", "BYTES", (1,))
"""The encoded photo as it was uploaded: input of the public model. A client may send N of them as [N, 1]."""

ENCODED: Final = TensorSpec("PHOTO", "UINT8", (-1,))
"""The same bytes as a vector of any length: input of ``preprocess``, the form that DALI's external source
takes. Lengths differ, so the model's configuration must allow a ragged batch."""

IMAGE: Final = TensorSpec("IMAGE", "UINT8", (IMAGE_SIZE, IMAGE_SIZE, CHANNELS))
"""Upright RGB pixels, 0..255, rows x columns x channels."""

SCENE: Final = TensorSpec("SCENE", "UINT8", (SCENE_SIZE, SCENE_SIZE, CHANNELS))
"""The whole upright photo as RGB 0..255, scaled to fit and placed top left (:mod:`imaging.letterbox`)."""

VIEW: Final = TensorSpec("VIEW", "UINT8", (VIEW_SIZE, VIEW_SIZE, CHANNELS))
"""As ``SCENE`` and larger: what animals are cut out of. Only ``preprocess`` has it as a tensor."""

MAX_CANDIDATES: Final = 300
"""Rows of ``DETECTIONS``: the best boxes before those that show the same animal are thrown out."""

DETECTIONS: Final = TensorSpec("DETECTIONS", "FP32", (MAX_CANDIDATES, 5))
"""x1, y1, x2, y2 as shares of the ``SCENE`` square (may reach outside it), then the score 0..1; best first."""

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

BOX_TAXON: Final = TensorSpec("BOX_TAXON", "INT32", (MAX_BOXES, 2))
"""As ``TAXON``, for each box."""

BOX_TAXON_SCORE: Final = TensorSpec("BOX_TAXON_SCORE", "FP32", (MAX_BOXES,))

BOX_ALTERNATIVES: Final = TensorSpec("BOX_ALTERNATIVES", "INT32", (MAX_BOXES, 3))
"""As ``ALTERNATIVES``, for each box."""

COUNT: Final = TensorSpec("COUNT", "INT32", (1,))
"""Animals found; ``NOT_COUNTED`` where nobody asked for it, or where the release has no detector."""

SPECIES_IDS: Final = TensorSpec("SPECIES_IDS", "INT32", (TOP_K,))
"""Leaves of the release's taxonomy (row numbers) for the whole photo, best first. Of the leaves of
one species (breeds, sexes) the likeliest stands for it."""

SPECIES_SCORES: Final = TensorSpec("SPECIES_SCORES", "FP32", (TOP_K,))
"""Probability of the *species*: the sum over its leaves."""

SPECIES_NAMES: Final = TensorSpec("SPECIES_NAMES", "BYTES", (TOP_K,))
"""Common names, UTF-8, so that a KServe v2 client needs no table."""

TAXON: Final = TensorSpec("TAXON", "INT32", (2,))
"""The answer for the whole photo: a leaf, and the :class:`contract.taxonomy.Depth` down to which its names are
meant. (lion, GENUS) is 'some Panthera'; below ``Depth.CLASS`` the leaf says nothing and is ``NO_SPECIES``."""

TAXON_SCORE: Final = TensorSpec("TAXON_SCORE", "FP32", (1,))
"""Probability of that answer: the sum over all leaves that it covers."""

ALTERNATIVES: Final = TensorSpec("ALTERNATIVES", "INT32", (3,))
"""A set that contains the truth with the release's stated probability: its size n, then a leaf and a depth.
1 <= n <= ``TOP_K``: the first n of ``SPECIES_IDS``. n > ``TOP_K``: too many to list, and all of them lie under the
taxon (leaf, depth). 0: nobody asked, or there is nothing to name."""

TIMING_STAGES: Final = ("decode", "detect", "classify", "total")

TIMINGS_MS: Final = TensorSpec("TIMINGS_MS", "FP32", (len(TIMING_STAGES),))
"""Milliseconds of wall time this photo's batch spent in the stages of ``TIMING_STAGES``."""

RELEASE: Final = TensorSpec("RELEASE", "BYTES", (1,))
"""Identity of the release that answered, ``name@digest``."""

PREPROCESS_INPUTS: Final = (ENCODED,)
PREPROCESS_OUTPUTS: Final = (IMAGE, SCENE, VIEW, IMAGE_WIDTH_HEIGHT)
DETECTOR_INPUTS: Final = (SCENE,)
DETECTOR_OUTPUTS: Final = (DETECTIONS,)
CLASSIFIER_INPUTS: Final = (IMAGE,)
ANIMALS_INPUTS: Final = (PHOTO,)
ANIMALS_OUTPUTS: Final = (
    STATUS,
    IMAGE_WIDTH_HEIGHT,
    COUNT,
    SPECIES_IDS,
    SPECIES_SCORES,
    SPECIES_NAMES,
    TAXON,
    TAXON_SCORE,
    ALTERNATIVES,
    BOXES,
    BOX_SCORES,
    BOX_SPECIES_IDS,
    BOX_SPECIES_SCORES,
    BOX_TAXON,
    BOX_TAXON_SCORE,
    BOX_ALTERNATIVES,
    TIMINGS_MS,
    RELEASE,
)

BOX_OUTPUTS: Final = frozenset(spec.name for spec in ANIMALS_OUTPUTS if spec.shape[0] == MAX_BOXES)
"""Outputs about boxes, which nobody needs for ``Task.SPECIES``."""

SPECIES_OUTPUTS: Final = tuple(spec for spec in ANIMALS_OUTPUTS if spec.name not in BOX_OUTPUTS)
"""What is asked for with ``Task.SPECIES``."""

_NO_TAXON: Final = (NO_SPECIES, int(Depth.UNKNOWN))

NOTHING: Final = {
    COUNT.name: (NOT_COUNTED,),
    SPECIES_IDS.name: (NO_SPECIES,),
    TAXON.name: _NO_TAXON,
    ALTERNATIVES.name: (0, *_NO_TAXON),
    BOX_SPECIES_IDS.name: (NO_SPECIES,),
    BOX_TAXON.name: _NO_TAXON,
    BOX_ALTERNATIVES.name: (0, *_NO_TAXON),
}
"""By output of ``animals``, what stands where nothing was found or asked for, repeated to fill; 0 elsewhere."""
