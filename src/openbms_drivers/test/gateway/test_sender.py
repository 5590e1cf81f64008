"""What is sent for a value, by DBCs of others: byte orders, ranges, rounding, what does not wait."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from openbms_core.config_file import ConfigError
from openbms_drivers.database import Database
from openbms_drivers.frame import EXTENDED, Frame
from openbms_drivers.gateway.gateway_file import load_gateway
from openbms_drivers.gateway.sender import Sender

T = 50.0
VALUES = {"charge_current_limit_a", "state", "soc"}

DBC = """VERSION ""

BS_:

BU_: BMS VCU

BO_ 2365473013 Little: 8 BMS
 SG_ Limit : 4|12@1+ (0.5,0) [0|1000] "A" VCU
 SG_ Negative : 16|16@1- (0.25,0) [-2000|0] "A" VCU
 SG_ State : 32|4@1+ (1,0) [0|14] "" VCU
 SG_ Alive : 36|2@1+ (1,0) [0|3] "" VCU
 SG_ Check : 56|8@1+ (1,0) [0|255] "" VCU

BO_ 291 Big: 8 BMS
 SG_ Limit : 11|12@0+ (0.5,0) [0|0] "A" VCU
 SG_ Percent : 31|8@0+ (0.4,0) [0|100] "%" VCU
 SG_ Shifted : 39|8@0+ (1,100) [0|0] "A" VCU
"""
STRANGE_DBC = """VERSION ""

BS_:

BU_: BMS VCU

BO_ 300 Paged: 8 BMS
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" VCU
 SG_ Zero m0 : 8|16@1+ (1,0) [0|0] "" VCU
 SG_ Limit m1 : 8|16@1+ (0.1,0) [0|0] "A" VCU

BO_ 301 Floating: 8 BMS
 SG_ Limit : 0|32@1- (1,0) [0|0] "A" VCU
 SG_ Soc : 32|32@1- (1,0) [0|0] "%" VCU

SIG_VALTYPE_ 301 Limit : 1;
SIG_VALTYPE_ 301 Soc : 1;
"""
STRANGE_MAP = """schema_version: 1
name: strange
device:
  dbc: own.dbc
  commands:
    - message: Paged
      period_s: 0.1
      signals:
        - {signal: Page, offset: 1.0}
        - {signal: Limit, source: charge_current_limit_a}
    - message: Floating
      period_s: 0.1
      signals:
        - {signal: Limit, source: charge_current_limit_a}
        - {signal: Soc, source: soc, scale: 100.0}
"""
MAP = """schema_version: 1
name: somebody_elses
device:
  dbc: own.dbc
  commands:
    - message: Little
      period_s: 1.0
      when_changed: true
      counter: {signal: Alive, modulo: 4}
      checksum: {signal: Check, kind: xor}
      signals:
        - {signal: Limit, source: charge_current_limit_a}
        - {signal: Negative, source: charge_current_limit_a, scale: -1.0}
        - {signal: State, source: state, unknown_raw: 15}
    - message: Big
      period_s: 1.0
      signals:
        - {signal: Limit, source: charge_current_limit_a}
        - {signal: Percent, source: soc, scale: 100.0}
