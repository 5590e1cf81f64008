"""The thread that owns a gateway's bus: what cannot be sent does not deafen it, and how it ends."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import can
import pytest
from processes import wait_until

from openbms_drivers.bus import BusError
from openbms_drivers.frame import Frame
from openbms_drivers.gateway.gateway_file import load_gateway
from openbms_drivers.gateway.gateway_loop import GatewayLoop
from openbms_drivers.gateway.peer import Peer

DBC = """VERSION ""

BS_:

BU_: BMS VCU

BO_ 291 Out: 1 BMS
 SG_ Value : 0|8@1+ (1,0) [0|0] "" VCU

BO_ 292 In: 1 VCU
 SG_ Key : 0|1@1+ (1,0) [0|0] "" BMS
"""
MAP = """schema_version: 1
name: own
device:
  dbc: own.dbc
  signals: [{to: ignition, message: In, signal: Key}]
  commands: [{message: Out, period_s: 0.01, signals: [{signal: Value, source: state}]}]
"""


class PretendedBus:
    """A bus that says what happens to it."""

    def __init__(self) -> None:
        self.is_open = False
        self.sent: list[Frame] = []
        self.refuse: BusError | None = None
        self.incoming: list[Any] = []
        self._woken = threading.Event()

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def wake(self) -> None:
        self._woken.set()

    def send(self, frame: Frame) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.sent.append(frame)

    def receive(self, timeout_s: float) -> Any:
        if self.incoming:
            return self.incoming.pop(0)
        if timeout_s:
            self._woken.wait(min(timeout_s, 0.005))
        return None


@pytest.fixture
def made(tmp_path: Path) -> Any:
    (tmp_path / "own.dbc").write_text(DBC)
    (tmp_path / "own.yaml").write_text(MAP)
    gateway = load_gateway(str(tmp_path / "own.yaml"), {"ignition"}, {"state"})
    world = SimpleNamespace(bus=PretendedBus(), value=1.0)
    world.peer = Peer(gateway, "virtual:x", lambda now_s: {"state": world.value})
    world.loop = GatewayLoop(
        world.peer,
        world.bus,
        monotonic_s=time.monotonic,
        stamp_s=time.time,
        farewell=lambda now_s, stamp_s: [Frame(291, b"\xff", 0, now_s, stamp_s)],
    )
    yield world
    world.loop.stop()


def key(on: int) -> can.Message:
    return can.Message(arbitration_id=292, data=bytes((on,)), is_extended_id=False)


def test_a_full_queue_does_not_keep_it_from_hearing(made: Any) -> None:
    made.bus.refuse = BusError("the transmit queue is full", lost=False)
    made.loop.start()
    made.bus.incoming.append(key(1))
    wait_until(lambda: made.peer.readings(time.monotonic()).value("ignition") == 1.0, 10, "the key is heard")
    made.bus.refuse = None
    wait_until(lambda: bool(made.bus.sent), 10, "it sends again")
    made.loop.check()


def test_a_bus_that_is_lost_is_opened_again(made: Any) -> None:
    made.loop.start()
    wait_until(lambda: bool(made.bus.sent), 10, "it sends")
    made.bus.refuse = BusError("gone")
    wait_until(lambda: not made.bus.is_open, 10, "it is closed")
    made.bus.refuse = None
    made.bus.sent.clear()
    wait_until(lambda: bool(made.bus.sent), 10, "it sends again")


def test_the_last_frame_is_the_farewell(made: Any) -> None:
    made.loop.start()
    wait_until(lambda: bool(made.bus.sent), 10, "it sends")
    made.loop.stop()
    assert made.bus.sent[-1].data == b"\xff"
    assert not made.bus.is_open


def test_a_thread_that_fails_is_said_and_sends_nothing_more(made: Any) -> None:
    made.peer.receive = None  # whatever goes wrong in there
    made.loop.start()
    made.bus.incoming.append(key(1))
    wait_until(lambda: not made.loop.running, 10, "it ends")
    with pytest.raises(RuntimeError, match="the bus thread failed"):
        made.loop.check()
    assert not made.bus.is_open
