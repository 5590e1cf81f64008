"""Checksums against the vectors that AUTOSAR and the RevEng catalogue publish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbms_core.frame_integrity import CHECKSUM_KINDS, checksum, covered_bytes

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
    data=st.binary(min_size=1, max_size=64), bit=st.integers(0, 511), kind=st.sampled_from(CHECKSUM_KINDS[:5])
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
