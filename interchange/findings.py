"""What a record says: which animals, how many, where. Every format and every table reads records through this,
so that all of them say the same of a photo, whichever task it was asked for and whichever version wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from contract.record import Box, Record, SpeciesScore, Taxon, Verdict
from contract.taxonomy import NO_ANIMAL, RANKS

ANIMAL: Final = "animal"
UNKNOWN: Final = "unknown"
SPECIES: Final = "species"

Key = tuple[str, str]
"""Rank and name of a taxon: what makes two answers the same."""

_FIELDS: Final = ("class_", *RANKS[1:])
"""Attributes of a taxon in the order of ``contract.taxonomy.RANKS``."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer and how many animals it is about: None where nobody counted. ``box`` where there is one."""

    taxon: Taxon
    count: int | None
    box: Box | None = None

    @property
    def key(self) -> Key:
        """Of its taxon."""
        return key(self.taxon)


def findings(record: Record) -> tuple[Finding, ...]:
    """One finding a box; without boxes one for the whole photo; none for an empty photo."""
    if record.boxes:
        return tuple(Finding(_answer(box.taxon, box.species, box.score), 1, box) for box in record.boxes)
    if record.verdict is Verdict.EMPTY:
        return ()
    return (Finding(answer(record) or _broad(UNKNOWN, 0.0), record.count or None),)


def answer(record: Record) -> Taxon | None:
    """What the whole photo shows; None if it is empty. Records of schema version 1 have a best species instead."""
    if record.verdict is Verdict.EMPTY:
        return None
    if record.verdict is Verdict.UNKNOWN and record.taxon is None:
        return _broad(UNKNOWN, record.species[0].score if record.species else 0.0)
    return _answer(record.taxon, record.species, max((box.score for box in record.boxes), default=0.0))


def _answer(taxon: Taxon | None, species: Iterable[SpeciesScore], score: float) -> Taxon:
    """The answer itself, else the best species, else 'some animal' with the detector's score."""
    if taxon is not None:
        return taxon
    best = next((one for one in species if one.key != NO_ANIMAL), None)
    return _broad(ANIMAL, score) if best is None else of_species(best)


def _broad(rank: Literal["animal", "unknown"], score: float) -> Taxon:
    return Taxon(rank=rank, name="Animalia" if rank == ANIMAL else "", common_name=rank, score=score)


def of_species(species: SpeciesScore) -> Taxon:
    """A candidate as an answer, breed left out."""
    ranks = {field: getattr(species, field) for field in _FIELDS}
    name = next((name for name in reversed(ranks.values()) if name), "")
    return Taxon(rank=SPECIES, name=name, common_name=species.common_name, score=species.score, **ranks)


def key(taxon: Taxon) -> Key:
    """See ``Key``."""
    return taxon.rank, taxon.name or taxon.common_name


def rank_of(taxon: Taxon) -> str:
    """The rank that the scientific name really has: a leaf such as 'some jellyfish' answers as a species and is a
    class. ``kingdom`` for 'some animal', ``unknown`` for unknown."""
    if taxon.rank == UNKNOWN:
        return UNKNOWN
    names = zip(reversed(RANKS), reversed(lineage(taxon)), strict=True)
    return next((rank for rank, name in names if name and name == taxon.name), "kingdom")


def lineage(taxon: Taxon) -> tuple[str, ...]:
    """Scientific names from class to species, '' where there is none."""
    return tuple(getattr(taxon, field) for field in _FIELDS)


def lies_under(taxon: Taxon, ancestor: Taxon) -> bool:
    """Whether ``ancestor`` is broader than ``taxon`` and holds it. Nothing lies under 'unknown', nor it under any."""
    if UNKNOWN in (taxon.rank, ancestor.rank) or key(taxon) == key(ancestor):
        return False
    if ancestor.rank == ANIMAL:
        return True
    above, below = (list(filter(None, lineage(one))) for one in (ancestor, taxon))
    return len(above) < len(below) and below[: len(above)] == above


def counted(record: Record) -> str:
    """``3 lion, 1 Felidae (family)``; without names ``4 animals``; nobody counted: ``lion``; empty: ``no animal``."""
    if record.counts:
        return in_words(record.counts.items())
    if record.count:
        taxon = answer(record)
        named = taxon is not None and taxon.rank not in (ANIMAL, UNKNOWN)
        return in_words([(taxon.common_name if named and taxon else _animals(record.count), record.count)])
    taxon = answer(record)
    return "no animal" if taxon is None else taxon.common_name


def in_words(counts: Iterable[tuple[str, int | None]]) -> str:
    """``3 lion, 1 hyena``, in this order; a name without a number where nobody counted."""
    return ", ".join(name if count is None else f"{count} {name}" for name, count in counts)


def _animals(count: int) -> str:
    return "animal" if count == 1 else "animals"
