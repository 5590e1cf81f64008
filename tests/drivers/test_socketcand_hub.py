"""The driver's bus against a real socketcand server over TCP: the hub of the demonstration."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import can
import pytest
from demo_device import DemoDevice

from openbms_core.pack import load_pack
from openbms_core.types import BusState, PackMeasurement, Validity
from openbms_drivers.bus import Bus
from openbms_drivers.bus_loop import BusLoop
from openbms_drivers.pack_driver import PackDriver
from openbms_sim.can_hub import CanHub

PATIENCE_S = 15.0


@pytest.fixture
def hub() -> Iterator[CanHub]:
    hub = CanHub(port=0)
    hub.start()
    yield hub
    hub.stop()


@pytest.fixture
def scans() -> queue.Queue[PackMeasurement]:
    return queue.Queue()


@pytest.fixture
def loop(hub: CanHub, scans: queue.Queue[PackMeasurement]) -> Iterator[BusLoop]:
    driver = PackDriver(load_pack("demo_96s_nmc"), "socketcand:can0")
    loop = BusLoop(
        driver,
        Bus("socketcand", "can0", "127.0.0.1", hub.port),
        monotonic_s=time.monotonic,
        stamp_s=time.time,
        wall_s=time.time,
        on_scan=lambda scan, *_: scans.put(scan),
    )
    loop.start()
    yield loop
    loop.stop()


def until(
    scans: queue.Queue[PackMeasurement],
    wanted: Callable[[PackMeasurement], bool],
    before: Callable[[], None] = lambda: None,
) -> PackMeasurement:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        before()
        scan = scans.get(timeout=PATIENCE_S)
        if wanted(scan):
            return scan
    raise AssertionError("no such scan")


def device_on(hub: CanHub) -> tuple[can.BusABC, Callable[[], None]]:
    bus = can.Bus(interface="socketcand", channel="can0", host="127.0.0.1", port=hub.port, tcp_tune=True)
    device = DemoDevice(load_pack("demo_96s_nmc"))

    def send() -> None:
        for frame in device.scan(0.0):
            bus.send(can.Message(arbitration_id=frame.identifier, data=frame.data, is_extended_id=False))

    return bus, send


def test_scans_and_heartbeat_and_a_hub_that_dies(
    hub: CanHub, loop: BusLoop, scans: queue.Queue[PackMeasurement]
) -> None:
    assert hub.wait_for_clients("can0", 1, PATIENCE_S)
    bus, send = device_on(hub)
    scan = until(scans, lambda scan: bool((scan.cell_voltage_validity == Validity.VALID).all()), send)
    assert scan.bus_state == BusState.OK
    assert scan.frames_rejected == 0
    end = time.monotonic() + PATIENCE_S
    while (message := bus.recv(PATIENCE_S)) is not None and message.arbitration_id != 0x50:
        assert time.monotonic() < end
    assert message is not None
    bus.shutdown()

    port = hub.port
    hub.stop()
    scan = until(scans, lambda scan: scan.bus_state == BusState.CONNECTING)
    assert (scan.cell_voltage_validity == Validity.BUS_LOST).all()
    scan = until(scans, lambda scan: "No socketcand server answers" in scan.bus_message)
    assert "Start the hub" in scan.bus_message

    again = CanHub(port=port)
    again.start()
    try:
        assert again.wait_for_clients("can0", 1, PATIENCE_S), "the driver comes back by itself"
        bus, send = device_on(again)
        until(scans, lambda scan: scan.bus_state == BusState.OK, send)
        bus.shutdown()
    finally:
        loop.stop()
        again.stop()
    assert loop.failure is None


def test_who_waits_for_a_frame_can_be_woken(hub: CanHub) -> None:
    """Nothing comes on the bus: a new command must not wait for it."""
    bus = Bus("socketcand", "can0", "127.0.0.1", hub.port)
    bus.open()
    ended = threading.Event()
    waiting = threading.Thread(target=lambda: (bus.receive(60.0), ended.set()), daemon=True)
    waiting.start()
    bus.wake()
    assert ended.wait(PATIENCE_S), "woken, long before its time is over"
    bus.wake()
    assert bus.receive(60.0) is None, "one that came before the wait counts too"
    other, send = device_on(hub)
    bus.wake()
    send()
    got = bus.receive(PATIENCE_S) or bus.receive(PATIENCE_S)
    assert got is not None, "a frame that came with it is not lost"
    other.shutdown()
    bus.close()
