"""The taxonomy: every label that a release can answer is a leaf of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

NO_ANIMAL: Final = "no_animal"
"""Key of the leaf that says that no animal is in the photo."""

RANKS: Final = ("class", "order", "family", "genus", "species")
"""From broad to narrow. A leaf may leave the narrow ones empty ('some jellyfish')."""


class Depth(IntEnum):
    """How far down ``RANKS`` an answer commits itself. Part of the tensor contract: never renumber."""

    EMPTY = -2
    """There is no animal."""
    UNKNOWN = -1
    """Perhaps an animal; not even that is sure."""
    ANIMAL = 0
    """Some animal."""
    CLASS = 1
    ORDER = 2
    FAMILY = 3
    GENUS = 4
    SPECIES = 5
    """A species of the taxonomy, whatever rank its leaves define ('some jellyfish' too)."""

    @property
    def rank(self) -> str:
        """``empty``, ``unknown``, ``animal`` or the name in ``RANKS``."""
        return self.name.lower()


COLUMNS: Final = ("leaf", *RANKS, "common_name", "variety", "imagenet_row")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One row: scientific names by rank ('' where undefined), the name people use, the breed if any."""

    index: int
    key: str
    ranks: tuple[str, str, str, str, str]
    common_name: str
    variety: str
    imagenet_row: int | None
    """Row in the base network's 1,001 outputs that this leaf is, or None."""

    @property
    def rank(self) -> str:
        """Name of the narrowest defined rank; '' for ``no_animal``."""
        return next((name for name, value in zip(RANKS[::-1], self.ranks[::-1], strict=True) if value), "")

    @property
    def scientific_name(self) -> str:
        """Name at the narrowest defined rank; '' for ``no_animal``."""
        return next((value for value in self.ranks[::-1] if value), "")


class TaxonomyError(ValueError):
    """A taxonomy file breaks a rule; the message names the line."""


class Taxonomy(Sequence[Leaf]):
    """All leaves in output order. Immutable; leaf ``i`` is output ``i`` of the classifier."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self._leaves = tuple(leaves)
        self._by_key: Mapping[str, Leaf] = {leaf.key: leaf for leaf in self._leaves}
        if len(self._by_key) != len(self._leaves):
            raise TaxonomyError("Two leaves share a key; keys must be unique.")
        self.species_names: tuple[str, ...] = tuple(dict.fromkeys(leaf.common_name for leaf in self._leaves))
        """Common names of all distinct species, in order of first appearance."""
        place = {name: i for i, name in enumerate(self.species_names)}
        self.species_of_leaf: tuple[int, ...] = tuple(place[leaf.common_name] for leaf in self._leaves)
        """For each leaf the place of its species in ``species_names``: breeds share one."""

    def __len__(self) -> int:
        return len(self._leaves)

    def __iter__(self) -> Iterator[Leaf]:
        return iter(self._leaves)

    def __getitem__(self, index: int) -> Leaf:  # type: ignore[override]  # no slices: nobody takes one
        return self._leaves[index]

    def by_key(self, key: str) -> Leaf:
        """The leaf called ``key``; KeyError if there is none."""
        return self._by_key[key]

    def __contains__(self, key: object) -> bool:
        return key in self._by_key


def parse_taxonomy(text: str) -> Taxonomy:
    """Read a taxonomy CSV with the columns ``COLUMNS``. Raises TaxonomyError naming the line."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise TaxonomyError(f"A taxonomy starts with the header {','.join(COLUMNS)}.")
    leaves: list[Leaf] = []
    for line, row in enumerate(reader, start=2):
        ranks = tuple(row[rank] for rank in RANKS)
        if not row["leaf"] or not row["common_name"]:
            raise TaxonomyError(f"Line {line}: a leaf needs a key and a common name.")
        number = row["imagenet_row"]
        leaves.append(
            Leaf(
                index=len(leaves),
                key=row["leaf"],
                ranks=ranks,  # type: ignore[arg-type]  # five by construction
                common_name=row["common_name"],
                variety=row["variety"],
                imagenet_row=int(number) if number else None,
            )
        )
    if not leaves or leaves[-1].key != NO_ANIMAL:
        raise TaxonomyError(f"The last leaf must be {NO_ANIMAL}.")
    return Taxonomy(leaves)
