"""From the raw tensors of ``animals`` to the words of a record."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract import tensors
from contract.photo_status import PhotoStatus
from contract.record import Alternatives, Box, SpeciesScore, Taxon, Verdict
from contract.taxonomy import Depth, Leaf, Taxonomy
from contract.tensors import MAX_BATCH, TOP_K, TensorSpec

_FORMATS = {"FP32": "f", "INT32": "i"}


class ContractBroken(ValueError):
    """A reply does not follow the tensor contract; the message says where."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One photo's answer in words."""

    status: PhotoStatus
    width: int
    height: int
    verdict: Verdict
    taxon: Taxon | None
    species: tuple[SpeciesScore, ...]
    alternatives: Alternatives | None
    count: int | None
    counts: dict[str, int]
    boxes: tuple[Box, ...]
    timings_ms: Mapping[str, float]
    release: str


class AnswerReader:
    """Reads replies of one release with its taxonomy. ``coverage``: what its conformal sets promise, a share."""

    def __init__(self, taxonomy: Taxonomy, coverage: float) -> None:
        self._taxonomy = taxonomy
        self._coverage = coverage

    def read(self, raw: Mapping[str, bytes]) -> Answer:
        """Read one row of the tensors in ``contract.tensors.ANIMALS_OUTPUTS``: output name -> its bytes as
        KServe v2 carries them (little-endian; BYTES elements with their four-byte length). Tensors of boxes may be
        left out where nobody asked for boxes.

        Raises ContractBroken if a tensor is missing, has the wrong size or a number that is not finite, or names a leaf
        that is not there.
        """
        try:
            return self._read(raw)
        except (KeyError, ValueError, IndexError, struct.error) as error:
            raise ContractBroken(f"reply of animals: {error!r}") from error

    def _read(self, raw: Mapping[str, bytes]) -> Answer:
        width, height = _numbers(raw, tensors.IMAGE_WIDTH_HEIGHT)
        species = self._species(_numbers(raw, tensors.SPECIES_IDS), _numbers(raw, tensors.SPECIES_SCORES))
        taxon = _numbers(raw, tensors.TAXON)
        count = int(_numbers(raw, tensors.COUNT)[0])
        boxes = self._boxes(raw, count) if count > 0 else ()
        return Answer(
            status=PhotoStatus(int(_numbers(raw, tensors.STATUS)[0])),
            width=int(width),
            height=int(height),
            verdict=_verdict(Depth(int(taxon[1]))),
            taxon=self._taxon(taxon, _numbers(raw, tensors.TAXON_SCORE)[0]),
            species=species,
            alternatives=self._alternatives(_numbers(raw, tensors.ALTERNATIVES), species),
            count=None if count == tensors.NOT_COUNTED else count,
            counts=_count_by_name(boxes),
            boxes=boxes,
            timings_ms=dict(zip(tensors.TIMING_STAGES, _numbers(raw, tensors.TIMINGS_MS), strict=True)),
            release=_strings(raw, tensors.RELEASE)[0],
        )

    def _species(self, ids: Sequence[float], scores: Sequence[float]) -> tuple[SpeciesScore, ...]:
        return tuple(
            species_score(self._leaf(leaf), score)
            for leaf, score in zip(ids, scores, strict=True)
            if leaf != tensors.NO_SPECIES
        )

    def _leaf(self, index: float) -> Leaf:
        if index < 0:
            raise IndexError(f"leaf {index}")
        return self._taxonomy[int(index)]

    def _taxon(self, leaf_and_depth: Sequence[float], score: float) -> Taxon | None:
        """None for an empty photo."""
        depth = Depth(int(leaf_and_depth[1]))
        if depth is Depth.EMPTY:
            return None
        leaf = self._leaf(leaf_and_depth[0]) if depth >= Depth.CLASS else None
        return taxon(leaf, depth, score)

    def _alternatives(self, raw: Sequence[float], species: Sequence[SpeciesScore]) -> Alternatives | None:
        size = int(raw[0])
        if size == 0:
            return None
        if size <= tensors.TOP_K:
            return Alternatives(coverage=self._coverage, species=tuple(species[:size]))
        return Alternatives(coverage=self._coverage, species=(), taxon=self._taxon(raw[1:], 1.0))

    def _boxes(self, raw: Mapping[str, bytes], count: int) -> tuple[Box, ...]:
        corners, scores = _rows(raw, tensors.BOXES), _numbers(raw, tensors.BOX_SCORES)
        ids, shares = _rows(raw, tensors.BOX_SPECIES_IDS), _rows(raw, tensors.BOX_SPECIES_SCORES)
        taxa, taxon_scores = _rows(raw, tensors.BOX_TAXON), _numbers(raw, tensors.BOX_TAXON_SCORE)
        alternatives = _rows(raw, tensors.BOX_ALTERNATIVES)
        boxes = []
        for row in range(min(count, tensors.MAX_BOXES)):
            species = self._species(ids[row], shares[row])
            x1, y1, x2, y2 = (round(corner, 5) for corner in corners[row])
            boxes.append(
                Box(
                    x1=x1, y1=y1, x2=x2, y2=y2,
                    score=round(scores[row], 4),
                    species=species,
                    taxon=self._taxon(taxa[row], taxon_scores[row]) if species else None,
                    alternatives=self._alternatives(alternatives[row], species),
                )
            )  # fmt: skip
        return tuple(boxes)


