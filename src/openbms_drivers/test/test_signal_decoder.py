"""Any DBC: plain, multiplexed twice over, CAN FD, 29-bit, J1939, both byte orders; and what protects a
frame."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from generated_pack import write_pack
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.config_file import ConfigError
from openbms_core.frame_integrity import checksum
from openbms_core.types import Validity
from openbms_drivers.frame import EXTENDED, FD, Frame
from openbms_drivers.signal_decoder import COUNTER_REPEATS, SignalDecoder

PLAIN = """
BO_ 256 Plain: 8 DEV
 SG_ Little : 0|13@1+ (0.001,1) [0|0] "V" BMS
 SG_ LittleSigned : 13|11@1- (0.001,0) [0|0] "V" BMS
 SG_ Big : 31|14@0+ (0.0005,0) [0|0] "V" BMS
 SG_ BigSigned : 33|18@0- (0.00001,2) [0|0] "V" BMS
"""
MULTIPLEXED = """
BO_ 512 Muxed: 8 DEV
 SG_ Page M : 0|4@1+ (1,0) [0|0] "" BMS
 SG_ A m0 : 8|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ B m0 : 31|16@0+ (0.001,0) [0|0] "V" BMS
 SG_ C m3 : 8|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ D : 56|8@1- (0.01,0) [0|0] "V" BMS
"""
EXTENDED_MULTIPLEXED = """
BO_ 768 Deep: 8 DEV
 SG_ Outer M : 0|4@1+ (1,0) [0|0] "" BMS
 SG_ Inner m1M : 4|4@1+ (1,0) [0|0] "" BMS
 SG_ A m2 : 8|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ B m3 : 8|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ C m1 : 24|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ D m5 : 8|16@1- (0.001,0) [0|0] "V" BMS

SG_MUL_VAL_ 768 Inner Outer 1-1;
SG_MUL_VAL_ 768 A Inner 2-2, 7-9;
SG_MUL_VAL_ 768 B Inner 3-3;
SG_MUL_VAL_ 768 C Outer 1-2;
SG_MUL_VAL_ 768 D Outer 5-6;
"""
FLEXIBLE = """
BO_ 1024 Wide: 64 DEV
 SG_ A : 0|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ B : 487|24@0+ (0.0000005,0) [0|0] "V" BMS
 SG_ C : 256|32@1- (1,0) [0|0] "V" BMS
 SG_ D : 311|64@0- (1,0) [0|0] "V" BMS

BA_DEF_ BO_  "VFrameFormat" ENUM  "StandardCAN","ExtendedCAN","reserved","J1939PG","reserved","reserved","reserved","reserved","reserved","reserved","reserved","reserved","reserved","reserved","StandardCAN_FD","ExtendedCAN_FD";
BA_DEF_DEF_  "VFrameFormat" "StandardCAN";
BA_ "VFrameFormat" BO_ 1024 14;

SIG_VALTYPE_ 1024 C : 1;
SIG_VALTYPE_ 1024 D : 2;
"""  # noqa: E501
LONG_IDENTIFIER = """
BO_ 2566844926 Long: 8 DEV
 SG_ A : 0|16@1+ (0.001,0) [0|0] "V" BMS
 SG_ B : 23|16@0+ (0.001,0) [0|0] "V" BMS
 SG_ C : 32|1@1+ (1,0) [0|0] "V" BMS
 SG_ D : 40|24@1- (0.00001,0) [0|0] "V" BMS
