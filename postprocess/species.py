"""From leaf probabilities to species: the leaves of one species (breeds, sexes) are one answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from contract.taxonomy import Taxonomy
from contract.tensors import TOP_K

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class SpeciesSums:
    """Leaf probabilities summed by species, in the order of ``Taxonomy.species_names``."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        species = np.asarray(taxonomy.species_of_leaf)
        self._order = np.argsort(species, kind="stable")
        self._starts = np.searchsorted(species[self._order], np.arange(len(taxonomy.species_names)))

    def of(self, leaves: Floats) -> Floats:
        """FP32 [N, leaves] -> FP32 [N, species]."""
        sums: Floats = np.add.reduceat(leaves[:, self._order], self._starts, axis=1)
        return sums


class SpeciesRanking:
    """Ranks species by the summed probability of their leaves."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._sums = SpeciesSums(taxonomy)
        self._names = np.array([name.encode() for name in taxonomy.species_names], dtype=object)
        self._species = np.asarray(taxonomy.species_of_leaf)

    def rank(self, leaves: Floats, sums: Floats | None = None) -> tuple[Ints, Floats, npt.NDArray[np.object_]]:
        """The best ``TOP_K`` species for leaf probabilities [N, leaves]; ``sums``: theirs by species, where known.

        Returns ids INT32 [N, TOP_K] (the likeliest leaf of each species), scores FP32 [N, TOP_K]
        (sum over the leaves, at most 1) and names BYTES [N, TOP_K].
        """
        sums = self._sums.of(leaves) if sums is None else sums
        rows = np.arange(len(sums))[:, None]
        best = np.argpartition(sums, -TOP_K, axis=1)[:, -TOP_K:]
        best = best[rows, np.argsort(-sums[rows, best], axis=1, kind="stable")]
        inside = self._species == best[:, :, None]
        ids = np.where(inside, leaves[:, None, :], np.float32(-1)).argmax(axis=2).astype(np.int32)
        return ids, np.minimum(sums[rows, best], np.float32(1)), self._names[best]