def _verdict(depth: Depth) -> Verdict:
    if depth is Depth.EMPTY:
        return Verdict.EMPTY
    return Verdict.UNKNOWN if depth is Depth.UNKNOWN else Verdict.ANIMAL


def taxon(leaf: Leaf | None, depth: Depth, score: float) -> Taxon:
    """An answer in the record's words: ``leaf``'s names down to ``depth``. ``leaf`` is None above ``Depth.CLASS``."""
    score = round(min(score, 1.0), 4)
    if leaf is None:
        known = depth is Depth.ANIMAL
        return Taxon(
            rank=depth.rank, name="Animalia" if known else "", common_name="animal" if known else "unknown", score=score
        )
    ranks = [name if place < depth else "" for place, name in enumerate(leaf.ranks)]
    name = next((name for name in reversed(ranks) if name), "")
    return Taxon(
        rank=depth.rank,
        name=name,
        common_name=leaf.common_name if depth is Depth.SPECIES else f"{name} ({depth.rank})",
        score=score,
        class_=ranks[0],
        order=ranks[1],
        family=ranks[2],
        genus=ranks[3],
        species=ranks[4],
    )


def species_score(leaf: Leaf, score: float) -> SpeciesScore:
    """A leaf of the taxonomy with its probability, in the record's words. Four decimals are kept."""
    class_, order, family, genus, species = leaf.ranks
    return SpeciesScore(
        key=leaf.key,
        common_name=leaf.common_name,
        variety=leaf.variety,
        rank=leaf.rank,
        class_=class_,
        order=order,
        family=family,
        genus=genus,
        species=species,
        score=round(score, 4),
    )


def _count_by_name(boxes: Sequence[Box]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for box in boxes:
        if box.taxon is not None:
            counts[box.taxon.common_name] = counts.get(box.taxon.common_name, 0) + 1
    return counts


def _numbers(raw: Mapping[str, bytes], spec: TensorSpec) -> tuple[float, ...]:
    numbers: tuple[float, ...] = struct.unpack(f"<{math.prod(spec.shape)}{_FORMATS[spec.datatype]}", raw[spec.name])
    if not math.isfinite(sum(numbers)):  # NaN and infinity stay in a sum, whatever else is in it
        raise ValueError(f"{spec.name} holds a number that is not finite")
    return numbers


def _rows(raw: Mapping[str, bytes], spec: TensorSpec) -> list[tuple[float, ...]]:
    """The numbers of a tensor by its first dimension."""
    numbers = _numbers(raw, spec)
    width = math.prod(spec.shape[1:])
    return [numbers[at : at + width] for at in range(0, len(numbers), width)]


def _strings(raw: Mapping[str, bytes], spec: TensorSpec) -> list[str]:
    return [element.decode() for element in split_strings(raw[spec.name])]


def failed_row(status: PhotoStatus) -> dict[str, bytes]:
    """The reply row of a photo that could not be used: its status, and 'nothing found' everywhere else."""
    return {spec.name: _filled(spec, int(status)) for spec in tensors.ANIMALS_OUTPUTS}


def _filled(spec: TensorSpec, status: int) -> bytes:
    size = math.prod(spec.shape)
    if spec.datatype == "BYTES":
        return struct.pack("<I", 0) * size
    row = (status,) if spec is tensors.STATUS else tensors.NOTHING.get(spec.name, (0,))
    return struct.pack(f"<{size}{_FORMATS[spec.datatype]}", *(row * (size // len(row))))


def split_strings(data: bytes, limit: int = MAX_BATCH * TOP_K) -> list[bytes]:
    """The elements of a raw BYTES tensor. Raises ContractBroken if a length does not fit or there are more than
    ``limit``."""
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        if len(elements) == limit:
            raise ContractBroken(f"a BYTES tensor has more than {limit} elements")
        if at + 4 > len(data):
            raise ContractBroken("a BYTES tensor ends inside a length")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        if at > len(data):
            raise ContractBroken("a BYTES tensor is shorter than its lengths say")
        elements.append(data[at - length : at])
    return elements
