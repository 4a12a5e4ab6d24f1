"""From leaf probabilities to species: the leaves of one species (breeds, sexes) are one answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from contract.taxonomy import Taxonomy
from contract.tensors import TOP_K

Floats = npt.NDArray[np.float32]


class SpeciesRanking:
    """Ranks species by the summed probability of their leaves."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        species = np.asarray(taxonomy.species_of_leaf)
        self._fold = np.zeros((len(taxonomy), len(taxonomy.species_names)), np.float32)
        self._fold[np.arange(len(taxonomy)), species] = 1
        self._names = np.array([name.encode() for name in taxonomy.species_names], dtype=object)
        self._species = species

    def rank(self, leaves: Floats) -> tuple[npt.NDArray[np.int32], Floats, npt.NDArray[np.object_]]:
        """The best ``TOP_K`` species for leaf probabilities [N, leaves].

        Returns ids INT32 [N, TOP_K] (the likeliest leaf of each species), scores FP32 [N, TOP_K]
        (sum over the leaves, at most 1) and names BYTES [N, TOP_K].
        """
        scores = leaves @ self._fold
        best = np.argpartition(-scores, TOP_K, axis=1)[:, :TOP_K]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        inside = self._species[None, None, :] == best[:, :, None]
        ids = np.where(inside, leaves[:, None, :], -1.0).argmax(axis=2).astype(np.int32)
        top = np.minimum(np.take_along_axis(scores, best, axis=1), 1.0).astype(np.float32)
        return ids, top, self._names[best]
