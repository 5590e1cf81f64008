"""Every simulated pack comes up, is used and comes down again, without a fault; in simulated time."""

from __future__ import annotations

import numpy as np
import pytest
from fault_campaign.closed_loop import ClosedLoop, LoopSettings
from fault_campaign.loads import Vehicle

from openbms_core.faults import FAULT_BY_ID
from openbms_core.types import Level, State
from openbms_sim.household import Household

PACKS = {
    "robot_13s4p": (State.DRIVE, lambda: Vehicle(1, 60.0, 300.0), 0.02),
    "home_16s_lfp": (State.CONNECTED, lambda: Household(100.0), 0.06),
    "rack_string": (State.CONNECTED, lambda: Vehicle(2, 100.0, 300.0), 0.06),
}


@pytest.mark.parametrize("name", PACKS)
def test_a_simulated_pack_is_used_without_a_fault(name: str) -> None:
    target, load, furthest = PACKS[name]
    loop = ClosedLoop(LoopSettings(pack=name, target=target, soc=0.6), load=load())
    assert loop.run_until(lambda: loop.state is target, 15.0)
    loop.run(8.0)
    assert loop.state is target
    assert loop.decision is not None and loop.soc is not None
    raised = [row for row, times in loop.trace.raised.items() if times]
    assert [row for row in raised if FAULT_BY_ID[row].level != Level.OPERATING] == [], "others only derate"
    assert loop.twin.device.trip == "" and loop.twin.device.rejected == 0
    carried = np.array([current for _, current in loop.trace.ticks[-800:]])
    assert np.abs(carried).max() > 5.0, "it was used"
    truth = loop.twin.source.truth()
    assert abs(float(loop.soc.soc) - truth.cell_soc.mean()) < furthest
    loop.request(State.STANDBY)
    assert loop.run_until(lambda: loop.state is State.STANDBY and loop.twin.open, 10.0)
