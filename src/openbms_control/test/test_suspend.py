"""The computer slept with closed contactors: the clock of ages went on, so nothing is taken for fresh."""

from __future__ import annotations

import pytest

from openbms_core.types import State


@pytest.mark.parametrize("slept_s", [0.6, 5.0, 8 * 3600.0])
def test_after_a_sleep_that_outlasted_the_commands_everything_is_opened_at_once(kit, slept_s):
    rig = kit.rig()
    rig.close()
    assert slept_s > rig.pack.file.contactors.command_valid_for_s
    # the wall clock went on as well
    rig.t_s, rig.stamp_s = rig.t_s + slept_s, rig.stamp_s + slept_s
    decision = rig.step()
    assert "MONITOR_LATE" in rig.ids()
    assert not decision.status.contactor_command.any(), "the device has opened by itself: no closing on top"
    assert "CLOCK_JUMP" not in rig.ids(), "a sleep is not a clock that was set"
    rig.run(1.0, link_v=0.0)
    assert rig.state in (State.STANDBY, State.FAULT)
    assert not rig.last.status.contactor_command.any(), "nothing closes unasked"


def test_a_sleep_in_standby_is_no_fault(kit):
    rig = kit.rig()
    rig.run(1.0)
    assert rig.state == State.STANDBY
    rig.t_s, rig.stamp_s = rig.t_s + 8 * 3600.0, rig.stamp_s + 8 * 3600.0
    rig.step()
    rig.run(1.0)
    assert rig.state == State.STANDBY
    assert not rig.ids()
