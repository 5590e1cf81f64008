"""A battery that shows no cell, through driver, estimators and monitor: what it allows may be drawn."""

from __future__ import annotations

import math

import pytest

from openbms_control.safety.monitor import SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.pack import load_pack
from openbms_core.types import State
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_estimation.soc.reported import soc_estimator_of
from openbms_estimation.sop.reported import power_limiter_of

# a capture of US5000 batteries (setfirelabs.com), 48.0 A and 30.0 A allowed in the place of 480 A
BASE = {
    0x351: "1402E0012C01C201",
    0x355: "58005E00",
    0x356: "7A13F2FE6B01",
    0x359: "0000000006504E",
    0x35C: "C000",
}
CELLS = {0x373: "B90CC20C27012801"}  # of another capture: 3.257 and 3.266 V


class Chain:
    """Frames in, limits out."""

    def __init__(self, name: str) -> None:
        pack = load_pack(name)
        self.driver, self.monitor = (
            PackDriver(pack),
            SafetyMonitor(pack, FaultRecord(pack.file.serial), "new"),
        )
        self.soc, self.limiter = soc_estimator_of(pack), power_limiter_of(pack)
        self.driver.health.opened(100.0)
        self.driver.start(100.0)
        self.now_s = 100.0
        self.decision = self.monitor.tick(self.now_s, 1e9 + self.now_s)
        self.estimate = None

    def run(self, frames: dict[int, str], seconds: int) -> None:
        """Let the battery send these frames once a second."""
        for tenth in range(10 * seconds):
            self.now_s += 0.1
            stamp_s = 1e9 + self.now_s
            scan = None
            if tenth % 10 == 0:
                for identifier, data in frames.items():
                    frame = Frame(identifier, bytes.fromhex(data), 0, self.now_s, stamp_s)
                    scan = self.driver.receive(frame) or scan
            scan = self.driver.tick(self.now_s, stamp_s) or scan
            if scan is not None:
                self.estimate = self.soc.step(scan)
                limits = self.limiter.step(scan, self.estimate)
                if limits is not None:
                    self.monitor.take_power_limits(limits, self.now_s)
            self.decision = self.monitor.step(scan, self.now_s, stamp_s)


def test_it_may_give_and_take_what_it_says_itself() -> None:
    chain = Chain("pylontech_lv_v1_2")
    chain.run(BASE, 5)
    answer = chain.monitor.request(State.CONNECTED, chain.now_s)
    assert answer.accepted, answer
    chain.run(BASE, 10)
    limits, status = chain.decision.limits, chain.decision.status
    assert status.state == State.CONNECTED and not limits.limp_home and math.isnan(limits.shutdown_in_s)
    assert (limits.charge_current_a, limits.discharge_current_a) == (pytest.approx(48.0), pytest.approx(30.0))
    assert limits.discharge_power_w == pytest.approx(30.0 * 49.86, rel=1e-3)
    assert chain.estimate is not None and chain.estimate.soc == 0.88
    assert "CELL_OVER_VOLTAGE_SAFETY" in chain.decision.not_monitored

    chain.run(BASE | {0x351: "140200000000C201"}, 3)  # full and empty at once: it forbids both
    limits = chain.decision.limits
    assert limits.charge_current_a == limits.discharge_current_a == 0.0
    chain.run(BASE, 10)
    without = {identifier: data for identifier, data in BASE.items() if identifier != 0x351}
    chain.run(without, 6)
    limits = chain.decision.limits
    assert limits.charge_current_a == limits.discharge_current_a == 0.0
    assert limits.discharge_reason == "cell_voltage_unknown", "nobody answers for the cells any more"


def test_a_silent_battery_allows_nothing_and_is_a_fault() -> None:
    chain = Chain("pylontech_lv_v1_2")
    chain.run(BASE, 5)
    chain.monitor.request(State.CONNECTED, chain.now_s)
    chain.run(BASE, 5)
    chain.run({}, 8)
    assert chain.decision.limits.discharge_current_a == 0.0
    assert any(fault.row.id in ("BUS_LOST", "CURRENT_MISSING") for fault in chain.decision.faults)


def test_extremes_protect_where_they_are_shown() -> None:
    chain = Chain("pylontech_lv_15s")
    chain.run(BASE, 5)
    assert not chain.monitor.request(State.CONNECTED, chain.now_s).accepted, "it waits for its cells"
    chain.run(BASE | CELLS, 5)
    assert chain.monitor.request(State.CONNECTED, chain.now_s).accepted
    chain.run(BASE | CELLS, 10)
    assert chain.decision.limits.charge_current_a == pytest.approx(48.0)
    high = {0x373: (3257).to_bytes(2, "little").hex() + (3590).to_bytes(2, "little").hex() + "27012801"}
    chain.run(BASE | high, 3)
    assert chain.decision.limits.charge_current_a == pytest.approx(8.0, abs=0.1), "a tenth of 80 A is left"
    over = {0x373: (3257).to_bytes(2, "little").hex() + (3750).to_bytes(2, "little").hex() + "27012801"}
    chain.run(BASE | over, 6)
    assert any(fault.row.id == "CELL_OVER_VOLTAGE_SAFETY" for fault in chain.decision.faults)
    assert chain.decision.limits.charge_current_a == 0.0
