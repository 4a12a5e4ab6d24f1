"""Raw tensors are read as the contract says, and nothing else is accepted."""

from __future__ import annotations

import struct

import pytest

from contract.answer import AnswerReader, ContractBroken, failed_row, split_strings
from contract.photo_status import PhotoStatus
from contract.record import Verdict
from contract.taxonomy import Depth, parse_taxonomy
from contract.tensors import ANIMALS_OUTPUTS, BOX_OUTPUTS
from tests.support.stack import ROOT


def packed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def test_elements_come_back_as_they_were_packed() -> None:
    assert split_strings(packed(b"a", b"", b"xyz")) == [b"a", b"", b"xyz"]
    assert split_strings(b"") == []


@pytest.mark.parametrize("data", [b"\1", b"\1\0\0", b"\2\0\0\0a", b"\xff\xff\xff\xffabc"])
def test_lengths_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(ContractBroken):
        split_strings(data)


def test_a_flood_of_empty_elements_is_cut_off() -> None:
    with pytest.raises(ContractBroken, match="more than 32"):
        split_strings(bytes(60_000_000), limit=32)


TAXONOMY = parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text())
READER = AnswerReader(TAXONOMY, coverage=0.95)
LION = TAXONOMY.by_key("lion")


def row(**values: tuple[float, ...]) -> dict[str, bytes]:
    """A reply with nothing found but ``values``, which fill the beginning of their tensors."""
    raw = failed_row(PhotoStatus.OK)
    for name, numbers in values.items():
        spec = next(spec for spec in ANIMALS_OUTPUTS if spec.name == name)
        sign = {"FP32": "f", "INT32": "i"}[spec.datatype]
        start = struct.pack(f"<{len(numbers)}{sign}", *numbers)
        raw[name] = start + raw[name][len(start) :]
    return raw


def test_a_row_of_nothing_is_unknown() -> None:
    answer = READER.read(failed_row(PhotoStatus.TRUNCATED))
    assert answer.status is PhotoStatus.TRUNCATED
    assert answer.verdict is Verdict.UNKNOWN
    assert (answer.count, answer.species, answer.boxes, answer.alternatives) == (None, (), (), None)


def test_boxes_are_counted_by_their_names() -> None:
    answer = READER.read(
        row(
            COUNT=(2,),
            TAXON=(LION.index, Depth.GENUS),
            TAXON_SCORE=(0.9,),
            BOXES=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
            BOX_SCORES=(0.9, 0.8),
            BOX_SPECIES_IDS=(LION.index, *[-1] * 4, LION.index, *[-1] * 4),
            BOX_SPECIES_SCORES=(0.7, *[0] * 4, 0.4, *[0] * 4),
            BOX_TAXON=(LION.index, Depth.SPECIES, LION.index, Depth.FAMILY),
            BOX_TAXON_SCORE=(0.7, 0.95),
        )
    )
    assert answer.count == 2
    assert answer.counts == {"lion": 1, "Felidae (family)": 1}
    assert answer.taxon is not None
    assert (answer.taxon.rank, answer.taxon.name, answer.taxon.species) == ("genus", "Panthera", "")
    assert (answer.boxes[1].x1, answer.boxes[1].y2) == (0.5, 0.8)


def test_an_animal_that_nobody_named_has_a_box_without_a_taxon() -> None:
    answer = READER.read(row(COUNT=(1,), TAXON=(-1, Depth.ANIMAL), TAXON_SCORE=(0.8,), BOX_SCORES=(0.8,)))
    assert (answer.verdict, answer.count, answer.counts) == (Verdict.ANIMAL, 1, {})
    assert answer.boxes[0].taxon is None


def test_an_empty_photo_has_no_taxon() -> None:
    answer = READER.read(row(COUNT=(0,), TAXON=(-1, Depth.EMPTY), TAXON_SCORE=(0.9,)))
    assert (answer.verdict, answer.taxon, answer.count) == (Verdict.EMPTY, None, 0)


def test_alternatives_are_the_first_candidates_or_one_taxon_that_holds_all() -> None:
    few = row(SPECIES_IDS=(LION.index, 0), SPECIES_SCORES=(0.6, 0.3), ALTERNATIVES=(2, -1, -1))
    listed = READER.read(few).alternatives
    assert listed is not None
    assert [one.common_name for one in listed.species] == ["lion", TAXONOMY[0].common_name]
    assert (listed.coverage, listed.taxon) == (0.95, None)
    many = READER.read(row(ALTERNATIVES=(9, LION.index, Depth.FAMILY))).alternatives
    assert many is not None
    assert (many.species, many.taxon and many.taxon.name) == ((), "Felidae")


def test_tensors_of_boxes_may_be_missing_where_nobody_counted() -> None:
    raw = {name: data for name, data in row(SPECIES_IDS=(LION.index,)).items() if name not in BOX_OUTPUTS}
    assert READER.read(raw).species[0].key == "lion"
    with pytest.raises(ContractBroken):
        READER.read(raw | {"COUNT": struct.pack("<i", 1)})


@pytest.mark.parametrize(
    "broken", [{"TAXON": (9999, 5)}, {"TAXON": (-1, 3)}, {"TAXON": (0, 77)}, {"SPECIES_IDS": (-7,)}]
)
def test_a_name_that_is_not_there_is_refused(broken: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ContractBroken):
        READER.read(row(**broken))
