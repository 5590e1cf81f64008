"""The loop on python-can's virtual bus: the real thread, the real clock, events instead of waiting."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import can
import numpy as np
import pytest
from demo_device import DemoDevice

from openbms_core.pack import LoadedPack
from openbms_core.types import BmsStatus, BusState, ContactorCommand, PackMeasurement, State, Validity
from openbms_drivers.bus import Bus, BusError, FrameClock
from openbms_drivers.bus_loop import BusLoop
from openbms_drivers.database import Database
from openbms_drivers.frame import ERROR, EXTENDED, FD, Frame
from openbms_drivers.pack_driver import PackDriver

STATE = BmsStatus(
    state=State.DRIVE, previous_state=State.PRECHARGE, time_in_state_s=1.0, requested_state=State.DRIVE,
    reason="", explanation="", contactor_command=np.zeros(3, np.uint8), contactors_closed=False,
    zero_current_requested=False, opening_deadline_s=np.nan, charge_allowed=True, discharge_allowed=True,
    balancing_allowed=True, heating_allowed=True, cooling_required=False, inhibits=[], inhibit_texts=[],
    start_count=1,    valid_for_s=0.5,
)  # fmt: skip
PATIENCE_S = 10.0
"""Only a test that fails waits for this long."""


class Running:
    """A driver on a virtual bus, and the other end of it."""

    def __init__(
        self,
        pack: LoadedPack,
        channel: str,
        *,
        record: bool = False,
        monotonic_s: Callable[[], float] = time.monotonic,
        listen_only: bool = False,
    ) -> None:
        self.scans: queue.Queue[tuple[PackMeasurement, list[Frame], list[Frame]]] = queue.Queue()
        self.driver = PackDriver(pack, f"virtual:{channel}", listen_only=listen_only)
        self.bus = Bus("virtual", channel)
        self.loop = BusLoop(
            self.driver,
            self.bus,
            monotonic_s=monotonic_s,
            awake_s=time.monotonic,
            stamp_s=time.time,
            wall_s=time.time,
            on_scan=lambda *scan: self.scans.put(scan),
            record=record,
        )
        self.other = can.Bus(interface="virtual", channel=channel)
        self.loop.start()

    def send(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.other.send(
                can.Message(arbitration_id=frame.identifier, data=frame.data, is_extended_id=False)
            )

    def until(
        self, wanted: Callable[[PackMeasurement], bool], before: Callable[[], None] = lambda: None
    ) -> tuple[PackMeasurement, list[Frame], list[Frame]]:
        """Give the first scan that is as wanted; ``before`` is done again before each one."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            before()
            scan = self.scans.get(timeout=PATIENCE_S)
            if wanted(scan[0]):
                return scan
        raise AssertionError("no such scan")

    def heartbeat(self, timeout_s: float = PATIENCE_S) -> can.Message | None:
        """Wait for the next Bms_Command."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            message = self.other.recv(left)
            if message is not None and message.arbitration_id == 0x50:
                return message
        return None

    def stop(self) -> None:
        self.loop.stop()
        self.other.shutdown()


@pytest.fixture
def running(demo_pack: LoadedPack, request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(demo_pack, request.node.name, record=True)
    yield running
    running.stop()


def test_frames_in_scan_out(running: Running, device: DemoDevice) -> None:
    scan, received, sent = running.until(
        lambda scan: bool((scan.cell_voltage_validity == Validity.VALID).all()),
        before=lambda: running.send(device.scan(0.0)),
    )
    assert scan.bus_state == BusState.OK
    assert 0.0 <= scan.cell_voltage_ages_s.max() < 0.4
    assert abs(scan.stamp_s - time.time()) < PATIENCE_S
    assert 0x90 in {frame.identifier for frame in received}
    assert all(frame.identifier in range(0x50, 0x71) for frame in sent)


def test_the_heartbeat_counts_and_stops_with_the_loop(running: Running) -> None:
    first, second = running.heartbeat(), running.heartbeat()
    assert first is not None
    assert second is not None
    assert (second.data[0] & 15) == (first.data[0] + 1) % 16
    running.loop.stop()
    while running.other.recv(0.0) is not None:
        pass
    assert running.heartbeat(0.3) is None


def test_the_heartbeat_stops_when_the_loop_hangs(demo_pack: LoadedPack, device: DemoDevice) -> None:
    """Whoever publishes hangs: nothing may send on for a driver that is dead inside."""
    running = Running(demo_pack, "hanging")
    hung, release = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        hung.set()
        release.wait(PATIENCE_S)

    running.loop._on_scan = hang
    assert hung.wait(PATIENCE_S)
    while running.other.recv(0.0) is not None:
        pass
    assert running.heartbeat(0.3) is None
    release.set()
    running.stop()


def test_a_bug_in_the_loop_ends_it_and_is_kept(demo_pack: LoadedPack) -> None:
    running = Running(demo_pack, "failing")
    done = threading.Event()

    def fail(*_: object) -> None:
        done.set()
        raise ZeroDivisionError("a bug")

    running.loop._on_scan = fail
    assert done.wait(PATIENCE_S)
    running.loop._thread.join(PATIENCE_S)  # type: ignore[union-attr]
    assert isinstance(running.loop.failure, ZeroDivisionError)
    assert not running.loop.running
    assert not running.bus.is_open
    running.stop()


def test_a_bus_that_is_lost_is_said_and_opened_again(running: Running, device: DemoDevice) -> None:
    running.until(lambda scan: scan.bus_state == BusState.OK, before=lambda: running.send(device.scan(0.0)))
    running.bus._bus.shutdown()  # the interface goes away under the driver
    scan, _, _ = running.until(lambda scan: scan.bus_state != BusState.OK)
    assert (scan.cell_voltage_validity == Validity.BUS_LOST).all()
    assert "virtual" in scan.bus_message
    running.until(lambda scan: scan.bus_state == BusState.OK, before=lambda: running.send(device.scan(0.0)))


def test_a_full_transmit_queue_does_not_stop_reception(
    running: Running, device: DemoDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(frame: Frame) -> None:
        raise BusError("The transmit queue is full", lost=False)

    monkeypatch.setattr(running.bus, "send", full)
    good = lambda scan: bool((scan.cell_voltage_validity == Validity.VALID).all())  # noqa: E731
    running.until(good, before=lambda: running.send(device.scan(0.0)))
    running.until(good, before=lambda: running.send(device.scan(0.0)))
    while running.other.recv(0.0) is not None:
        pass
    monkeypatch.undo()
    assert running.heartbeat() is not None


def test_foreign_traffic_alone_is_named(running: Running) -> None:
    foreign = Frame(0x6B0, b"\x01")
    running.driver.health._silent_after_s = 0.2
    scan, _, _ = running.until(
        lambda scan: scan.bus_state == BusState.UNKNOWN_FRAMES, before=lambda: running.send([foreign])
    )
    assert "0x6B0" in scan.bus_message


def test_a_frame_clock_dates_back_and_never_runs_back() -> None:
    times = iter([10.0, 10.001, 10.0015])
    walls = iter([1000.010, 1000.0, 1005.0])
    clock = FrameClock(lambda: next(times), lambda: 500.0, lambda: next(walls))

    def message(stamp: float, **kind: bool) -> can.Message:
        return can.Message(timestamp=stamp, arbitration_id=5, data=b"\x01", **kind)

    first = clock.frame(message(1000.0, is_extended_id=True, is_fd=True))
    assert first.monotonic_s == pytest.approx(9.99)
    assert first.stamp_s == pytest.approx(499.99)
    assert first.flags == EXTENDED | FD
    second = clock.frame(message(2000.0, is_extended_id=False, is_error_frame=True))
    assert (second.monotonic_s, second.flags) == (10.001, ERROR), "a stamp of the future is not believed"
    third = clock.frame(message(0.0))
    assert third.monotonic_s == 10.0015, "nor one of another clock"


def test_frames_that_waited_while_the_loop_stood_are_as_old_as_they_are() -> None:
    now_s = 10.0
    clock = FrameClock(lambda: now_s, lambda: 1000.0 + now_s, lambda: 1000.0 + now_s)

    def read(received_s: float) -> float:
        return clock.frame(can.Message(timestamp=1000.0 + received_s, arbitration_id=5)).monotonic_s

    clock.nothing_waits()
    now_s = 13.0  # the loop stood for three seconds
    assert [read(10.5), read(11.9), read(12.9)] == pytest.approx([10.5, 11.9, 12.9])
    clock.nothing_waits()
    now_s = 13.1
    assert read(13.09) == pytest.approx(13.09)
    assert read(11.0) == pytest.approx(13.1), "everything had been read, so this is a clock that was set"


def test_what_lay_in_the_queue_too_long_is_not_given_as_new(
    demo_pack: LoadedPack, demo_database: Database, device: DemoDevice
) -> None:
    driver = PackDriver(demo_pack, database=demo_database)
    driver.health.opened(0.0)
    driver.start(0.0)
    for waited_s, validity in ((0.0, Validity.VALID), (0.05, Validity.VALID), (1.5, Validity.STALE)):
        received_s = 10.0 * (1.0 + waited_s)
        frames = device.scan(received_s)
        scan = [driver.receive(frame, lambda: received_s + waited_s) for frame in frames][-1]  # noqa: B023
        assert scan is not None
        assert (scan.cell_voltage_validity == validity).all()
        assert scan.bus_state == BusState.OK, "it is not the bus that is late"


def test_a_thread_that_hangs_gets_no_second_one_beside_it(demo_pack: LoadedPack) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        entered.set()
        leave.wait(PATIENCE_S)

    running = Running(demo_pack, "hanging")
    running.loop._on_scan = hang
    try:
        assert entered.wait(PATIENCE_S)
        running.loop.stop(timeout_s=0.01)
        with pytest.raises(RuntimeError, match="no second one"):
            running.loop.start()
    finally:
        leave.set()
        running.stop()
    assert not running.loop.running


def closing(running: Running, scan_number: int) -> None:
    """Give the driver a monitor's word, as its node does, and have it answered."""
    one, now = np.ones(1, np.uint8), time.monotonic()
    running.driver.encoder.arbiter.set_contactors(
        ContactorCommand(scan_number, one, one, 0 * one, State.DRIVE, "requested", 0.5, scan_number), now
    )
    running.loop.answer()