"""


def sender(folder: Path, text: str = MAP) -> Sender:
    (folder / "own.dbc").write_text(DBC)
    (folder / "own.yaml").write_text(text)
    gateway = load_gateway(str(folder / "own.yaml"), (), VALUES)
    return Sender(gateway, Database(gateway.as_pack()))


def values(limit_a: float = 0.0, state: float = 3.0, soc: float = 0.5) -> dict[str, float]:
    return {"charge_current_limit_a": limit_a, "state": state, "soc": soc}


def by_id(frames: list[Frame]) -> dict[int, bytes]:
    return {frame.identifier: frame.data for frame in frames}


LITTLE, BIG = 2365473013 & 0x1FFFFFFF, 291


def test_bits_by_hand_for_both_byte_orders_with_another_checksum(tmp_path: Path) -> None:
    frames = sender(tmp_path).frames_due(values(100.0), T)
    assert [frame.flags for frame in frames] == [EXTENDED, 0]
    data = by_id(frames)
    # 100 A: 200 half amperes from bit 4 on; -100 A: -400 quarters; state 3 and counter 0 in byte 4
    plain = (200 << 4).to_bytes(2, "little") + (-400).to_bytes(2, "little", signed=True) + bytes((3, 0, 0))
    check = 0
    for byte in plain:
        check ^= byte
    assert data[LITTLE] == plain + bytes((check,))
    # Motorola: 12 bits from bit 3 of byte 1 to the end of byte 2; 50 % in steps of 0.4 in byte 3
    assert data[BIG] == bytes((0, 0, 200, 125, 0, 0, 0, 0))


@pytest.mark.parametrize(("limit_a", "sent_a"), [(9.99, 9.5), (9.5, 9.5), (0.49, 0.0), (0.3 + 0.2, 0.5)])
def test_a_limit_is_rounded_towards_zero_whatever_the_sign(
    tmp_path: Path, limit_a: float, sent_a: float
) -> None:
    data = by_id(sender(tmp_path).frames_due(values(limit_a), T))[LITTLE]
    assert 0.5 * (int.from_bytes(data[:2], "little") >> 4) == sent_a
    negative_a = 0.25 * int.from_bytes(data[2:4], "little", signed=True)
    assert -limit_a - 1e-9 <= negative_a <= 0.0
    assert negative_a < -limit_a + 0.25


def test_beyond_the_range_of_the_dbc_there_may_be_other_codes(tmp_path: Path) -> None:
    data = by_id(sender(tmp_path).frames_due(values(1_500.0, soc=3.0), T))
    assert int.from_bytes(data[LITTLE][:2], "little") >> 4 == 2000, "1000 A, not what the bits hold"
    assert data[BIG][3] == 250, "100 %"


def test_what_is_unknown_has_its_code_or_is_not_sent(tmp_path: Path) -> None:
    made = sender(tmp_path)
    frames = by_id(made.frames_due(values(1.0, math.nan, math.nan), T))
    assert frames[LITTLE][4] & 0x0F == 15
    assert BIG not in frames and made.withheld == {"Big": "soc"}


def test_a_change_is_sent_before_its_period_and_a_limit_that_rises_with_it(tmp_path: Path) -> None:
    made = sender(tmp_path)
    made.frames_due(values(100.0), T)
    assert made.frames_due(values(100.0), T + 0.1) == []
    assert made.next_due_s <= T + 0.15
    assert by_id(made.frames_due(values(120.0), T + 0.2)) == {}, "it may wait"
    assert list(by_id(made.frames_due(values(80.0), T + 0.3))) == [LITTLE]
    assert made.frames_due(values(60.0), T + 0.31) == [], "not more often than every 50 ms"
    assert list(by_id(made.frames_due(values(60.0, state=6.0), T + 0.4))) == [LITTLE]


def test_a_signal_that_cannot_say_zero_is_refused_for_a_limit(tmp_path: Path) -> None:
    text = MAP.replace(
        "signal: Percent, source: soc, scale: 100.0", "signal: Shifted, source: charge_current_limit_a"
    )
    with pytest.raises(ConfigError, match=r"own\.yaml:\d+: .*Shifted: a limit of zero is 0 there"):
        sender(tmp_path, text)


def test_the_last_frames_do_not_wait_for_their_period(tmp_path: Path) -> None:
    made = sender(tmp_path)
    made.frames_due(values(100.0), T)
    assert len(made.farewell(values(0.0), T + 0.01)) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "source: charge_current_limit_a}",
            "source: charge_current_limit_a, scale: 2.0}",
            "more than the limit",
        ),
        ("source: charge_current_limit_a}", "source: charge_current_limit_a, offset: 5.0}", "offset is 5"),
    ],
)
def test_a_map_that_says_more_than_the_limit_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"own\.yaml:\d+: .*{said}"):
        sender(tmp_path, MAP.replace(old, new, 1))


def test_a_page_of_a_multiplexed_message_and_floats(tmp_path: Path) -> None:
    (tmp_path / "own.dbc").write_text(STRANGE_DBC)
    (tmp_path / "own.yaml").write_text(STRANGE_MAP)
    gateway = load_gateway(str(tmp_path / "own.yaml"), (), VALUES)
    data = by_id(Sender(gateway, Database(gateway.as_pack())).frames_due(values(12.34), T))
    assert data[300] == bytes((1, 123, 0, 0, 0, 0, 0, 0))
    limit_a, percent = struct.unpack("<ff", data[301])
    assert limit_a == pytest.approx(12.34, rel=1e-6) and percent == 50.0
