"""Frames that the kernel repeats: its period where Python is late, and an end where nobody winds it up."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace

import can
import numpy as np
import pytest
from kernel_bcm import KernelBcm

from openbms_core.pack import load_pack
from openbms_core.pack_device import CommandMap
from openbms_core.types import BmsStatus, ContactorCommand, State
from openbms_drivers import broadcast_manager
from openbms_drivers.broadcast_manager import FRAMES_LEFT, BroadcastManager
from openbms_drivers.bus import Bus, BusError
from openbms_drivers.frame import EXTENDED, Frame
from openbms_drivers.pack_driver import PackDriver

STATE = BmsStatus(
    state=State.DRIVE, previous_state=State.PRECHARGE, time_in_state_s=1.0, requested_state=State.DRIVE,
    reason="", explanation="", contactor_command=np.ones(3, np.uint8), contactors_closed=True,
    zero_current_requested=False, opening_deadline_s=np.nan, charge_allowed=True, discharge_allowed=True,
    balancing_allowed=True, heating_allowed=True, cooling_required=False, inhibits=[], inhibit_texts=[],
    start_count=1, valid_for_s=0.5,
)  # fmt: skip
ONE = np.ones(1, np.uint8)
PERIOD_S = 0.1


@pytest.fixture(params=[False, True], ids=["kernel", "older kernel"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelBcm]:
    kernel = KernelBcm(older=request.param)
    monkeypatch.setattr(broadcast_manager, "create_bcm_socket", lambda channel: kernel.end)
    yield kernel
    kernel.close()


class Loop:
    """The driver of a foxBMS pack whose loop goes round when it is told to."""

    def __init__(self, kernel: KernelBcm) -> None:
        self.kernel = kernel
        self.driver = PackDriver(load_pack("foxbms2_18s10p"), "socketcan:can0")
        self.manager = BroadcastManager("can0")

    def turn(self, now_s: float, *, closed: bool = False) -> None:
        self.kernel.run(now_s)
        arbiter = self.driver.encoder.arbiter
        arbiter.set_state(replace(STATE, contactor_command=STATE.contactor_command * closed), now_s)
        state = State.DRIVE if closed else State.STANDBY
        arbiter.set_contactors(
            ContactorCommand(0, ONE * closed, ONE * closed, 0 * ONE, state, "", 0.5), now_s
        )
        for frame in self.driver.frames_due(now_s):
            period_s = self.driver.encoder.kept_s[frame.key]
            message = can.Message(
                arbitration_id=frame.identifier, data=frame.data, is_extended_id=bool(frame.flags & EXTENDED)
            )
            self.manager.wind_up(message, period_s)
        self.kernel.run(now_s)

    def times_s(self) -> np.ndarray:
        return np.array([at_s for at_s, _, _ in self.kernel.sent])


def test_python_may_be_late_the_requests_are_not(kernel: KernelBcm) -> None:
    """A loop that comes up to 0.3 s late: foxBMS wants 95 to 105 ms."""
    loop, now_s = Loop(kernel), 0.0
    late = np.random.default_rng(1).uniform(0.0, 0.29, 600)
    for delay_s in late:
        now_s = max(now_s + 0.001, loop.driver.encoder.next_due_s() if now_s else 0.0) + delay_s
        loop.turn(now_s)
    gaps_s = np.diff(loop.times_s())
    assert len(gaps_s) > 500
    np.testing.assert_allclose(gaps_s, PERIOD_S, atol=1e-6)
    assert {(identifier, data) for _, identifier, data in kernel.sent} == {(0x210, bytes(8))}


def test_a_loop_that_hangs_is_followed_by_a_few_frames_and_no_more(kernel: KernelBcm) -> None:
    loop = Loop(kernel)
    for tick in range(20):
        loop.turn(PERIOD_S * tick + 0.01, closed=True)
    hung_s = PERIOD_S * 19 + 0.01
    kernel.run(60.0)
    after = loop.times_s() > hung_s
    assert 1 <= after.sum() <= FRAMES_LEFT
    assert loop.times_s()[-1] <= hung_s + FRAMES_LEFT * PERIOD_S + 1e-6


def test_a_loop_that_comes_back_is_served_at_once(kernel: KernelBcm) -> None:
    loop = Loop(kernel)
    for tick in range(5):
        loop.turn(PERIOD_S * tick)
    for tick in range(10):
        loop.turn(3.0 + PERIOD_S * tick)
    times_s = loop.times_s()
    again = times_s[times_s > 2.0]
    assert again[0] == 3.0
    np.testing.assert_allclose(np.diff(again), PERIOD_S, atol=1e-6)


def test_what_changed_is_sent_at_once_and_the_old_never_again(kernel: KernelBcm) -> None:
    loop = Loop(kernel)
    for tick in range(12):
        loop.turn(PERIOD_S * tick)
    loop.turn(1.14, closed=True)
    for tick in range(12, 20):
        loop.turn(PERIOD_S * tick, closed=True)
    changed = [at_s for at_s, _, data in kernel.sent if data[0] == 1]
    assert changed[0] == 1.14
    assert all(data[0] == 1 for at_s, _, data in kernel.sent if at_s >= 1.14)
    # its period goes on as it ran: one frame comes in between
    np.testing.assert_allclose(np.diff(loop.times_s()[:12]), PERIOD_S, atol=1e-6)
    assert changed[1] == pytest.approx(1.2)


def test_a_process_that_ends_sends_nothing_more(kernel: KernelBcm) -> None:
    loop = Loop(kernel)
    for tick in range(5):
        loop.turn(PERIOD_S * tick)
    loop.manager.close()
    count = len(kernel.sent)
    kernel.run(60.0)
    assert len(kernel.sent) == count


def test_29_bit_identifiers_are_repeated_as_such(kernel: KernelBcm) -> None:
    manager = BroadcastManager("can0")
    manager.wind_up(can.Message(arbitration_id=0x18FF50E5, data=b"\x01", is_extended_id=True), 0.25)
    kernel.run(0.3)
    assert kernel.sent[0] == (0.0, 0x18FF50E5 | 1 << 31, b"\x01")
    assert kernel.sent[1][0] == pytest.approx(0.25)


def test_without_broadcast_manager_the_loop_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(channel: str) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(broadcast_manager, "create_bcm_socket", refuse)
    bus = Bus("virtual", "no manager")
    assert bus.kept_by == "the loop"
    other = can.Bus(interface="virtual", channel="no manager")
    bus.open()
    bus._open_manager()
    assert "no broadcast manager in the kernel: Protocol not supported" in bus.kept_by
    bus.keep_sending(Frame(0x210, bytes(8)), PERIOD_S)
    message = other.recv(5.0)
    assert message is not None and message.arbitration_id == 0x210
    other.shutdown()
    bus.close()


def test_a_kernel_that_refuses_is_a_lost_bus(kernel: KernelBcm) -> None:
    bus = Bus("virtual", "refused")
    bus.open()
    bus._open_manager()
    kernel.close()
    with pytest.raises(BusError) as refused:
        bus.keep_sending(Frame(0x210, bytes(8)), PERIOD_S)
    assert refused.value.lost
    bus.close()


def test_the_pack_file_refuses_what_a_repeated_frame_cannot_be() -> None:
    entry = {"message": "Request", "period_s": 0.1, "timed_by": "kernel", "signals": [{"signal": "Mode"}]}
    assert CommandMap.model_validate(entry).timed_by == "kernel"
    with pytest.raises(ValueError, match="its counter would stand still"):
        CommandMap.model_validate(entry | {"counter": {"signal": "Counter"}})
    answered = [{"signal": "Scan", "source": "answered_scan"}]
    with pytest.raises(ValueError, match="answered_scan changes the frame with each scan"):
        CommandMap.model_validate(entry | {"signals": answered})