def test_a_command_is_answered_in_the_thread_that_brings_it(running: Running) -> None:
    assert running.heartbeat() is not None, "the loop goes round"
    threads: list[int] = []
    send = running.bus.send

    def noted(frame: Frame) -> None:
        threads.append(threading.get_ident())
        send(frame)

    running.bus.send = noted  # type: ignore[method-assign]
    end = time.monotonic() + PATIENCE_S
    number = 0
    while threading.get_ident() not in threads:
        assert time.monotonic() < end
        number += 1
        closing(running, number)
    while (message := running.heartbeat()) is not None and message.data[6] != number % 256:
        pass
    assert message is not None


def test_nobody_sends_for_a_loop_that_hangs(demo_pack: LoadedPack) -> None:
    """Commands go on coming in, but the heartbeat must end: half a driver is dead."""
    running = Running(demo_pack, "hanging while commands come")
    hung, release = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        hung.set()
        release.wait(PATIENCE_S)

    running.loop._on_scan = hang
    try:
        assert hung.wait(PATIENCE_S)
        last_s, number, began_s = time.monotonic(), 0, time.monotonic()
        while time.monotonic() - began_s < 1.0:
            number += 1
            closing(running, number)
            if running.heartbeat(0.01) is not None:
                last_s = time.monotonic()
        assert last_s - began_s < 0.5
    finally:
        release.set()
        running.stop()


