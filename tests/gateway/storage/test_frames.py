from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage import frames

# As in the journal: JSON text never has a NUL byte in it.
PAYLOADS = st.lists(st.binary(min_size=1, max_size=60).map(lambda b: b.replace(b"\0", b"{")), max_size=8)


def segment(payloads: list[bytes]) -> bytes:
    return frames.HEADER + b"".join(map(frames.encode, payloads))


def payloads_of(scan: frames.Scan) -> list[bytes]:
    return [frame.payload for frame in scan.frames]


@given(PAYLOADS)
def test_what_was_framed_is_read_back(payloads: list[bytes]) -> None:
    scan = frames.scan(segment(payloads))
    assert payloads_of(scan) == payloads
    assert scan.damage == ()
    assert scan.torn_tail is None


@given(PAYLOADS, st.data())
def test_a_cut_anywhere_keeps_every_whole_frame_and_says_where_it_stopped(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = segment(payloads)
    ends = [len(frames.HEADER)]
    for payload in payloads:
        ends.append(ends[-1] + frames.FRAME_OVERHEAD + len(payload))
    cut = data.draw(st.integers(0, len(whole)))
    scan = frames.scan(whole[:cut])
    kept = sum(end <= cut for end in ends[1:])
    assert payloads_of(scan) == payloads[:kept]
    assert scan.damage == ()
    good = max((end for end in ends if end <= cut), default=0)
    assert scan.torn_tail == (None if good == cut else frames.Gap(good, cut))


@given(PAYLOADS.filter(bool), st.data())
def test_a_flipped_bit_costs_only_the_frame_that_it_is_in(payloads: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(segment(payloads))
    bit = data.draw(st.integers(len(frames.HEADER) * 8, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    intact = frames.scan(segment(payloads)).frames
    hit = next(n for n, frame in enumerate(intact) if frame.start <= bit // 8 < frame.end)
    scan = frames.scan(bytes(whole))
    assert payloads_of(scan) == payloads[:hit] + payloads[hit + 1 :]
    gap = frames.Gap(intact[hit].start, intact[hit].end)
    last = hit == len(payloads) - 1
    assert (scan.damage, scan.torn_tail) == (((), gap) if last else ((gap,), None))


def test_zeros_after_the_last_frame_are_a_torn_tail() -> None:
    whole = segment([b"{}"])
    scan = frames.scan(whole + bytes(4096))
    assert payloads_of(scan) == [b"{}"]
    assert scan.torn_tail == frames.Gap(len(whole), len(whole) + 4096)


def test_a_damaged_magic_costs_no_frame() -> None:
    scan = frames.scan(b"X" + segment([b"a", b"b"])[1:])
    assert payloads_of(scan) == [b"a", b"b"]
    assert scan.damage == (frames.Gap(0, len(frames.HEADER)),)


def test_another_version_is_refused() -> None:
    with pytest.raises(frames.UnknownVersion):
        frames.scan(frames.MAGIC + bytes([frames.VERSION + 1]) + frames.encode(b"a"))


@pytest.mark.parametrize("payload", [b"", b"x" * (frames.MAX_PAYLOAD_BYTES + 1)], ids=["empty", "too long"])
def test_payloads_that_could_not_be_read_back_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="payload"):
        frames.encode(payload)


def test_a_length_always_has_a_zero_byte_to_look_for() -> None:
    assert frames.MAX_PAYLOAD_BYTES < 1 << 24
