"""Gas, smoke, pressure and insulation as evidence of a thermal runaway, and what follows from it."""

from __future__ import annotations

import math

import pytest
from runaway_courses import circumstances

from openbms_control.safety.readings import PackFacts
from openbms_control.safety.watches.runaway_surroundings import (
    GAS,
    INSULATION,
    PRESSURE,
    SMOKE,
    Surroundings,
)
from openbms_core.types import UNKNOWN, State

STEP_S = 0.1
HOLD_S = 30.0


@pytest.fixture
def surroundings(kit):
    pack = kit.pack()
    return kit.Rig(pack), Surroundings(PackFacts(pack.file), HOLD_S)


def feed(both, seconds, since_switching_s=1e3, **values):
    rig, watched = both
    rig.values |= values
    for _ in range(round(seconds / STEP_S)):
        watched.step(rig.measurement(), circumstances(1, since_switching_s), STEP_S)
    return watched


@pytest.mark.parametrize(
    ("what", "quiet", "there"),
    [
        (GAS, {"gas": 0}, {"gas": 1}),
        (SMOKE, {"smoke": 0}, {"smoke": 1}),
        (PRESSURE, {"pressure_pa": 101e3, "pressure_validity": 0}, {"pressure_pa": 140e3}),
        (INSULATION, {"insulation_resistance_ohm": 1e6}, {"insulation_resistance_ohm": 100.0}),
    ],
)
def test_each_counts_when_it_is_seen_twice_and_as_long_as_it_holds(surroundings, what, quiet, there):
    watched = feed(surroundings, 5.0, **quiet)
    assert watched.active() == 0
    feed(surroundings, STEP_S, **there)
    assert watched.active() == 0, "a single value may be wrong"
    feed(surroundings, STEP_S)
    assert watched.active() == 1 and watched.evidence_age_s[what] == 0.0
    feed(surroundings, HOLD_S - 1.0, **quiet)
    assert watched.active() == 1
    feed(surroundings, 2.0)
    assert watched.active() == 0


def test_what_is_lost_after_it_was_seen_does_not_age(surroundings):
    watched = feed(surroundings, 1.0, gas=1)
    feed(surroundings, 3.0 * HOLD_S, gas=UNKNOWN)
    assert watched.active() == 1, "a runaway destroys its sensors"


def test_what_was_never_there_is_no_evidence(surroundings):
    unknown = {"gas": UNKNOWN, "smoke": UNKNOWN, "pressure_validity": 1, "insulation_resistance_validity": 1}
    assert feed(surroundings, 5.0, **unknown).active() == 0
    assert all(math.isinf(age) for age in surroundings[1].evidence_age_s)


@pytest.mark.parametrize("course", [range(1010, 960, -1), range(960, 1060)])
def test_the_weather_is_no_venting_and_a_load_that_is_connected_no_loss(surroundings, course):
    watched = feed(surroundings, 1.0, pressure_pa=100.0 * course[0], pressure_validity=0)
    for hectopascal in course:
        feed(surroundings, 10.0, pressure_pa=100.0 * hectopascal)
    assert watched.active() == 0
    feed(surroundings, 1.0, 1.0, insulation_resistance_ohm=100.0)
    assert watched.active() == 0, "contactors have just moved"


def test_a_pressure_that_rises_fast_counts_before_it_is_too_high(surroundings):
    protection = surroundings[0].pack.file.protection
    watched = feed(surroundings, 60.0, pressure_pa=101e3, pressure_validity=0)
    higher_pa = 101e3 + 1.01 * protection.runaway_pressure_rise_pa
    assert higher_pa < protection.pressure_max_pa
    feed(surroundings, 2.0 * STEP_S, pressure_pa=101e3 + 0.99 * protection.runaway_pressure_rise_pa)
    assert watched.active() == 0
    feed(surroundings, 10.0, pressure_pa=101e3)
    feed(surroundings, 2.0 * STEP_S, pressure_pa=higher_pa + 0.05 * protection.runaway_pressure_rise_pa)
    assert watched.active() == 1 and watched.evidence_age_s[PRESSURE] == 0.0


def test_a_restart_forgets_levels_and_keeps_evidence(surroundings):
    watched = feed(surroundings, 1.0, smoke=1)
    watched.restart()
    assert watched.active() == 1


def test_gas_and_smoke_open_and_only_service_clears(kit):
    rig = kit.rig()
    rig.close()
    rig.run(1.0, gas=1)
    assert "THERMAL_RUNAWAY_WARNING" in rig.ids() and "THERMAL_RUNAWAY_ALARM" not in rig.ids()
    assert rig.last.limits.charge_current_a == 0.0
    assert not rig.last.status.balancing_allowed and not rig.last.status.heating_allowed
    rig = kit.rig()
    rig.close()
    rig.run(2.0, gas=1, smoke=1)
    assert "THERMAL_RUNAWAY_ALARM" in rig.ids() and rig.state == State.FAULT
    rig.run(200.0, gas=0, smoke=0)
    rig.monitor.clear([], rig.t_s)
    rig.step()
    assert "THERMAL_RUNAWAY_ALARM" in rig.ids() and rig.state == State.FAULT
    assert rig.monitor.clear(["THERMAL_RUNAWAY_ALARM"], rig.t_s).cleared == ("THERMAL_RUNAWAY_ALARM",)
    rig.run(1.0)
    assert rig.state == State.STANDBY
