"""Checksums against the vectors that AUTOSAR and the RevEng catalogue publish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_core.frame_integrity import (
    CHECKSUM_KINDS,
    CHECKSUM_WIDTHS,
    CRC_KINDS,
    checksum,
    covered_bytes,
)

# AUTOSAR SWS CRC Library, tables of test vectors for CRC8 (SAE J1850) and CRC8H2F; the last row is the RevEng
# "check".
AUTOSAR = [
    ("00000000", 0x59, 0x12),
    ("F20183", 0x37, 0xC2),
    ("0FAA0055", 0x79, 0xC6),
    ("00FF5511", 0xB8, 0x77),
    ("332255AABBCCDDEEFF", 0xCB, 0x11),
    ("926B55", 0x8C, 0x33),
    ("FFFFFFFF", 0x74, 0x6C),
    ("313233343536373839", 0x4B, 0xDF),
]


@pytest.mark.parametrize(("data", "j1850", "h2f"), AUTOSAR)
def test_published_vectors(data: str, j1850: int, h2f: int) -> None:
    assert checksum("crc8_sae_j1850", bytes.fromhex(data)) == j1850
    assert checksum("crc8_2f", bytes.fromhex(data)) == h2f


@pytest.mark.parametrize(
    ("kind", "data", "data_id", "expected"),
    [
        ("crc8_sae_j1850_zero", b"123456789", None, 0x37),  # RevEng: CRC-8/GSM-A, the same parameters
        ("crc8_sae_j1850_zero", b"", None, 0),
        ("xor", b"\x01\x02\x04", None, 7),
        ("sum", b"\xff\x02", None, 1),
        ("nibble_sum", b"\x12\x34\xff", None, (1 + 2 + 3 + 4 + 15 + 15) % 16),
        ("sum", b"\x01", 0x10, 0x11),
        ("sum", b"\x01", 0x1234, 0x47),
    ],
)
def test_small_cases(kind: str, data: bytes, data_id: int | None, expected: int) -> None:
    assert checksum(kind, data, data_id) == expected


@pytest.mark.parametrize(("data_id", "tail"), [(0x00, b"\x00"), (0xFF, b"\xff"), (0x1234, b"\x34\x12")])
@pytest.mark.parametrize("kind", CHECKSUM_KINDS)
def test_data_id_stands_behind_the_data(kind: str, data_id: int, tail: bytes) -> None:
    assert checksum(kind, b"\x01\x22\xf3", data_id) == checksum(kind, b"\x01\x22\xf3" + tail)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of checksum 'crc32'"):
        checksum("crc32", b"")
    with pytest.raises(ValueError, match="data_id"):
        checksum("sum", b"", 0x10000)
    with pytest.raises(ValueError, match="does not lie in a frame of 2 bytes"):
        covered_bytes(b"\x00\x00", 16, 8)
    with pytest.raises(ValueError, match="does not lie"):
        covered_bytes(b"\x00\x00", 0, 0)


@pytest.mark.parametrize(
    ("start_bit", "length_bits", "big_endian", "expected"),
    [
        (0, 8, False, "223344"),  # first byte
        (24, 8, False, "112233"),  # last byte
        (31, 8, True, "112233"),  # the same, as Motorola counts
        (24, 4, False, "11223340"),  # low nibble of the last byte
        (31, 4, True, "11223304"),  # high nibble
        (4, 8, False, "01203344"),  # across two bytes
        (3, 8, True, "10023344"),  # across two bytes, Motorola
    ],
)
def test_covered_bytes(start_bit: int, length_bits: int, big_endian: bool, expected: str) -> None:
    assert (
        covered_bytes(bytes.fromhex("11223344"), start_bit, length_bits, big_endian=big_endian).hex()
        == expected
    )


@given(
    data=st.binary(min_size=1, max_size=64),
    bit=st.integers(0, 511),
    kind=st.sampled_from(sorted({*CHECKSUM_KINDS} - {"nibble_sum", "honda"})),
)
def test_one_flipped_bit_is_always_seen(data: bytes, bit: int, kind: str) -> None:
    bit %= 8 * len(data)
    other = bytearray(data)
    other[bit // 8] ^= 1 << bit % 8
    assert checksum(kind, data) != checksum(kind, bytes(other))


@given(data=st.binary(min_size=2, max_size=64), where=st.integers(0, 63), value=st.integers(0, 255))
def test_the_checksum_itself_is_not_covered(data: bytes, where: int, value: int) -> None:
    where %= len(data)
    other = bytearray(data)
    other[where] = value
    assert covered_bytes(data, 8 * where, 8) == covered_bytes(bytes(other), 8 * where, 8)


# RevEng catalogue, "check" of each algorithm: its value for the ASCII digits 1 to 9. Nissan's (0x85) and
# Hyundai's (0x1D, 0xFD, 0xDF) are not in it.
@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("crc8_smbus", 0xF4),
        ("crc8_maxim", 0xA1),
        ("crc16_ccitt_false", 0x29B1),
        ("crc16_xmodem", 0x31C3),
        ("crc16_modbus", 0x4B37),
        ("crc32_iso_hdlc", 0xCBF43926),
        ("crc32_autosar_p4", 0x1697D06A),
    ],
)
def test_revengs_check_values(kind: str, check: int) -> None:
    assert checksum(kind, b"123456789") == check
    assert CHECKSUM_WIDTHS[kind] == CRC_KINDS[kind].width


def by_long_division(data: bytes, polynomial: int) -> int:
    """The remainder by the definition: bit by bit, no table."""
    value = int.from_bytes(data, "big") << 8
    for bit in range(8 * len(data) + 7, 7, -1):
        if value >> bit & 1:
            value ^= (0x100 | polynomial) << (bit - 8)
    return value


@given(data=st.binary(min_size=1, max_size=16))
def test_nissans_is_the_remainder_by_0x185(data: bytes) -> None:
    assert checksum("crc8_85", data) == by_long_division(data, 0x85)


@pytest.mark.parametrize(
    ("kind", "data", "identifier", "expected"),
    [
        ("sum_inverted", b"\xff\x02", 0, 0xFE),
        ("sum_negated", b"\x01\x02", 0, 0xFD),
        ("sum16", b"\xff\xff", 0, 0x1FE),
        ("sum_with_id", b"\x10", 0x132, 0x10 + 0x01 + 0x32),
        ("toyota", b"\x10" * 7, 0x3B1, (0x70 + 0x03 + 0xB1 + 8) & 0xFF),
        ("honda", b"\x12\x30", 0x1A6, (8 - (1 + 2 + 3) - (1 + 10 + 6)) & 0xF),
        (
            "honda",
            b"\x12\x30",
            0x12F8BFA7,
            (11 - (1 + 2 + 3) - sum(b"\x01\x02\x0f\x08\x0b\x0f\x0a\x07")) & 0xF,
        ),
    ],
)
def test_kinds_that_count_the_identifier(kind: str, data: bytes, identifier: int, expected: int) -> None:
    assert checksum(kind, data, identifier=identifier) == expected


def test_the_data_id_may_stand_first() -> None:
    assert checksum("crc8_2f", b"\x01\x02", 0x1234, data_id_first=True) == checksum(
        "crc8_2f", b"\x34\x12\x01\x02"
    )
