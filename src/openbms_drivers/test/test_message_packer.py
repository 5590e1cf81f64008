"""Packing against cantools, which is the reference."""

from __future__ import annotations

import cantools.database
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_drivers.message_packer import MessagePacker

DBC = """VERSION ""
NS_ :
BS_:
BU_: A B
BO_ 1 Mixed: 8 A
 SG_ Little : 0|12@1+ (0.5,-100) [0|0] "" B
 SG_ Signed : 12|10@1- (0.1,3) [0|0] "" B
 SG_ Big : 31|13@0+ (2,0) [0|0] "" B
 SG_ BigSigned : 42|11@0- (0.25,-1) [0|0] "" B
 SG_ Left : 56|8@1+ (1,0) [0|0] "" B

BO_ 2 Multiplexed: 2 A
 SG_ Which M : 0|2@1+ (1,0) [0|0] "" B
 SG_ One m0 : 8|8@1+ (1,0) [0|0] "" B
 SG_ Two m1 : 8|8@1+ (1,0) [0|0] "" B

BO_ 3 Floating: 4 A
 SG_ Value : 0|32@1- (1,0) [0|0] "" B
SIG_VALTYPE_ 3 Value : 1;
"""
MESSAGES = {
    message.name: message for message in cantools.database.load_string(DBC, "dbc", strict=False).messages
}
NAMES = ("Signed", "Little", "Big", "BigSigned")
BASE = {"Little": 0.0, "Signed": 3.0, "Big": 0.0, "BigSigned": -1.0, "Left": 165.0}
PACKER = MessagePacker(MESSAGES["Mixed"], NAMES, BASE)


@settings(deadline=None)
@given(
    signed=st.floats(3 - 51.2, 3 + 51.1),
    little=st.floats(-100, -100 + 0.5 * 4095),
    big=st.floats(0, 2 * 8191),
    big_signed=st.floats(-1 - 256, -1 + 255.75),
)
def test_whatever_the_values_the_bits_are_those_of_cantools(
    signed: float, little: float, big: float, big_signed: float
) -> None:
    values = (signed, little, big, big_signed)
    data = PACKER.pack(values)
    assert data == PACKER.pack_by_cantools(values)
    assert data[7] == 165, "what is not given stays as it is"


def test_it_is_compiled_where_it_can_be_and_asks_cantools_where_not() -> None:
    assert PACKER._plan is not None
    multiplexed = MessagePacker(
        MESSAGES["Multiplexed"], ["Two", "Which"], {"Which": 1.0, "One": 0.0, "Two": 0.0}
    )
    assert multiplexed._plan is None
    assert multiplexed.pack([7.0, 1.0]) == b"\x01\x07"
    floating = MessagePacker(MESSAGES["Floating"], ["Value"], {"Value": 0.0})
    assert floating._plan is None
    assert floating.pack([1.5]) == b"\x00\x00\xc0\x3f"


def test_a_signal_that_is_given_twice_is_left_to_cantools() -> None:
    twice = MessagePacker(MESSAGES["Mixed"], ["Left", "Left"], BASE)
    assert twice.pack([1.0, 2.0]) == twice.pack_by_cantools([1.0, 2.0])


def test_a_value_that_does_not_fit_is_refused_by_cantools() -> None:
    with pytest.raises(Exception, match="out of range"):
        PACKER_OF_LEFT.pack_by_cantools([256.0])


PACKER_OF_LEFT = MessagePacker(MESSAGES["Mixed"], ["Left"], BASE)
