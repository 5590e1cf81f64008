"""The bus in bit times: order by identifier, load, queues, collisions, bus-off."""

from __future__ import annotations

import pytest

from openbms_sim.arbitration import ERROR_FLAG, BitTimeBus, Node
from openbms_sim.bus_load import worst_case_bits
from openbms_sim.faults import Injections, bus, parse_injections
from openbms_sim.medium import Medium

RATE = 500_000.0
FRAME_S = worst_case_bits(8) / RATE


def two() -> BitTimeBus:
    return BitTimeBus(RATE, {"a": Node(), "b": Node()})


def test_one_frame_takes_its_bits() -> None:
    wire = two()
    wire.offer("a", (0x100, bytes(8)), 0.0)
    assert wire.run(0.99 * FRAME_S) == []
    assert wire.run(FRAME_S) == [("a", (0x100, bytes(8)))] and wire.idle


def test_the_lowest_identifier_goes_first_but_interrupts_nobody() -> None:
    wire = two()
    wire.offer("a", (0x300, b"1"), 0.0)
    wire.offer("a", (0x301, b"2"), 0.0)
    wire.offer("b", (0x010, b"3"), 1e-6)
    assert [frame[1] for _, frame in wire.run(1.0)] == [b"1", b"3", b"2"]


def test_a_full_queue_loses_what_comes() -> None:
    wire = BitTimeBus(RATE, {"a": Node(capacity=3)})
    for number in range(5):
        wire.offer("a", (number, b""), 0.0)
    assert len(wire.run(1.0)) == 3 and wire.nodes["a"].lost == 2


def test_the_same_identifier_from_two_nodes_ends_in_bus_off() -> None:
    wire = two()
    for _ in range(40):
        wire.offer("a", (0x80, b"1"), 0.0)
        wire.offer("b", (0x80, b"2"), 0.0)
    done = wire.run(1.0)
    errors = [frame for name, frame in done if name == ""]
    assert len(errors) == 32 and all(identifier & ERROR_FLAG for identifier, _ in errors)
    assert all(node.lost == 40 for node in wire.nodes.values()), "both threw away what they had"


def test_equal_frames_are_one_frame() -> None:
    wire = two()
    for name in "ab":
        wire.offer(name, (0x80, b"1"), 0.0)
    assert len(wire.run(1.0)) == 1 and wire.idle


def test_disturbances_cost_time_and_lose_nothing() -> None:
    wire = BitTimeBus(RATE, {"a": Node(capacity=1000)})
    wire.disturbances_per_s = 300.0
    for number in range(300):
        wire.offer("a", (number, bytes(8)), 0.0)
    done = wire.run(1.0)
    good = [frame for name, frame in done if name == "a"]
    assert len(good) == 300 and 10 < len(done) - len(good) < 60


class Wire:
    """A medium on which the device sends a scan and the host a command every 10 ms."""

    def __init__(self, text: str) -> None:
        self.medium = Medium(RATE)
        items = parse_injections(text, cells=96, sensors=[], messages=[])
        self.injections = Injections(items, 0.0)
        self.now_s = 0.0

    def run(self, seconds: float, frames_each: int = 5) -> tuple[list[tuple[int, bytes]], int]:
        heard, reached = [], 0
        for _ in range(round(seconds / 0.01)):
            self.now_s += 0.01
            injections = self.injections.at(self.now_s)
            reached += len(self.medium.to_device([(0x050, bytes(8))], self.now_s, injections))
            frames = [(0x100 + n, bytes(8)) for n in range(frames_each)]
            heard += self.medium.to_host(frames, self.now_s, injections)
        return heard, reached


def own(heard) -> int:
    return sum(0x100 <= identifier < 0x110 for identifier, _ in heard)


@pytest.mark.parametrize(
    ("load", "identifier", "through", "reaches"),
    [
        (1.0, 0, 0.0, 0.0),  # nothing else gets through
        (0.9, 0, 0.54, 1.0),  # the host's one frame wins over the device's five; they get what is left
        (0.5, 0, 1.0, 1.0),
        (1.0, 0x7FF, 1.0, 1.0),  # the lowest priority disturbs nobody
    ],
)
def test_a_flood_takes_its_share_by_arbitration(load, identifier, through, reaches) -> None:
    wire = Wire(f"[{{fault: bus_flood, identifier: {identifier}, load: {load}}}]")
    heard, reached = wire.run(2.0)
    assert own(heard) / 1000 == pytest.approx(through, abs=0.03)
    assert reached / 200 == pytest.approx(reaches, abs=0.03)
    flood = sum(number == identifier for number, _ in heard)
    bits = (flood + own(heard) + reached) * worst_case_bits(8) / RATE
    assert flood > 0 and bits <= 2.02, "the bus carries no more than its bit rate"
    if load == 1.0:
        assert bits == pytest.approx(2.0, abs=0.02)


def test_after_a_flood_the_queues_drain_and_frames_pass_at_once() -> None:
    wire = Wire("[{fault: bus_flood, load: 1.0, duration_s: 0.5}]")
    assert own(wire.run(0.4)[0]) == 0
    heard, _ = wire.run(0.3)
    assert 100 + 64 <= own(heard) <= 105 + 64, "what waited in the queue comes late"
    assert own(wire.run(0.01)[0]) == 5


def test_a_flood_with_an_identifier_of_the_device_is_a_fight() -> None:
    wire = Wire("[{fault: bus_flood, identifier: 0x100, length: 4}]")
    heard, _ = wire.run(1.0)
    assert sum(bool(number & ERROR_FLAG) for number, _ in heard) >= 32
    assert own(heard) and sum(number == 0x101 for number, _ in heard) < 100


def test_what_a_controller_says_of_itself() -> None:
    wire = Wire("[{fault: bus_off, side: host, duration_s: 0.1}]")
    heard, reached = wire.run(0.08)
    assert heard == [(ERROR_FLAG | 0x40, b"")] and reached == 0
    heard, reached = wire.run(0.1)
    assert heard[0] == (ERROR_FLAG | 0x100, b"") and reached > 0
    wire = Wire("[{fault: bit_rate_mismatch, error_rate_per_s: 100}]")
    heard, reached = wire.run(1.0)
    assert len(heard) == pytest.approx(100, abs=3) and reached == 0


def test_without_an_injection_frames_pass_at_once() -> None:
    medium, nothing = Medium(RATE), Injections().at(0.0)
    frames = [(0x700 - n, bytes(8)) for n in range(100)]
    assert medium.to_device(frames, 0.01, nothing) == frames
    assert medium.to_host(frames, 0.01, nothing) == frames
    assert nothing.of(bus.SilentBus) == []
