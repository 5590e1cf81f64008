"""Bit extraction against cantools, which is the reference for everything that a DBC says."""

from __future__ import annotations

import math

import pytest
from cantools.database.can import Message, Signal
from cantools.database.conversion import BaseConversion
from hypothesis import assume, given
from hypothesis import strategies as st

from openbms_drivers.bit_field import BitField


@st.composite
def fields(draw: st.DrawFn) -> tuple[BitField, bytes]:
    size = draw(st.sampled_from([1, 2, 3, 5, 8, 12, 64]))
    is_float = draw(st.booleans())
    length = draw(st.sampled_from([16, 32, 64])) if is_float else draw(st.integers(1, min(64, 8 * size)))
    start = draw(st.integers(0, 8 * size - 1))
    big_endian = draw(st.booleans())
    signed = False if is_float else draw(st.booleans())
    try:
        bits = BitField(start, length, big_endian, signed, is_float, size)
    except ValueError:
        assume(False)
    return bits, draw(st.binary(min_size=size, max_size=size))


def cantools_value(bits: BitField, data: bytes) -> float:
    signal = Signal(
        "S",
        bits.start,
        bits.length,
        "big_endian" if bits.big_endian else "little_endian",
        bits.signed,
        conversion=BaseConversion.factory(is_float=bits.is_float),
    )
    message = Message(1, "M", bits.frame_bytes, [signal], strict=True)
    return message.decode(data, decode_choices=False, scaling=False)["S"]


@given(fields())
def test_extracts_what_cantools_extracts(case: tuple[BitField, bytes]) -> None:
    bits, data = case
    mine, theirs = bits.extract(data), cantools_value(bits, data)
    assert mine == theirs or (math.isnan(mine) and math.isnan(theirs))


@given(fields(), st.integers(0, 2**64 - 1))
def test_insert_then_extract(case: tuple[BitField, bytes], raw: int) -> None:
    bits, data = case
    assume(not bits.is_float)
    inserted = bits.insert(data, raw)
    assert int(bits.extract(inserted)) & bits.mask == raw & bits.mask
    assert bits.insert(inserted, int(bits.extract(data))) == data, "other bits must not change"


@pytest.mark.parametrize(
    ("start", "length", "big_endian", "is_float", "reason"),
    [
        (60, 8, False, False, "does not lie in 8 bytes"),
        (56, 8, True, False, "does not lie in 8 bytes"),
        (0, 0, False, False, "does not lie"),
        (0, 24, False, True, "a float signal cannot have 24 bit"),
    ],
)
def test_impossible_fields_are_refused(
    start: int, length: int, big_endian: bool, is_float: bool, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        BitField(start, length, big_endian, False, is_float, 8)
