"""Checksums of a pack file: named, by parameters, and classes of one's own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from openbms_core.frame_integrity import CHECKSUM_KINDS, CHECKSUM_WIDTHS, CRC_KINDS
from openbms_core.pack_device import Checksum, MessageIntegrity
from openbms_drivers.bit_field import BitField
from openbms_drivers.frame_checksum import FrameChecksum

LAST = BitField(56, 8, False, False, False, 8)
HERE = Path("pack.yaml")


def entry(**keys: object) -> Checksum:
    return Checksum.model_validate({"signal": "Crc", **keys})


@given(kind=st.sampled_from(CHECKSUM_KINDS), data=st.binary(min_size=8, max_size=8), flip=st.integers(0, 31))
def test_what_it_computes_it_accepts_and_nothing_else(kind: str, data: bytes, flip: int) -> None:
    width = CHECKSUM_WIDTHS[kind]
    bits = BitField(64 - width, width, False, False, False, 8)
    own = FrameChecksum(entry(kind=kind), bits, 0x1DB, HERE)
    right = bits.insert(data, own.compute(data))
    assert own.check(right)
    wrong = bits.insert(right, int(bits.extract(right)) ^ 1 << flip % width)
    assert not own.check(wrong)


@pytest.mark.parametrize("name", sorted(CRC_KINDS))
def test_a_named_crc_is_its_parameters(name: str) -> None:
    crc = CRC_KINDS[name]
    bits = BitField(0, crc.width, False, False, False, 16)
    given = entry(
        kind="crc", width=crc.width, polynomial=crc.polynomial, initial=crc.initial, final_xor=crc.final_xor,
        reflected=crc.reflected, data_id=0x1234,
    )  # fmt: skip
    data = bytes(range(16))
    mine = FrameChecksum(given, bits, 0, HERE).compute(data)
    assert mine == FrameChecksum(entry(kind=name, data_id=0x1234), bits, 0, HERE).compute(data)


def test_data_ids_are_chosen_by_the_counter() -> None:
    counter = BitField(8, 4, False, False, False, 8)
    ids = tuple(range(0x40, 0x50))
    own = FrameChecksum(entry(kind="crc8_2f", data_ids=ids), LAST, 0, HERE, counter)
    for count in range(16):
        data = counter.insert(bytes(8), count)
        assert own.compute(data) == FrameChecksum(
            entry(kind="crc8_2f", data_id=ids[count]), LAST, 0, HERE
        ).compute(data)


def test_a_class_beside_the_pack_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def compute(self, identifier, data):\n"
        "        return (identifier + sum(data)) & 0xFF\n"
    )
    own = FrameChecksum(entry(kind="mine.py:Mine"), LAST, 0x1DB, tmp_path / "pack.yaml")
    assert own.compute(b"\x01" * 8) == (0x1DB + 7) & 0xFF, "its own bits are at zero"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", "absent.py:A", "there is no file"),
        ("x = \n", "mine.py:A", "mine.py:1 cannot be imported"),
        ("\n1/0\n", "mine.py:A", "mine.py:2 cannot be imported"),
        ("class B: pass\n", "mine.py:A", "has no class 'A'; it has B"),
        ("class A: pass\n", "mine.py:A", "needs no arguments and a method compute"),
        (
            "class A:\n    def compute(self, i, d): return 256\n",
            "mine.py:A",
            "gives 256 for a frame of zeros",
        ),
        ("", "no_such_module_here:A", "cannot be imported"),
    ],
)
def test_a_class_that_cannot_be_used_is_refused(tmp_path: Path, text: str, kind: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ValueError, match=said):
        FrameChecksum(entry(kind=kind), LAST, 1, tmp_path / "pack.yaml")


def test_a_class_that_fails_later_refuses_its_frames(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def compute(self, identifier, data):\n        return 1 // (1 - data[0]) & 0xFF\n"
    )
    own = FrameChecksum(entry(kind="mine.py:Mine"), LAST, 0, tmp_path / "pack.yaml")
    assert own.check(bytes(7) + b"\x01")
    assert not own.check(b"\x01" + bytes(7))


def test_a_signal_too_short_for_the_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="gives 16 bit, but the signal has 8"):
        FrameChecksum(entry(kind="crc16_modbus"), LAST, 0, HERE)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": "crc8_58"}, "did you mean 'crc8_85'"),
        ({"kind": "magic"}, "known are crc, "),
        ({"kind": "crc"}, "needs width and polynomial"),
        ({"kind": "crc", "width": 8, "polynomial": 0x185}, "polynomial 0x185 does not fit in 8 bit"),
        ({"kind": "sum", "polynomial": 7}, "polynomial belongs to kind 'crc'"),
        ({"kind": "sum", "data_id": 1, "data_ids": [1]}, "not both"),
    ],
)
def test_the_model_says_what_is_wrong(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        entry(**keys)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "add counter"),
        ({"counter": {"signal": "C", "modulo": 16}}, "holds 2 values, but the counter has 16"),
    ],
)
def test_data_ids_need_a_counter(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MessageIntegrity.model_validate(
            {"message": "M", "checksum": {"signal": "Crc", "kind": "crc8_2f", "data_ids": [1, 2]}, **more}
        )


@pytest.mark.parametrize("kind", CHECKSUM_KINDS)
@pytest.mark.parametrize("at", [0, 3, 7])
@pytest.mark.parametrize("data_id", [None, 0, 0x42, 0xFF, 0x100, 0xBEEF])
def test_the_quick_check_says_the_same(kind: str, at: int, data_id: int | None) -> None:
    width = CHECKSUM_WIDTHS[kind]
    if 8 * at + width > 64:
        pytest.skip("does not fit")
    for first in (False, True) if data_id is not None else (False,):
        bits = BitField(8 * at, width, False, False, False, 8)
        try:
            said = entry(kind=kind, data_id=data_id, data_id_first=first)
        except ValidationError:
            continue  # this kind takes no identifier
        exact = FrameChecksum(said, bits, 0x123, HERE)
        source, quick = random.Random(f"{kind}{at}{data_id}"), exact.quick_check
        for _ in range(50):
            data = source.randbytes(8)
            right = bits.insert(data, exact.compute(data))
            assert quick(right)
            assert quick(data) == exact.check(data)