"""
NAMES = {
    "plain": (PLAIN, "Plain", ("Little", "LittleSigned", "Big", "BigSigned")),
    "multiplexed": (MULTIPLEXED, "Muxed", ("A", "B", "C", "D")),
    "extended multiplexed": (EXTENDED_MULTIPLEXED, "Deep", ("A", "B", "C", "D")),
    "flexible data rate": (FLEXIBLE, "Wide", ("A", "B", "C", "D")),
    "29-bit identifier": (LONG_IDENTIFIER, "Long", ("A", "B", "C", "D")),
}


def cell_signals(message: str, names: tuple[str, ...], **more: Any) -> list[dict[str, Any]]:
    return [
        {"to": "cell_voltage_v", "message": message, "signal": name, "first_index": index, **more}
        for index, name in enumerate(names)
    ]


def frame_of(decoder: SignalDecoder, message: str, data: bytes, at_s: float = 0.0) -> Frame:
    found = decoder.database.messages[message]
    flags = (EXTENDED if found.is_extended_frame else 0) | (FD if found.is_fd else 0)
    return Frame(found.frame_id, data, flags, at_s, at_s)


def cells(decoder: SignalDecoder, now_s: float = 0.0) -> tuple[list[float], list[int]]:
    snapshot = decoder.table.snapshot(now_s)
    slots = decoder.table.slots("cell_voltage_v")
    return snapshot.values[slots].tolist(), snapshot.validity[slots].tolist()


@pytest.mark.parametrize("kind", NAMES)
def test_equals_cantools_on_random_frames(kind: str, tmp_path: Path) -> None:
    dbc, message, names = NAMES[kind]
    pack = write_pack(tmp_path, dbc, cell_signals(message, names, minimum=-1e30, maximum=1e30))
    mine, reference = SignalDecoder(pack), SignalDecoder(pack, by_cantools=True)
    assert not any(plan.by_cantools for plan in mine.plans), "the fast way is what is compared"
    source = random.Random(kind)
    seen: set[int] = set()
    for step in range(3000):
        data = bytearray(source.randbytes(mine.database.messages[message].length))
        # cantools refuses frames whose multiplexer value it does not know; there is a test of its own for
        # them
        if kind == "multiplexed":
            data[0] = data[0] & 0xF0 | source.choice([0, 3])
        elif kind == "extended multiplexed":
            data[0] = source.choice([0x21, 0x31, 0x71, 0x81, 0x91, 0x02, 0x05, 0xF6])
        frame = frame_of(mine, message, bytes(data), at_s=0.01 * step)
        mine.feed(frame)
        reference.feed(frame)
        snapshots = [decoder.table.snapshot(frame.monotonic_s) for decoder in (mine, reference)]
        assert snapshots[0].validity.tolist() == snapshots[1].validity.tolist()
        for a, b in zip(snapshots[0].values, snapshots[1].values, strict=True):
            assert a == b or (a != a and b != b)
        seen |= {i for i, v in enumerate(cells(mine, frame.monotonic_s)[1]) if v == Validity.VALID}
    assert seen == {0, 1, 2, 3}, "every signal was decoded at least once"


def test_an_unknown_multiplexer_value_leaves_the_other_signals(tmp_path: Path) -> None:
    decoder = SignalDecoder(write_pack(tmp_path, MULTIPLEXED, cell_signals("Muxed", NAMES["multiplexed"][2])))
    decoder.feed(frame_of(decoder, "Muxed", bytes([9, 1, 2, 3, 4, 5, 6, 100])))
    assert cells(decoder)[1] == [Validity.MISSING] * 3 + [Validity.VALID]


def test_hand_computed_values(tmp_path: Path) -> None:
    """Against counting bits by hand, so that an error in cantools would be seen too."""
    decoder = SignalDecoder(write_pack(tmp_path, PLAIN, cell_signals("Plain", NAMES["plain"][2])))
    # Little 0…12 = 0x0FA0 (4000); LittleSigned 13…23 = -1; Big 31…18 (14 bit) = 8000; BigSigned = 100000
    little = 4000 | 0x7FF << 13
    data = bytearray(little.to_bytes(3, "little") + bytes(5))
    data[3], data[4] = 8000 >> 6, (8000 & 0x3F) << 2
    number = 100_000  # 18 bits from bit 33: two in byte 4, then bytes 5 and 6
    data[4] |= number >> 16
    data[5], data[6] = (number >> 8) & 0xFF, number & 0xFF
    decoder.feed(frame_of(decoder, "Plain", bytes(data)))
    assert cells(decoder)[0] == pytest.approx([5.0, -0.001, 4.0, 3.0])


J1939 = """
BA_DEF_ BO_  "VFrameFormat" ENUM  "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_DEF_  "VFrameFormat" "J1939PG";
"""


def j1939_message(identifier: int, name: str) -> str:
    return f'BO_ {identifier | 1 << 31} {name}: 8 DEV\n SG_ {name}Volt : 0|16@1+ (0.001,0) [0|0] "V" BMS\n\n'


@pytest.mark.parametrize(
    ("identifier", "cell"),
    [
        (0x18FEF4FE, 0),  # as in the DBC
        (0x0CFEF4FE, 0),  # another priority
        (0x18FEF421, 0),  # another source: the DBC says none
        (0x18FEF513, None),  # another parameter group
    ],
)
def test_j1939_matches_the_parameter_group(tmp_path: Path, identifier: int, cell: int | None) -> None:
    dbc = j1939_message(0x18FEF4FE, "Broadcast") + J1939
    decoder = SignalDecoder(write_pack(tmp_path, dbc, cell_signals("Broadcast", ("BroadcastVolt",))))
    plan = decoder.feed(Frame(identifier, (3700).to_bytes(8, "little"), EXTENDED))
    assert (plan is not None) == (cell == 0)
    assert (cells(decoder)[1][0] == Validity.VALID) == (cell == 0)


def test_j1939_destination_and_fixed_source(tmp_path: Path) -> None:
    dbc = j1939_message(0x18EFFFFE, "Addressed") + j1939_message(0x18FEF613, "OneSource") + J1939
    signals = [
        {"to": "cell_voltage_v", "message": "Addressed", "signal": "AddressedVolt"},
        {"to": "cell_voltage_v", "message": "OneSource", "signal": "OneSourceVolt", "first_index": 1},
    ]
    decoder = SignalDecoder(write_pack(tmp_path, dbc, signals))
    data = (3700).to_bytes(8, "little")
    assert decoder.feed(Frame(0x18EF2A07, data, EXTENDED)) is not None, "any destination, any source"
    assert decoder.feed(Frame(0x18FEF614, data, EXTENDED)) is None, "this one says its source"
    assert decoder.feed(Frame(0x0CFEF613, data, EXTENDED)) is not None
    assert decoder.feed(Frame(0x18FEF613 & 0x7FF, data, 0)) is None, "an 11-bit identifier is another one"


# ---- what protects a frame

PROTECTED = """
BO_ 288 Guarded: 4 DEV
 SG_ Count : 0|4@1+ (1,0) [0|15] "" BMS
 SG_ Bad : 4|1@1+ (1,0) [0|1] "" BMS
 SG_ Volt : 8|12@1+ (0.001,0) [0|0] "V" BMS
 SG_ Check : 24|8@1+ (1,0) [0|255] "" BMS
