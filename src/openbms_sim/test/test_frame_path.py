"""Frames of one message get lost, late, doubled, swapped, spoilt; those of another pass untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbms_core.frame_integrity import checksum
from openbms_sim.faults import Injections, parse_injections
from openbms_sim.frame_path import FramePath
from openbms_sim.frames import layouts

DBC = Path(__file__).parents[2] / "openbms_drivers/openbms_drivers/devices/openbms_cmu/openbms_cmu.dbc"
LAYOUTS = layouts(str(DBC))
VOLTAGES, STATUS = 0x91, 0x90


class Way:
    """A path on which two messages are sent every 10 ms."""

    def __init__(self, text: str = "") -> None:
        self.path = FramePath(LAYOUTS)
        self.now_s, self.count = 0.0, 0
        self.injections = Injections()
        self.set(text)

    def set(self, text: str) -> None:
        items = parse_injections(f"[{text}]", cells=96, sensors=[], messages=list(LAYOUTS))
        self.injections = Injections(items, self.now_s, self.injections)

    def run(self, ticks: int) -> list[tuple[float, int, bytes]]:
        out = []
        for _ in range(ticks):
            frames = [
                (LAYOUTS[name].identifier, LAYOUTS[name].pack({}, self.count & 0xF))
                for name in ("Pack_Voltages", "Pack_Status")
            ]
            out += [
                (self.now_s, *frame)
                for frame in self.path.through(frames, self.now_s, self.injections.at(self.now_s))
            ]
            self.now_s, self.count = round(self.now_s + 0.01, 6), self.count + 1
        return out


def counters(frames, identifier: int = VOLTAGES) -> list[int]:
    return [data[0] & 0xF for _, number, data in frames if number == identifier]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{fault: drop_message, message: Pack_Voltages}",
        "{fault: late_message, message: Pack_Voltages, delay_s: 0.05}",
        "{fault: duplicate_message, message: Pack_Voltages, copies: 3}",
        "{fault: reorder_message, message: Pack_Voltages}",
        "{fault: corrupt_message, message: Pack_Voltages}",
        "{fault: wrong_length, message: Pack_Voltages, length: 1}",
    ],
)
def test_other_messages_pass_untouched(text: str) -> None:
    frames = Way(text).run(16)
    assert counters(frames, STATUS) == list(range(16))
    assert all(
        checksum("crc8_sae_j1850", data[:-1], STATUS) == data[-1] for _, n, data in frames if n == STATUS
    )


def test_late_frames_keep_their_order_also_when_the_delay_ends() -> None:
    way = Way("{fault: late_message, message: Pack_Voltages, delay_s: 0.05}")
    frames = way.run(8)
    assert [at for at, number, _ in frames if number == VOLTAGES] == [0.05, 0.06, 0.07]
    way.set("")
    frames += way.run(8)
    assert counters(frames) == list(range(16)), "none is lost and none overtakes"


def test_copies_are_equal_and_a_swap_is_of_neighbours() -> None:
    assert counters(Way("{fault: duplicate_message, message: Pack_Voltages}").run(3)) == [0, 0, 1, 1, 2, 2]
    swap = "{fault: reorder_message, message: Pack_Voltages, probability: 1.0}"
    way = Way(swap)
    assert counters(way.run(6)) == [1, 0, 3, 2, 5, 4]
    way.run(1)  # the seventh is held back
    way.set("")
    assert counters(way.run(2)) == [7, 6, 8], "what was held back when it ends comes behind the next"


def test_bits_flip_with_and_without_a_valid_checksum() -> None:
    for valid in (False, True):
        text = f"{{fault: corrupt_message, message: Pack_Voltages, flips: 2, valid_checksum: {valid}}}"
        healthy, spoilt = Way().run(50), Way(text).run(50)
        right = 0
        for (_, number, good), (_, _, bad) in zip(healthy, spoilt, strict=True):
            if number == VOLTAGES:
                flipped = int.from_bytes(good[:-1], "big") ^ int.from_bytes(bad[:-1], "big")
                assert (flipped.bit_count() == 2) if valid else (flipped.bit_count() <= 2)
                right += checksum("crc8_sae_j1850", bad[:-1], VOLTAGES) == bad[-1]
        assert right == (50 if valid else 0), "two flipped bits never pass this checksum"


@pytest.mark.parametrize("length", [0, 3, 8])
def test_another_length(length: int) -> None:
    frames = Way(f"{{fault: wrong_length, message: Pack_Voltages, length: {length}}}").run(2)
    assert {len(data) for _, number, data in frames if number == VOLTAGES} == {length}


def test_lost_by_chance() -> None:
    kept = counters(Way("{fault: drop_message, message: Pack_Voltages, probability: 0.3}").run(1000))
    assert len(kept) == pytest.approx(700, abs=60)
