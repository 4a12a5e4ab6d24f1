"""Raw tensors are read as the contract says, and nothing else is accepted."""

from __future__ import annotations

import struct

import pytest

from contract.answer import ContractBroken, split_strings


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
