"""From the raw tensors of ``animals`` to the words of a record."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract import tensors
from contract.photo_status import PhotoStatus
from contract.record import Box, SpeciesScore, Verdict
from contract.release import Thresholds
from contract.taxonomy import NO_ANIMAL, Leaf, Taxonomy
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
    species: tuple[SpeciesScore, ...]
    count: int | None
    counts: dict[str, int]
    boxes: tuple[Box, ...]
    timings_ms: Mapping[str, float]
    release: str


class AnswerReader:
    """Reads replies of one release with its taxonomy and thresholds."""

    def __init__(self, taxonomy: Taxonomy, thresholds: Thresholds) -> None:
        self._taxonomy = taxonomy
        self._thresholds = thresholds

    def read(self, raw: Mapping[str, bytes]) -> Answer:
        """Read one row of every tensor in ``contract.tensors.ANIMALS_OUTPUTS``: output name -> its bytes as
        KServe v2 carries them (little-endian; BYTES elements with their four-byte length).

        Raises ContractBroken if a tensor is missing, has the wrong size, or names a leaf that is not there.
        """
        try:
            return self._read(raw)
        except (KeyError, ValueError, IndexError, struct.error) as error:
            raise ContractBroken(f"reply of animals: {error!r}") from error

    def _read(self, raw: Mapping[str, bytes]) -> Answer:
        width, height = _numbers(raw, tensors.IMAGE_WIDTH_HEIGHT)
        species = self._species(_numbers(raw, tensors.SPECIES_IDS), _numbers(raw, tensors.SPECIES_SCORES))
        boxes = self._boxes(raw)
        count = int(_numbers(raw, tensors.COUNT)[0])
        timings = _numbers(raw, tensors.TIMINGS_MS)
        return Answer(
            status=PhotoStatus(int(_numbers(raw, tensors.STATUS)[0])),
            width=int(width),
            height=int(height),
            verdict=self._verdict(species),
            species=species,
            count=None if count == tensors.NOT_COUNTED else count,
            counts=_count_by_species(boxes),
            boxes=boxes,
            timings_ms=dict(zip(tensors.TIMING_STAGES, timings, strict=True)),
            release=_strings(raw, tensors.RELEASE)[0],
        )

    def _verdict(self, species: Sequence[SpeciesScore]) -> Verdict:
        if not species:
            return Verdict.UNKNOWN
        best = species[0]
        if best.key == NO_ANIMAL:
            return Verdict.EMPTY if best.score >= self._thresholds.empty_from else Verdict.UNKNOWN
        return Verdict.ANIMAL if best.score >= self._thresholds.unknown_below else Verdict.UNKNOWN

    def _species(self, ids: Sequence[float], scores: Sequence[float]) -> tuple[SpeciesScore, ...]:
        return tuple(
            species_score(self._leaf(int(leaf)), score)
            for leaf, score in zip(ids, scores, strict=True)
            if leaf != tensors.NO_SPECIES
        )

    def _leaf(self, index: int) -> Leaf:
        if index < 0:
            raise IndexError(f"leaf {index}")
        return self._taxonomy[index]

    def _boxes(self, raw: Mapping[str, bytes]) -> tuple[Box, ...]:
        count = max(0, int(_numbers(raw, tensors.COUNT)[0]))
        if count == 0:
            return ()
        corners = _numbers(raw, tensors.BOXES)
        scores = _numbers(raw, tensors.BOX_SCORES)
        ids = _numbers(raw, tensors.BOX_SPECIES_IDS)
        probabilities = _numbers(raw, tensors.BOX_SPECIES_SCORES)
        k = tensors.TOP_K
        return tuple(
            Box(
                **dict(zip(("x1", "y1", "x2", "y2"), corners[row * 4 : row * 4 + 4], strict=True)),
                score=scores[row],
                species=self._species(ids[row * k : row * k + k], probabilities[row * k : row * k + k]),
            )
            for row in range(min(count, tensors.MAX_BOXES))
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


def _count_by_species(boxes: Sequence[Box]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for box in boxes:
        if box.species:
            name = box.species[0].common_name
            counts[name] = counts.get(name, 0) + 1
    return counts


def _numbers(raw: Mapping[str, bytes], spec: TensorSpec) -> tuple[float, ...]:
    return struct.unpack(f"<{math.prod(spec.shape)}{_FORMATS[spec.datatype]}", raw[spec.name])


def _strings(raw: Mapping[str, bytes], spec: TensorSpec) -> list[str]:
    return [element.decode() for element in split_strings(raw[spec.name])]


def failed_row(status: PhotoStatus) -> dict[str, bytes]:
    """The reply row of a photo that could not be used: its status, and 'nothing found' everywhere else."""
    fill = {
        tensors.STATUS.name: int(status),
        tensors.COUNT.name: tensors.NOT_COUNTED,
        tensors.SPECIES_IDS.name: tensors.NO_SPECIES,
        tensors.BOX_SPECIES_IDS.name: tensors.NO_SPECIES,
    }
    return {spec.name: _filled(spec, fill.get(spec.name, 0)) for spec in tensors.ANIMALS_OUTPUTS}


def _filled(spec: TensorSpec, value: int) -> bytes:
    size = math.prod(spec.shape)
    if spec.datatype == "BYTES":
        return struct.pack("<I", 0) * size
    return struct.pack(f"<{size}{_FORMATS[spec.datatype]}", *([value] * size))


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
