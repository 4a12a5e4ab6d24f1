"""The detector as one self-contained ONNX file with a dynamic batch, and the gate in front of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch

from contract.photo_status import PhotoError
from contract.tensors import DETECTIONS, MAX_BATCH, SCENE
from export.errors import ParityError
from export.onnx_graph import forget_origins
from export.parity import BATCHES, FROM_MANIFEST
from imaging.decode import Pixels
from training.dataset import read_manifest
from training.detector.predict import Detect, load_checkpoint, served_scene

MAX_SCORE_DIFFERENCE: Final = 1e-4
"""Largest difference of scores. FP32 kernels of two runtimes differ by about 1e-6 here."""

MAX_BOX_DIFFERENCE: Final = 1e-3
"""Largest difference of an edge, as a share of the square: less than half a pixel."""

COMPARED_FROM: Final = 0.05
"""Boxes are compared from this score on, well below any threshold, and above the score of the last row:
which of equals is the last to get a row is chance."""


def write_detector_onnx(checkpoint: Path, file: Path) -> None:
    """Export a checkpoint of ``fit-detector`` to ``file``: UINT8 ``SCENE`` -> FP32 ``DETECTIONS``, batch 1 to 32.

    The best candidates are chosen in the graph; non-maximum suppression is not, since its output has
    no fixed shape. The same weights give the same bytes everywhere. Raises CheckpointError.
    """
    example = torch.zeros((2, *SCENE.shape), dtype=torch.uint8)
    program = torch.onnx.export(
        load_checkpoint(checkpoint),
        (example,),
        dynamo=True,
        input_names=[SCENE.name],
        output_names=[DETECTIONS.name],
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}},
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise AssertionError("torch.onnx.export(dynamo=True) returns a program.")
    model = program.model_proto
    forget_origins(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(file))


def parity_scenes(data: Path) -> list[Pixels]:
    """Real photos of many sizes as UINT8 [416, 416, 3]: all readable ones of photos/, some of the manifest."""
    manifest = read_manifest(data)
    files = sorted((data / "photos").glob("*"))
    files += [data / photo.path for photo in manifest[:: max(1, len(manifest) // FROM_MANIFEST)]]
    scenes = []
    for file in files:
        try:
            scenes.append(served_scene(file.read_bytes()))
        except PhotoError:
            continue  # photos/ holds a truncated one on purpose
    return scenes


def check_detector_parity(network: Detect, exported: Detect, scenes: list[Pixels]) -> tuple[float, float]:
    """Compare both on all scenes in every batch size of ``export.parity.BATCHES``.

    Returns the largest differences of a score and of an edge that were found. Raises ParityError,
    saying what differs, if a score differs by ``MAX_SCORE_DIFFERENCE`` or more, or a box that counts
    has no counterpart.
    """
    worst_score = worst_edge = 0.0
    for size in BATCHES:
        for start in range(0, len(scenes), size):
            pixels = np.stack(scenes[start : start + size])
            wanted, got = network(pixels), exported(pixels)
            if wanted.shape != got.shape:
                raise ParityError(f"The exported graph answers {got.shape}, the network {wanted.shape}.")
            where = f"scene {start} in batches of {size}"
            score = float(np.abs(wanted[..., 4] - got[..., 4]).max())
            if not score < MAX_SCORE_DIFFERENCE:
                raise ParityError(f"Scores differ by {score:.2g} on {where}. Nothing was released.")
            edge = max(_farthest(*pair) for pair in zip(wanted, got, strict=True))
            if not edge < MAX_BOX_DIFFERENCE:
                raise ParityError(f"A box has no counterpart within {edge:.2g} on {where}. Nothing was released.")
            worst_score, worst_edge = max(worst_score, score), max(worst_edge, edge)
    return worst_score, worst_edge


def _farthest(wanted: npt.NDArray[np.float32], got: npt.NDArray[np.float32]) -> float:
    """How far the edges of the boxes that count, FP32 [300, 5], lie from the nearest box of like score."""
    counting = wanted[wanted[:, 4] >= max(COMPARED_FROM, wanted[-1, 4] + MAX_SCORE_DIFFERENCE)]
    if not len(counting):
        return 0.0
    apart = np.abs(counting[:, None, :4] - got[None, :, :4]).max(axis=2)
    apart[np.abs(counting[:, None, 4] - got[None, :, 4]) >= MAX_SCORE_DIFFERENCE] = np.inf
    return float(apart.min(axis=1).max())
