"""The replies of one batch of ``animals``: padded tensors, cut up by request at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

from contract import tensors
from serving.models.species import SpeciesRanking


class Replies:
    """Output tensors for ``count`` photos, filled with 'nothing found' until a stage says more."""

    def __init__(self, count: int, release: bytes) -> None:
        def full(spec: tensors.TensorSpec, dtype: type, value: object) -> Any:
            return np.full((count, *spec.shape), value, dtype)

        self.status = full(tensors.STATUS, np.int32, 0)
        self.sizes = full(tensors.IMAGE_WIDTH_HEIGHT, np.int32, 0)
        self.timings_ms = full(tensors.TIMINGS_MS, np.float32, 0)
        self._species_ids = full(tensors.SPECIES_IDS, np.int32, tensors.NO_SPECIES)
        self._species_scores = full(tensors.SPECIES_SCORES, np.float32, 0)
        self._species_names = full(tensors.SPECIES_NAMES, np.object_, b"")
        self._all = {
            tensors.STATUS.name: self.status,
            tensors.IMAGE_WIDTH_HEIGHT.name: self.sizes,
            tensors.COUNT.name: full(tensors.COUNT, np.int32, tensors.NOT_COUNTED),
            tensors.SPECIES_IDS.name: self._species_ids,
            tensors.SPECIES_SCORES.name: self._species_scores,
            tensors.SPECIES_NAMES.name: self._species_names,
            tensors.BOXES.name: full(tensors.BOXES, np.float32, 0),
            tensors.BOX_SCORES.name: full(tensors.BOX_SCORES, np.float32, 0),
            tensors.BOX_SPECIES_IDS.name: full(tensors.BOX_SPECIES_IDS, np.int32, tensors.NO_SPECIES),
            tensors.BOX_SPECIES_SCORES.name: full(tensors.BOX_SPECIES_SCORES, np.float32, 0),
            tensors.TIMINGS_MS.name: self.timings_ms,
            tensors.RELEASE.name: full(tensors.RELEASE, np.object_, release),
        }

    def name_species(self, rows: list[int], ranking: SpeciesRanking, leaves: npt.NDArray[np.float32]) -> None:
        """Fill in the whole-photo species of ``rows`` from leaf probabilities [len(rows), leaves]."""
        self._species_ids[rows], self._species_scores[rows], self._species_names[rows] = ranking.rank(leaves)

    def split(self, requests: list[Any], counts: list[int]) -> list[Any]:
        """One response per request with the outputs that it asked for, ``counts`` rows each, in order."""
        ends = np.cumsum(counts)
        return [
            pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor(name, self._all[name][end - count : end])
                    for name in request.requested_output_names()
                ]
            )
            for request, count, end in zip(requests, counts, ends, strict=True)
        ]
