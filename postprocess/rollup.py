"""As narrow an answer as the probabilities allow: a species, else an ancestor, else 'unknown'.

Also the conformal set beside it: every species that is likely enough, so that the truth is among them
with a stated probability (Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers with
Bounded Error Levels", Journal of the American Statistical Association 114, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from contract.taxonomy import NO_ANIMAL, RANKS, Depth, Taxonomy
from contract.tensors import NO_SPECIES, TOP_K
from postprocess.species import Floats, Ints, SpeciesSums

NARROWEST_FIRST: Final = tuple(depth for depth in sorted(Depth, reverse=True) if depth != Depth.EMPTY)
"""The depths of which one is answered, in the order in which they are tried; UNKNOWN is always sure enough."""

_GROUPED: Final = (Depth.GENUS, Depth.FAMILY, Depth.ORDER, Depth.CLASS)
"""Depths at which several species share a name."""

_DEPTHS: Final = np.array(NARROWEST_FIRST, np.int32)

Threshold = float | Floats
"""One for all photos, or FP32 [N], one for each."""


class RollUp:
    """Taxa from leaf probabilities, for one taxonomy. Without state between calls."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._sums = SpeciesSums(taxonomy)
        self._species_of_leaf = np.asarray(taxonomy.species_of_leaf)
        self._none = taxonomy.species_of_leaf[taxonomy.by_key(NO_ANIMAL).index]
        if self._none != len(taxonomy.species_names) - 1:
            raise AssertionError("no_animal is the last leaf and shares its name with none, so it is the last species.")
        self._group_of_species = {depth: _groups(taxonomy, depth) for depth in _GROUPED}
        flat = [np.flatnonzero(of == group) for of in self._group_of_species.values() for group in range(of.max() + 1)]
        self._members = np.concatenate(flat)
        self._starts = np.cumsum([0, *map(len, flat)])[:-1]
        sizes = [int(of.max()) + 1 for of in self._group_of_species.values()]
        self._rank_starts = np.cumsum([0, *sizes])
        self._group_of_leaf = [of[self._species_of_leaf] for of in self._group_of_species.values()]

    def answer(
        self, leaves: Floats, sure_from: Threshold, empty_from: Threshold, sums: Floats | None = None
    ) -> tuple[Ints, Floats]:
        """The taxon for each row of leaf probabilities FP32 [N, leaves]; ``sums``: theirs by species, where known.

        Returns INT32 [N, 2], a leaf and a :class:`contract.taxonomy.Depth` as ``contract.tensors.TAXON`` has
        them, and its probability FP32 [N]. The rule:

        - ``no_animal`` is the best species and has ``empty_from`` or more: EMPTY.
        - Else the narrowest depth at which the best group has ``sure_from`` or more. A group is a species, or
          all species of one genus, family, order or class, or all animals. Species that leave a rank undefined
          belong to no group there, but to the next broader one that they define. The leaf is the group's
          likeliest; for ANIMAL it is ``NO_SPECIES``.
        - Else UNKNOWN, with the probability that it is an animal at all.

        A higher ``sure_from`` never makes an answer narrower. From 0.5 on two groups of one depth cannot both
        be sure, so a higher ``sure_from`` answers the same taxon or one that contains it; below 0.5 the best
        genus need not be that of the best species.
        """
        species = self._sums.of(leaves) if sums is None else sums
        animals, none = species[:, :-1], species[:, -1]
        groups = np.add.reduceat(species[:, self._members], self._starts, axis=1)
        best = np.empty((len(leaves), len(NARROWEST_FIRST)), np.float32)
        best[:, 0] = animals.max(axis=1)
        best[:, 1:-2] = np.maximum.reduceat(groups, self._rank_starts[:-1], axis=1)
        best[:, -2:] = 1 - none[:, None]
        sure = best >= np.reshape(sure_from, (-1, 1))
        sure[:, -1] = True
        place = sure.argmax(axis=1)
        score = best[np.arange(len(leaves)), place]
        taxon = np.full((len(leaves), 2), NO_SPECIES, np.int32)
        taxon[:, 1] = _DEPTHS[place]
        empty = (none >= best[:, 0]) & (none >= empty_from)
        taxon[empty, 1] = Depth.EMPTY
        score[empty] = none[empty]
        for row in np.flatnonzero(taxon[:, 1] >= Depth.CLASS):
            inside = self._inside(int(place[row]), animals[row], groups[row])
            taxon[row, 0] = np.where(inside, leaves[row], -1).argmax()
        return taxon, np.minimum(np.maximum(score, 0), 1)

    def _inside(self, place: int, animals: Floats, groups: Floats) -> npt.NDArray[np.bool_]:
        """BOOL [leaves]: the best group at a depth, for one row."""
        if place == 0:
            of, best = self._species_of_leaf, animals.argmax()
        else:
            of = self._group_of_leaf[place - 1]
            best = groups[self._rank_starts[place - 1] : self._rank_starts[place]].argmax()
        return np.equal(of, best)

    def alternatives(self, leaves: Floats, alternatives_from: float, sums: Floats | None = None) -> Ints:
        """The conformal set of each row of FP32 [N, leaves], as ``contract.tensors.ALTERNATIVES`` has it; ``sums`` as
        above.

        In it are the species that have ``alternatives_from`` or more, ``no_animal`` among them, and always the
        best one. Returns INT32 [N, 3]: the size; if it is more than ``TOP_K`` the narrowest taxon that holds
        the whole set as its likeliest leaf and its depth (UNKNOWN where ``no_animal`` is in the set), otherwise
        ``NO_SPECIES`` and UNKNOWN.
        """
        species = self._sums.of(leaves) if sums is None else sums
        chosen = species >= alternatives_from
        result = np.full((len(leaves), 3), NO_SPECIES, np.int32)
        result[:, 0] = np.maximum(chosen.sum(axis=1), 1)
        result[:, 2] = Depth.UNKNOWN
        for row in np.flatnonzero(result[:, 0] > TOP_K):
            result[row, 2] = depth = self._common(np.flatnonzero(chosen[row]))
            if depth >= Depth.CLASS:
                result[row, 1] = np.where(chosen[row][self._species_of_leaf], leaves[row], -1).argmax()
        return result

    def _common(self, species: npt.NDArray[np.intp]) -> Depth:
        """The narrowest depth at which all of the species are one group."""
        if species[-1] == self._none:
            return Depth.UNKNOWN
        for depth, group in self._group_of_species.items():
            first = group[species[0]]
            if first >= 0 and (group[species] == first).all():
                return depth
        return Depth.ANIMAL


def _groups(taxonomy: Taxonomy, depth: Depth) -> npt.NDArray[np.intp]:
    """For each species the number of its group at a depth; -1 where its leaves leave that rank undefined.

    Raises ValueError if the leaves of one species lie in different groups.
    """
    rank = RANKS.index(depth.rank)
    names: list[str | None] = [None] * len(taxonomy.species_names)
    for leaf, species in zip(taxonomy, taxonomy.species_of_leaf, strict=True):
        if names[species] not in (None, leaf.ranks[rank]):
            raise ValueError(f"{leaf.key}: the leaves of {leaf.common_name} differ in their {depth.rank}.")
        names[species] = leaf.ranks[rank]
    return np.array(_numbered(names), np.intp)


def _numbered(names: Sequence[str | None]) -> list[int]:
    """Equal names -> equal numbers from 0 on, in order of first appearance; '' -> -1."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(name for name in names if name))}
    return [numbers[name] if name else -1 for name in names]