"""


def guarded(count: int, millivolt: int, bad: int = 0) -> bytes:
    body = bytes([count | bad << 4, millivolt & 0xFF, millivolt >> 8])
    return body + bytes([checksum("crc8_2f", body, 0x31)])


@pytest.fixture
def protected(tmp_path: Path) -> SignalDecoder:
    signal = {
        "to": "cell_voltage_v", "message": "Guarded", "signal": "Volt", "not_available_raw": [4095],
        "minimum": 1.0, "maximum": 4.0, "valid_signal": "Bad", "valid_when": 0,
    }  # fmt: skip
    integrity = [
        {
            "message": "Guard*",
            "checksum": {"signal": "Check", "kind": "crc8_2f", "data_id": 0x31},
            "counter": {"signal": "Count", "modulo": 16},
        }
    ]
    return SignalDecoder(write_pack(tmp_path, PROTECTED, [signal], integrity=integrity, max_age_s=0.5))


def judged(decoder: SignalDecoder, now_s: float) -> tuple[float, int]:
    values, validity = cells(decoder, now_s)
    return values[0], validity[0]


def test_a_wrong_checksum_keeps_the_last_value_until_its_age(protected: SignalDecoder) -> None:
    protected.feed(frame_of(protected, "Guarded", guarded(0, 3700), 0.0))
    protected.feed(frame_of(protected, "Guarded", guarded(1, 3800)[:-1] + b"\x00", 0.4))
    assert judged(protected, 0.4) == (pytest.approx(3.7), Validity.VALID)
    assert judged(protected, 0.6)[1] == Validity.CHECKSUM
    assert judged(protected, 1.2)[1] == Validity.STALE, "nothing comes any more, not even broken"
    protected.feed(frame_of(protected, "Guarded", guarded(2, 3900), 1.3))
    assert judged(protected, 1.3) == (pytest.approx(3.9), Validity.VALID)


def test_a_short_frame_is_refused(protected: SignalDecoder) -> None:
    protected.feed(frame_of(protected, "Guarded", guarded(0, 3700)[:3], 0.0))
    assert judged(protected, 0.0)[1] == Validity.CHECKSUM
    protected.feed(frame_of(protected, "Guarded", b"", 0.0))
    protected.feed(frame_of(protected, "Guarded", guarded(0, 3700) + b"\xaa\xaa", 0.0))
    assert judged(protected, 0.0)[1] == Validity.VALID, "padding behind the message does no harm"
    assert protected.totals() == (3, 2)


def test_a_counter_that_stands_still(protected: SignalDecoder) -> None:
    protected.feed(frame_of(protected, "Guarded", guarded(7, 3700), 0.0))
    for repeat in range(1, COUNTER_REPEATS):
        protected.feed(frame_of(protected, "Guarded", guarded(7, 3800), 0.01 * repeat))
        assert judged(protected, 0.01 * repeat) == (pytest.approx(3.7), Validity.VALID), (
            "repeated frames bring nothing new"
        )
    protected.feed(frame_of(protected, "Guarded", guarded(7, 3800), 0.24))
    assert judged(protected, 0.24)[1] == Validity.VALID, "not yet for half of the maximum age"
    protected.feed(frame_of(protected, "Guarded", guarded(7, 3800), 0.26))
    assert judged(protected, 0.26)[1] == Validity.COUNTER
    protected.feed(frame_of(protected, "Guarded", guarded(8, 3650), 0.3))
    assert judged(protected, 0.3) == (pytest.approx(3.65), Validity.VALID)


def test_a_gateway_that_sends_everything_several_times_hides_nothing(protected: SignalDecoder) -> None:
    for number in range(40):
        for copy in range(6):
            now_s = 0.1 * number + 0.001 * copy
            protected.feed(frame_of(protected, "Guarded", guarded(number % 16, 3700 + number), now_s))
            assert judged(protected, now_s) == (pytest.approx(3.7 + 0.001 * number), Validity.VALID)
    assert protected.totals() == (240, 200), "what is repeated is counted"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (guarded(1, 4095), Validity.NOT_AVAILABLE),
        (guarded(1, 3600, bad=1), Validity.NOT_AVAILABLE),
        (guarded(1, 900), Validity.IMPLAUSIBLE),
        (guarded(1, 4001), Validity.IMPLAUSIBLE),
    ],
)
def test_values_that_the_device_or_the_range_refuses(
    protected: SignalDecoder, data: bytes, reason: Validity
) -> None:
    protected.feed(frame_of(protected, "Guarded", guarded(0, 3700), 0.0))
    protected.feed(frame_of(protected, "Guarded", data, 0.1))
    assert judged(protected, 0.1)[1] == reason, "at once: the device says so now"
    protected.feed(frame_of(protected, "Guarded", b"\x00" * 4, 0.2))
    assert judged(protected, 0.2)[1] == reason, "a broken frame does not bring back what came before"
    assert judged(protected, 1.0)[1] == Validity.STALE


def test_on_off_values(tmp_path: Path) -> None:
    dbc = 'BO_ 1 S: 1 DEV\n SG_ Plug : 0|2@1+ (1,0) [0|3] "" BMS\n SG_ Smoke : 2|2@1+ (1,0) [0|3] "" BMS\n'
    signals = [
        {
            "to": "charging_plug",
            "message": "S",
            "signal": "Plug",
            "true_when": [1, 2],
            "not_available_raw": [3],
        },
        {"to": "smoke", "message": "S", "signal": "Smoke", "true_when": [0]},
    ]
    decoder = SignalDecoder(write_pack(tmp_path, dbc, signals))
    expected = {0b0000: (0, 1), 0b0101: (1, 0), 0b0010: (1, 1), 0b0011: (None, 1)}
    for raw, (plug, smoke) in expected.items():
        decoder.feed(Frame(1, bytes([raw])))
        snapshot = decoder.table.snapshot(0.0)
        plug_slot, smoke_slot = decoder.table.slot("charging_plug", 0), decoder.table.slot("smoke", 0)
        assert snapshot.values[smoke_slot] == smoke
        if plug is None:
            assert snapshot.validity[plug_slot] == Validity.NOT_AVAILABLE
        else:
            assert snapshot.values[plug_slot] == plug


# ---- what does not fit is said at load


@pytest.mark.parametrize(
    ("signals", "device", "said"),
    [
        (
            cell_signals("Plane", ("Little",)),
            {},
            ["device.signals[0]", "no message 'Plane'", "Did you mean 'Plain'?"],
        ),
        (
            cell_signals("Plain", ("Litle",)),
            {},
            ["device.signals[0]", "no signal 'Litle'", "Did you mean 'Little'?"],
        ),
        (cell_signals("Plain", ("Zzz",)), {}, ["no signal 'Zzz'", "It has: Beyond, Big, BigSigned, Little"]),
        (
            cell_signals("Plain", ("Little", "Big"))[:1] * 2,
            {},
            ["device.signals[1]", "cell_voltage_v[0] is mapped a second time"],
        ),
        (cell_signals("Plain", ("Little",), valid_signal="Valid"), {}, ["no signal 'Valid'"]),
        (
            cell_signals("Plain", ("Little",)),
            {"integrity": [{"message": "Plan"}]},
            ["device.integrity[0]", "'Plain'?"],
        ),
        (
            cell_signals("Plain", ("Little",)),
            {"integrity": [{"message": "*", "checksum": {"signal": "Crc", "kind": "xor"}}]},
            ["device.integrity[0]", "no signal 'Crc'"],
        ),
        (cell_signals("Plain", ("Beyond",)), {}, ["Plain.Beyond", "does not lie in 8 bytes"]),
    ],
)
def test_names_that_the_dbc_does_not_have(
    tmp_path: Path, signals: list[dict[str, Any]], device: dict[str, Any], said: list[str]
) -> None:
    pack = write_pack(tmp_path, PLAIN + ' SG_ Beyond : 60|8@1+ (1,0) [0|0] "" BMS\n', signals, **device)
    with pytest.raises(ConfigError) as caught:
        SignalDecoder(pack)
    line = str(caught.value)
    assert "\n" not in line
    for part in (f"{pack.path}:", *said):
        assert part in line
    assert line.split(":")[1].isdigit(), "the line of the entry is named"


def test_a_dbc_that_is_none(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, "BO_ what is this", cell_signals("Plain", ("Little",)))
    with pytest.raises(ConfigError, match=r"device\.dbc: .*pack\.dbc:9: is not a DBC that can be read"):
        SignalDecoder(pack)
    (tmp_path / "pack.dbc").unlink()
    with pytest.raises(ConfigError, match=r"pack\.yaml:\d+: device\.dbc: pack\.dbc: no such file"):
        SignalDecoder(pack)


def test_units_that_do_not_fit_are_warned_of(tmp_path: Path) -> None:
    dbc = PLAIN.replace('"V"', '"mV"', 1)
    decoder = SignalDecoder(write_pack(tmp_path, dbc, cell_signals("Plain", ("Little", "Big"))))
    assert decoder.warnings == [
        "device.signals[0]: Plain.Little: the DBC gives it in [mV], for cell_voltage_v that asks for scale "
        "0.001, but scale "
        "is 1."
    ]


# ---- anything may come


@settings(max_examples=200, deadline=None)
@given(frames=st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=64)), max_size=30))
def test_arbitrary_frames_never_crash_nor_give_a_value_that_is_not_valid(
    frames: list[tuple[int, bytes]], shared_decoders: list[SignalDecoder]
) -> None:
    for decoder in shared_decoders:
        for step, (which, data) in enumerate(frames):
            names = list(decoder.database.messages)
            decoder.feed(frame_of(decoder, names[which % len(names)], data, 0.2 * step))
            decoder.feed(Frame(which, data, which & 1, 0.2 * step))
            snapshot = decoder.table.snapshot(0.2 * step)
            assert ((snapshot.values == snapshot.values) == (snapshot.validity == Validity.VALID)).all()


@pytest.fixture(scope="module")
def shared_decoders(tmp_path_factory: pytest.TempPathFactory) -> list[SignalDecoder]:
    return [
        SignalDecoder(write_pack(tmp_path_factory.mktemp("pack"), dbc, cell_signals(message, names)))
        for dbc, message, names in NAMES.values()
    ]


OVERLAP = """BO_ 256 Both: 8 Bms
 SG_ Mux M : 0|8@1+ (1,0) [0|0] "" X
 SG_ A m0 : 8|12@1+ (1,0) [0|0] "" X
 SG_ B m0 : 16|12@1+ (1,0) [0|0] "" X
 SG_ C m1 : 16|12@1+ (1,0) [0|0] "" X
"""


def test_mapped_signals_that_share_bits_are_refused(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, OVERLAP, cell_signals("Both", ("A", "B")))
    with pytest.raises(
        ConfigError,
        match=r"device\.signals\[1\]: Both\.B \(pack\.dbc:\d+\) and A .*share bit 16 to 19, so one",
    ):
        SignalDecoder(pack)


def test_signals_of_different_multiplexer_values_may_share_bits(tmp_path: Path) -> None:
    SignalDecoder(write_pack(tmp_path, OVERLAP, cell_signals("Both", ("A", "C"))))