def test_a_bus_that_is_lost_while_a_command_is_answered_is_closed_by_the_loop(
    running: Running, device: DemoDevice
) -> None:
    running.until(lambda scan: scan.bus_state == BusState.OK, before=lambda: running.send(device.scan(0.0)))
    caller, send = threading.get_ident(), running.bus.send

    def broken(frame: Frame) -> None:
        if threading.get_ident() == caller:
            raise BusError("the cable is off")
        send(frame)

    running.bus.send = broken  # type: ignore[method-assign]
    number = 0

    def answer() -> None:
        nonlocal number
        number += 1
        closing(running, number)

    scan, _, _ = running.until(lambda scan: scan.bus_state != BusState.OK, before=answer)
    assert scan.bus_message == "the cable is off"
    running.bus.send = send  # type: ignore[method-assign]
    running.until(lambda scan: scan.bus_state == BusState.OK, before=lambda: running.send(device.scan(0.0)))
    assert running.loop.failure is None


def test_after_a_suspend_nothing_from_before_closes(demo_pack: LoadedPack) -> None:
    """The clock of ages went on while everything stood still: the command from before has expired."""
    slept_s = 0.0

    def clock_s() -> float:
        return time.monotonic() + slept_s

    running = Running(demo_pack, "suspend", monotonic_s=clock_s)

    def say(closed: int) -> None:
        one, zero = np.full(1, closed, np.uint8), np.zeros(1, np.uint8)
        arbiter, now_s = running.driver.encoder.arbiter, clock_s()
        arbiter.set_state(replace(STATE, contactor_command=np.array([closed, closed, 0], np.uint8)), now_s)
        arbiter.set_contactors(ContactorCommand(0, one, one, zero, State.DRIVE, "", 0.5), now_s)
        running.loop.answer()

    def commanded(closed: int, before: Callable[[], None] = lambda: None) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            before()
            message = running.heartbeat(0.3)
            if message is not None and message.data[1] & 3 == 3 * closed:
                return
        raise AssertionError("never commanded")

    try:
        commanded(0, lambda: say(0))
        commanded(1, lambda: say(1))
        while running.other.recv(0.0) is not None:
            pass
        slept_s = 0.6
        commanded(0)
        for _ in range(20):
            say(1)
            message = running.heartbeat(0.02)
            assert message is None or not message.data[1] & 3, "the link may be empty: precharge comes first"
        assert time.monotonic() - running.loop.turned_s < 1.0, "it does not look as if the loop had hung"
        commanded(0, lambda: say(0))
        commanded(1, lambda: say(1))
    finally:
        running.stop()


def test_who_only_listens_sends_nothing_and_waits(
    demo_pack: LoadedPack, device: DemoDevice, request: pytest.FixtureRequest
) -> None:
    """Commands that are never sent must not keep the loop awake: it took a whole core."""
    running = Running(demo_pack, request.node.name, listen_only=True)
    try:
        waits: list[float] = []
        receive = running.bus.receive
        running.bus.receive = lambda wait_s: (waits.append(wait_s), receive(wait_s))[1]  # type: ignore[method-assign]
        running.until(lambda scan: scan.scan_number >= 3, before=lambda: running.send(device.scan(0.0)))
        waits.clear()
        _, _, sent = running.until(lambda scan: scan.bus_state != BusState.CONNECTING)
        assert sum(wait_s > 0.01 for wait_s in waits) >= 3, "most turns wait until a scan is due"
        assert sent == []
        assert running.other.recv(0.0) is None
    finally:
        running.stop()
