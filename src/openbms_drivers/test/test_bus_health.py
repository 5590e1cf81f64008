"""What is said about a bus, and that it names the cure."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Iterator

import can
import pytest

from openbms_core.types import BusState
from openbms_drivers.bus import Bus, BusError
from openbms_drivers.bus_health import BusHealth, explain_failure


@pytest.fixture
def health() -> BusHealth:
    health = BusHealth("socketcan:can0", 500_000, 1.0)
    health.opened(0.0)
    return health


def test_from_opening_to_silence(health: BusHealth) -> None:
    assert health.judge(0.5)[0] == BusState.CONNECTING
    state, text = health.judge(1.5)
    assert state == BusState.SILENT
    assert "switched on" in text
    assert "500000 bit/s" in text
    health.pack_frame(2.0)
    assert health.judge(2.9) == (BusState.OK, "")
    assert health.judge(3.1)[0] == BusState.SILENT


def test_only_foreign_frames(health: BusHealth) -> None:
    for identifier in range(0x600, 0x620):
        health.foreign_frame(identifier, 2.0)
    state, text = health.judge(2.1)
    assert state == BusState.UNKNOWN_FRAMES
    assert "0x600, 0x601" in text
    assert "0x610" not in text, "a few are enough"
    health.pack_frame(2.2)
    assert health.judge(2.3)[0] == BusState.OK, "other traffic on the bus is no fault"


def test_only_frames_that_are_not_mapped(health: BusHealth) -> None:
    health.other_frame(2.0)
    state, text = health.judge(2.1)
    assert state == BusState.SILENT
    assert "awake" in text


def test_error_frames(health: BusHealth) -> None:
    health.error_frame(0x08, 2.0)
    assert health.judge(2.1)[0] == BusState.ERROR
    assert "wrong bit rate" in health.judge(2.1)[1]
    health.error_frame(0x20, 2.2)
    assert "Nobody acknowledges" in health.judge(2.3)[1]
    health.pack_frame(2.4)
    assert health.judge(2.5)[0] == BusState.OK, "single errors on a bus that works"


def test_bus_off_until_it_is_restarted(health: BusHealth) -> None:
    health.pack_frame(1.0)
    health.error_frame(0x40, 1.1)
    state, text = health.judge(1.2)
    assert state == BusState.OFF
    assert "restart-ms" in text
    health.error_frame(0x100, 1.3)
    assert health.judge(1.4)[0] == BusState.OK


def test_send_failures_are_said_while_nothing_comes(health: BusHealth) -> None:
    health.send_failed("The transmit queue of can0 is full", 2.0)
    assert health.judge(2.1) == (BusState.ERROR, "The transmit queue of can0 is full")
    health.pack_frame(2.2)
    assert health.judge(2.3)[0] == BusState.OK


@pytest.mark.parametrize(
    ("error", "interface", "said"),
    [
        (OSError(errno.ENODEV, "No such device"), "socketcan", "There is no CAN interface 'can0'"),
        (
            OSError(errno.ENETDOWN, "Network is down"),
            "socketcan",
            "sudo ip link set can0 up type can bitrate 250000",
        ),
        (can.CanOperationError("Transmit buffer full", errno.ENOBUFS), "socketcan", "nobody acknowledges"),
        (OSError(errno.EAFNOSUPPORT, "x"), "socketcan", "This kernel has no CAN sockets"),
        (PermissionError(errno.EACCES, "Permission denied"), "slcan", "No permission for slcan:can0"),
        (OSError(errno.ENOENT, "could not open port /dev/ttyUSB9"), "slcan", "there is no device 'can0'"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "socketcand", "Start the hub"),
        (ModuleNotFoundError("No module named 'serial'"), "slcan", "Python package that is not installed"),
        (ValueError("strange"), "virtual", "cannot be used: strange"),
    ],
)
def test_each_failure_names_its_cure(error: Exception, interface: str, said: str) -> None:
    text = explain_failure(error, interface, "can0", 250_000, can.VALID_INTERFACES)
    assert said in text
    assert "\n" not in text


def test_a_misspelt_interface() -> None:
    with pytest.raises(
        BusError, match=r"can_interface 'soketcan' does not exist\. Did you mean 'socketcan'\?"
    ):
        Bus("soketcan", "can0").open()


def test_no_server_is_said_within_a_second() -> None:
    with pytest.raises(BusError, match=r"No socketcand server answers at 127\.0\.0\.1:1, bus can0"):
        Bus("socketcand", "can0", "127.0.0.1", 1).open()


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_another_thread_may_ask_while_the_bus_comes_and_goes(health: BusHealth) -> None:
    end = threading.Event()

    def bus_thread() -> None:
        while not end.is_set():
            health.opened(0.0)
            for identifier in range(8):
                health.foreign_frame(identifier, 2.0)
            health.lost("gone")

    thread = threading.Thread(target=bus_thread)
    thread.start()
    try:
        judged = {health.judge(2.5)[0] for _ in range(20_000)}
    finally:
        end.set()
        thread.join()
    assert judged <= {BusState.CONNECTING, BusState.UNKNOWN_FRAMES, BusState.SILENT}
