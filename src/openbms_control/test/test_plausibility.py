"""Values that cannot be true are found: open wires, outliers, standing and jumping values, disagreement."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openbms_control.safety.checks import Checks
from openbms_control.safety.fault_manager import FaultManager
from openbms_control.safety.monitor import SafetyMonitor
from openbms_control.safety.readings import Circumstances, PackFacts
from openbms_control.safety.record import FaultRecord
from openbms_control.safety.watches.plausibility import PlausibilityWatch
from openbms_core.fault_rows.plausibility import PLAUSIBILITY_ROWS
from openbms_core.faults import FAULT_BY_ID, fault_rows
from openbms_core.protection import Protection
from openbms_core.types import FaultState, State

NAN = math.nan
CELLS = 12
DEFAULTS = {
    name: Protection.model_fields[name].default
    for name in (
        "cell_voltage_spread_max_v",
        "cell_voltage_step_max_v",
        "cell_voltage_standstill_max_v",
        "temperature_spread_max_k",
        "temperature_step_max_k",
        "temperature_standstill_max_k",
    )
}


def twelve(kit, period_s=0.1, **protection):
    """Give a rig of twelve cells and six cell sensors with the thresholds of a pack file that names none."""
    sensors = [{"name": "t{i}", "location": "cell", "count": 6, "cells_each": 2}]
    last = {"cell_voltage_v": 11, "redundant_cell_voltage_v": 11, "cell_balancing": 11, "temperature_degc": 5}
    signals = [
        {**entry, "repeat": {"i": [0, last[entry["to"]]]}} if entry["to"] in last else entry
        for entry in kit.SMALL["device"]["signals"]
    ]
    return kit.rig(
        topology={"cells_in_series": CELLS, "temperature_sensors": sensors},
        device={"signals": signals},
        protection={**DEFAULTS, **protection},
        measurement={"scan_period_s": period_s},
    )


def cells(**others):
    """Give twelve cells at 3.7 V but for those named: ``c3=3.9``."""
    values = np.full(CELLS, 3.7)
    for name, value in others.items():
        values[int(name[1:])] = value
    return values


OWN = {row.id for row in PLAUSIBILITY_ROWS}


def own(rig):
    """Give the rows of this subject that have tripped."""
    return rig.ids() & OWN


class Light:
    """Only the rows of this subject over a course: the same checks and life of faults, without a monitor."""

    def __init__(self, kit, period_s=0.1, **protection):
        self.rig = twelve(kit, period_s, **protection)
        self.period_s = period_s
        file = self.rig.pack.file
        rows = [row for row in fault_rows(file) if row.id in OWN]
        self.checks = Checks(file, rows)
        self.manager = FaultManager(rows, self.checks.limit.tolist())
        self.t_s = 0.0

    def step(self, **values):
        rig = self.rig
        rig.values |= values
        rig.scan, self.t_s = rig.scan + 1, self.t_s + self.period_s
        found = self.checks.evaluate(rig.measurement(), NOW, self.period_s)
        self.manager.step(found, np.full(len(self.manager.rows), self.period_s), self.t_s, self.t_s)

    def run(self, seconds, **values):
        for _ in range(round(seconds / self.period_s)):
            self.step(**values)

    def ids(self):
        return {entry.row.id for entry in self.manager.entries()}


NOW = Circumstances(
    state=State.DRIVE, started=True, command=np.array([1, 1, 0], np.uint8), command_age_s=np.full(3, 9.0),
    measurement_age_s=0.0, estimator_age_s=0.0, monitor_gap_s=0.0, estimator_fresh=True,
)  # fmt: skip


def state_of(rig, name):
    if isinstance(rig, Light):
        return next((entry.state for entry in rig.manager.entries() if entry.row.id == name), None)

    return next((entry.state for entry in rig.last.faults if entry.row.id == name), None)


def place_of(rig, name):
    entries = rig.manager.entries() if isinstance(rig, Light) else rig.last.faults
    return next(entry.index for entry in entries if entry.row.id == name)


def drive(rig, volts, amps=None, seconds=None, **values):
    """Feed a course: ``volts(k)`` and ``amps(k)`` give the scan's values."""
    for k in range(round((seconds or 10.0) / rig.period_s)):
        given = {name: value(k) if callable(value) else value for name, value in values.items()}
        rig.step(cells_v=volts(k), current_a=amps(k) if amps else 0.001 * (k % 3), **given)


# ---- open wires ----


def test_a_wire_that_the_device_calls_open_opens_and_latches(kit):
    rig = twelve(kit)
    rig.close()
    rig.run(1.0, cells_v=cells(c5=NAN), cell_voltage_validity=[6 if k == 5 else 0 for k in range(CELLS)])
    assert state_of(rig, "CELL_OPEN_WIRE") == FaultState.ACTIVE and place_of(rig, "CELL_OPEN_WIRE") == 5
    assert rig.state in (State.OPENING, State.FAULT)
    rig.values |= {"cells_v": cells(), "link_v": 0.0}
    del rig.values["cell_voltage_validity"]
    rig.run(3.0)
    assert state_of(rig, "CELL_OPEN_WIRE") == FaultState.LATCHED
    assert rig.monitor.clear(["CELL_OPEN_WIRE"], rig.t_s).accepted


@pytest.mark.parametrize("count", [5, CELLS])
def test_a_whole_front_end_without_values_is_no_broken_wire(kit, count):
    rig = twelve(kit)
    rig.run(1.0)
    gone = [6 if k < count else 0 for k in range(CELLS)]
    rig.run(2.0, cells_v=np.where(np.array(gone) == 6, NAN, 3.7), cell_voltage_validity=gone)
    assert state_of(rig, "CELL_OPEN_WIRE") is None
    assert state_of(rig, "CELL_VOLTAGE_MISSING") == FaultState.ACTIVE


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (cells(c4=3.38, c5=4.02), True),
        (cells(c4=4.02, c5=3.38), True),
        (cells(c4=3.38, c5=4.10), True),  # not quite the same amounts
        (cells(c4=3.38, c5=4.12), True),  # a quarter less and 20 mV: just enough alike
        (cells(c4=3.38, c5=4.16), False),
        (cells(c4=3.42, c5=3.98), False),  # 0.28 V: within the spread
        (cells(c4=3.42, c5=4.06), False),  # one of them is
        (cells(c1=3.2, c2=3.2, c4=3.38, c5=4.02), True),  # others go further, the same way
        (cells(c4=3.38, c6=4.02), False),  # no neighbours
        (cells(c4=3.38, c5=3.38), False),  # the same way
        (cells(c4=3.20, c5=4.02), False),  # not mirrored
    ],
)
def test_neighbours_that_depart_by_mirrored_amounts_have_an_open_wire(kit, values, found):
    rig = Light(kit, cell_voltage_step_max_v=5.0)
    rig.run(1.0)
    rig.run(1.0, cells_v=values)
    assert (state_of(rig, "CELL_OPEN_WIRE") is not None) == found
    if found:
        assert place_of(rig, "CELL_OPEN_WIRE") == 4


def test_an_open_wire_is_found_where_the_wire_drifts(kit):
    rig = Light(kit)
    rig.run(1.0)
    drive(rig, lambda k: cells(c4=3.7 - 0.005 * k, c5=3.7 + 0.005 * k), seconds=9.0)
    assert state_of(rig, "CELL_OPEN_WIRE") == FaultState.ACTIVE


# ---- spread ----


def test_spread_is_judged_between_the_operating_limits_only(kit):
    """Near empty and near full the curve is steep, and the limits watch."""
    rig = twelve(kit, cell_voltage_step_max_v=5.0)
    rig.run(1.0, cells_v=cells() - 0.75)
    rig.run(8.0, cells_v=cells(c2=3.35) - 0.75)
    assert state_of(rig, "CELL_VOLTAGE_SPREAD") is None
    rig.run(8.0, cells_v=cells(c2=3.35))
    assert state_of(rig, "CELL_VOLTAGE_SPREAD") == FaultState.ACTIVE
    assert place_of(rig, "CELL_VOLTAGE_SPREAD") == 2
    assert rig.monitor._manager.factor(charge=True) == (0.5, "CELL_VOLTAGE_SPREAD")
    rig.run(8.0, cells_v=cells(c2=3.35) - 0.75)
    assert state_of(rig, "CELL_VOLTAGE_SPREAD") is None


def test_where_a_cell_is_lost_the_others_are_judged_on(kit):
    rig = Light(kit, cell_voltage_step_max_v=5.0)
    rig.run(1.0)
    rig.run(8.0, cells_v=cells(c2=NAN, c8=3.35))
    assert place_of(rig, "CELL_VOLTAGE_SPREAD") == 8
    rig.run(1.0, cells_v=cells(c2=NAN, c8=3.35, c9=4.05))
    assert place_of(rig, "CELL_OPEN_WIRE") == 8


def test_each_string_has_its_own_median(kit):
    rig = kit.strings(
        3,
        topology={"cells_in_series": 4, "temperature_sensors": kit.SMALL["topology"]["temperature_sensors"]},
        protection={**DEFAULTS, "cell_voltage_step_max_v": 5.0},
    )
    volts = np.repeat([3.7, 3.5, 2.9], 4)  # two strings that are charged otherwise; the last one is empty
    rig.run(7.0, cells_v=volts)
    assert not rig.ids() & {"CELL_VOLTAGE_SPREAD", "CELL_OPEN_WIRE"}
    volts[5], volts[9] = 3.85, 3.3
    rig.run(7.0, cells_v=volts)
    assert place_of(rig, "CELL_VOLTAGE_SPREAD") == 5
    volts[6] = 3.15
    rig.run(1.0, cells_v=volts)
    assert place_of(rig, "CELL_OPEN_WIRE") == 5


def test_a_string_without_enough_cells_outvotes_none(kit):
    rig = kit.strings(2, protection=DEFAULTS)
    rig.run(1.0)
    rig.run(8.0, cells_v=[3.3, 4.0, 3.7, 3.7])
    assert not rig.ids()
    rig.run(2.0, cells_v=[NAN, 4.0, 3.7, 3.7], cell_voltage_validity=[6, 0, 0, 0])
    assert state_of(rig, "CELL_OPEN_WIRE") is not None


# ---- jumps ----


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.15])
@pytest.mark.parametrize("jump_v", [-0.6, 0.6])
def test_a_cell_that_jumps_away_is_not_believed(kit, jump_v, period_s):
    rig = twelve(kit, period_s)
    rig.run(3.0)
    rig.step(cells_v=cells(c7=3.7 + jump_v))
    seen_s = rig.run_until(lambda d: state_of(rig, "CELL_VOLTAGE_RATE") == FaultState.ACTIVE, 6.0)
    row = FAULT_BY_ID["CELL_VOLTAGE_RATE"]
    assert place_of(rig, "CELL_VOLTAGE_RATE") == 7
    assert 1.0 <= seen_s <= row.detection_s + row.timing.debounce_s + row.timing.delay_s + 2.0 * period_s


@pytest.mark.parametrize("volts", [0.0, 2.6, 4.24])
def test_a_single_spoilt_scan_is_forgiven(kit, volts):
    rig = Light(kit)
    rig.run(3.0)
    rig.step(cells_v=cells(c7=volts))
    rig.run(3.0, cells_v=cells())
    assert not rig.ids()


def test_a_loose_wire_that_jumps_in_every_third_scan_is_found(kit):
    rig = Light(kit)
    rig.run(1.0)
    drive(rig, lambda k: cells(c3=2.6 if k % 3 == 0 else 3.7), seconds=6.0)
    assert state_of(rig, "CELL_VOLTAGE_RATE") == FaultState.ACTIVE


def test_a_noisy_cell_is_found_and_ordinary_noise_is_not(kit):
    for sigma_v, found in ((0.4, True), (0.02, False)):
        rig, rng = Light(kit), np.random.default_rng(5)
        rig.run(1.0)
        drive(rig, lambda k, s=sigma_v, g=rng: cells(c3=3.7 + s * g.standard_normal()), seconds=20.0)
        assert ("CELL_VOLTAGE_RATE" in rig.ids()) == found


def test_a_weak_cell_that_runs_empty_first_is_measured_all_the_time(kit):
    rig = Light(kit, cell_voltage_spread_max_v=5.0)
    rig.run(1.0)
    drive(rig, lambda k: cells(c3=3.7 - 0.01 * k), seconds=9.0)
    assert not rig.ids() & {"CELL_VOLTAGE_RATE", "CELL_OPEN_WIRE"}


def test_a_cell_of_half_more_resistance_is_no_jump(kit):
    rig, rng = Light(kit), np.random.default_rng(1)
    amps = np.repeat(rng.uniform(-18.0, 4.0, 30), 10)
    ohm = np.full(CELLS, 0.04)
    ohm[6] = 0.06
    drive(rig, lambda k: 3.7 + ohm * amps[k], lambda k: amps[k], 20.0)
    assert not rig.ids() & {"CELL_VOLTAGE_RATE", "CELL_OPEN_WIRE", "CELL_VOLTAGE_STUCK"}


@pytest.mark.parametrize("late", [1, -1])
def test_cells_that_are_sampled_a_scan_apart_are_no_jump(kit, late):
    """Half of the front ends sample before a step of the current, the others behind it."""
    rig, rng = Light(kit), np.random.default_rng(2)
    amps = np.repeat(rng.uniform(-18.0, 4.0, 40), 8)

    def volts(k):
        other = amps[min(max(k - late, 0), len(amps) - 1)]
        return 3.7 + 0.04 * np.where(np.arange(CELLS) < 5, other, amps[k])

    drive(rig, volts, lambda k: amps[k], 30.0)
    assert not own(rig)


def test_a_cell_that_comes_back_after_a_gap_begins_anew(kit):
    rig = Light(kit)
    rig.run(1.0)
    for gone in (cells(c3=NAN), cells(c3=NAN, c0=NAN)):
        rig.run(0.3, cells_v=gone)
        rig.run(3.0, cells_v=cells(c3=3.1))
        assert "CELL_VOLTAGE_RATE" not in rig.ids()
    rig.run(3.0, cells_v=cells(c3=3.7))
    assert "CELL_VOLTAGE_RATE" in rig.ids()  # it is followed again


def test_after_a_gap_of_the_scans_all_begin_anew(kit):
    rig = twelve(kit)
    rig.run(1.0)
    rig.step(dt_s=0.4, cells_v=cells(c3=3.2))
    rig.run(2.5)
    assert "CELL_VOLTAGE_RATE" in rig.ids()
    rig = twelve(kit)
    rig.run(1.0)
    rig.step(dt_s=2.0, cells_v=cells(c3=3.2), temperature_degc=45.0)
    rig.run(2.5)
    assert not own(rig) - {"CELL_VOLTAGE_SPREAD"}


def test_after_a_gap_two_measurements_of_one_thing_are_compared_from_the_first_scan_on(kit):
    """What was in doubt before, or differed, says nothing of a scan that comes long after."""
    rig = reporting(kit, cell_voltage_spread_max_v=5.0)
    slow = rig.pack.file.model_copy(deep=True)
    slow.measurement.max_age_s["cell_voltage_v"] = 30.0  # doubt would last
    watch = PlausibilityWatch(PackFacts(slow))
    for k in range(40):
        rig.values["string_voltages_v"] = 4 * 3.7 + 9.0
        rig.values["reported_cell_voltage_maximum_v"] = 3.7 + 0.3 * (k % 2)
        watch.step(rig.measurement(), NOW, 0.1)
    rig.values |= {"string_voltages_v": 4 * 3.7, "reported_cell_voltage_maximum_v": 4.0}
    given = watch.step(rig.measurement(), NOW, 5.0)
    assert given["string_voltage_difference"].value == pytest.approx(0.0, abs=1e-9)
    assert given["reported_cell_voltage_difference"].value == pytest.approx(0.3)


# ---- standstill of cells ----


def swing(amount_v, period_scans=20):
    """Give the median's course: up and down between 0 and the amount."""
    return lambda k: amount_v * 0.5 * (1.0 - math.cos(2.0 * math.pi * k / period_scans))


@pytest.mark.parametrize(("amount_v", "found"), [(0.055, True), (0.045, False)])
def test_a_cell_that_stands_while_the_string_swings_is_stuck(kit, amount_v, found):
    rig, moves = Light(kit), swing(amount_v)

    def volts(k):
        values = cells() + moves(k)
        values[8] = 3.7
        return values

    drive(rig, volts, lambda k: -moves(k) * 50.0, 8.0)
    assert (state_of(rig, "CELL_VOLTAGE_STUCK") == FaultState.ACTIVE) == found
    if found:
        assert place_of(rig, "CELL_VOLTAGE_STUCK") == 8
        rig.run(4.0, cells_v=cells())  # it stands on: latched or not, it must not clear
        assert state_of(rig, "CELL_VOLTAGE_STUCK") == FaultState.ACTIVE
        drive(rig, lambda k: cells(c8=3.7 + 0.001 * (k % 2)), seconds=5.0)
        assert state_of(rig, "CELL_VOLTAGE_STUCK") == FaultState.LATCHED


def test_a_frozen_front_end_is_stuck_and_a_repeated_scan_is_not_judged_twice(kit):
    rig, moves = Light(kit), swing(0.1)
    drive(rig, lambda k: np.where(np.arange(CELLS) < 4, 3.7, 3.7 + moves(k)), seconds=5.0)
    assert state_of(rig, "CELL_VOLTAGE_STUCK") == FaultState.ACTIVE


def test_a_coarse_cell_may_stand_longer(kit):
    """At 20 mV resolution a swing of 60 mV is three steps: too few to say that a cell stands still."""
    rig, moves = Light(kit), swing(0.15)

    def volts(k):
        values = np.round((cells() + moves(k)) / 0.02) * 0.02
        values[8] = 3.7
        return values

    drive(rig, volts, seconds=8.0)
    assert "CELL_VOLTAGE_STUCK" not in rig.ids()


def test_a_slow_drift_of_the_others_and_a_bled_cell_are_no_standstill(kit):
    """The end of an LFP charge: the others climb, one is still on the flat part of its curve."""
    rig = Light(kit, standstill_charge_ah=None)
    drive(rig, lambda k: np.where(np.arange(CELLS) == 3, 3.7, 3.7 + 0.0004 * k), lambda k: 2.0, 60.0)
    assert "CELL_VOLTAGE_STUCK" not in rig.ids()
    rig, moves = Light(kit), swing(0.1)
    bled = [int(k == 3) for k in range(CELLS)]
    volts = lambda k: np.where(np.arange(CELLS) == 3, 3.7, 3.7 + moves(k))  # noqa: E731
    drive(rig, volts, seconds=6.0, cell_balancing=bled)
    assert "CELL_VOLTAGE_STUCK" not in rig.ids()


@pytest.mark.parametrize(("v_per_s", "found"), [(0.0035, False), (0.006, True)])
def test_of_cells_that_come_late_the_median_s_movement_counts_over_four_times_their_delay(
    kit, v_per_s, found
):
    rig = twelve(kit, standstill_charge_ah=None)
    slow = rig.pack.file.model_copy(deep=True)
    slow.measurement.max_age_s["cell_voltage_v"] = 4.0
    watch, stuck = PlausibilityWatch(PackFacts(slow)), False
    for k in range(450):
        rig.values["cells_v"] = np.where(np.arange(CELLS) == 3, 3.5, 3.5 + 0.1 * v_per_s * k)
        stuck |= watch.step(rig.measurement(), NOW, 0.1)["cell_voltage_stuck"].present
    assert stuck == found


@pytest.mark.parametrize(("amps", "found"), [(4.0, True), (-4.0, True), (0.15, False), (NAN, False)])
def test_charge_that_moves_no_cell_at_all_is_a_frozen_string(kit, amps, found):
    rig = Light(kit, standstill_charge_ah=0.02)
    rig.run(1.0)
    rig.run(25.0, cells_v=cells(c3=3.71), current_a=amps)  # 0.02 Ah at 4 A: 18 s
    assert ("CELL_VOLTAGE_STUCK" in rig.ids()) == found


def test_one_cell_may_stand_ten_times_as_long_as_all(kit):
    rig = Light(kit, standstill_charge_ah=0.002)
    volts = lambda k: np.where(np.arange(CELLS) == 3, 3.7, 3.7 + 0.001 * (k % 2))  # noqa: E731
    drive(rig, volts, lambda k: 2.0, 33.0)
    assert "CELL_VOLTAGE_STUCK" not in rig.ids()
    drive(rig, volts, lambda k: 2.0, 8.0)
    assert state_of(rig, "CELL_VOLTAGE_STUCK") == FaultState.ACTIVE
    assert place_of(rig, "CELL_VOLTAGE_STUCK") == 3


def test_cells_that_come_in_turn_are_judged_when_they_come(kit):
    """A device that sends four of the twelve cells in each scan, as foxBMS does."""
    rig, rng = twelve(kit), np.random.default_rng(3)
    amps = np.repeat(rng.uniform(-18.0, 4.0, 60), 10)
    held, offset = cells(), rng.normal(0.0, 0.03, CELLS)

    def volts(k):
        turn = np.arange(CELLS) % 3 == k % 3
        held[turn] = np.round(3.7 + offset[turn] + 0.03 * amps[k], 3)
        return held.copy()

    ages = lambda k: np.where(np.arange(CELLS) % 3 == k % 3, 0.05, 0.25)  # noqa: E731
    drive(rig, volts, lambda k: amps[k], 50.0, cell_voltage_ages_s=ages)
    assert not own(rig)
    amps[:] = -7.0
    drive(rig, volts, lambda k: -7.0 - 0.01 * (k % 2), 5.0, cell_voltage_ages_s=ages)
    offset[7] += 0.8
    drive(rig, volts, lambda k: -7.0, 6.0, cell_voltage_ages_s=ages)
    assert place_of(rig, "CELL_VOLTAGE_RATE") == 7
    rig.step(cells_v=np.where(np.arange(CELLS) == 1, NAN, held), cell_voltage_ages_s=ages(0))
    assert place_of(rig, "CELL_VOLTAGE_RATE") == 7  # also where one of the others is lost


def test_a_driver_that_sends_no_ages_is_judged_as_if_all_came(kit):
    rig = twelve(kit)
    rig.run(1.0)
    for _ in range(30):
        m = rig.measurement()
        m.cell_voltages_v[4] = 4.3
        m.cell_voltage_ages_s = np.zeros(0)
        rig.t_s, rig.stamp_s, rig.scan = rig.t_s + 0.1, rig.stamp_s + 0.1, rig.scan + 1
        m.stamp_s, m.scan_number = rig.stamp_s, rig.scan
        rig.last = rig.monitor.step(m, rig.t_s, rig.stamp_s)
    assert "CELL_VOLTAGE_RATE" in rig.ids()


# ---- standstill of the current ----


def test_a_current_that_stands_while_all_cells_go_up_and_down_is_stuck(kit):
    rig, moves = Light(kit), swing(0.2)
    drive(rig, lambda k: cells() + moves(k), lambda k: -3.0, 1.0)
    drive(rig, lambda k: cells() + moves(k), lambda k: -3.0, 4.0)
    assert state_of(rig, "CURRENT_STUCK") == FaultState.ACTIVE and place_of(rig, "CURRENT_STUCK") == 0
    drive(rig, lambda k: cells(), lambda k: 0.001 * k, 3.0)
    assert state_of(rig, "CURRENT_STUCK") == FaultState.LATCHED


@pytest.mark.parametrize(
    ("volts", "amps", "seconds"),
    [
        (lambda k: 3.7 - 0.4 * math.exp(-k / 40), lambda k: 0.0, 20.0),  # relaxation: one way only
        (lambda k: 3.7 + 0.02 * (k % 2), lambda k: 0.0, 20.0),  # within the threshold
        # a coarse sensor that does move, and cells that come later
        (lambda k: 3.7 + 0.1 * (k // 5 % 2), lambda k: 0.5 * (k // 5 % 2), 20.0),
        (lambda k: 3.7 + 0.1 * (k // 5 % 2), lambda k: 0.5 * ((k - 3) // 5 % 2), 20.0),
        (lambda k: 3.7 + 0.0001 * min(k, 800) - 0.0001 * max(k - 800, 0), lambda k: 0.0, 160.0),  # slowly
    ],
)
def test_a_standing_current_without_swings_both_ways_is_healthy(kit, volts, amps, seconds):
    rig = Light(kit)
    drive(rig, lambda k: np.full(CELLS, volts(k)), amps, seconds)
    assert "CURRENT_STUCK" not in rig.ids()


def test_what_the_cells_did_before_the_current_stood_does_not_count_when_scans_are_far_apart(kit):
    rig = Light(kit)
    rig.period_s = 1.0  # a scan later than cells take to follow: twin at ten times real time, a busy computer
    moves = lambda k: k % 10 < 6  # noqa: E731
    volts = lambda k: cells() - (0.1 * (k % 3) if moves(k) else 0.2 * (k // 10 % 2))  # noqa: E731
    drive(rig, volts, lambda k: 0.01 * k if moves(k) else 0.0, 60.0)
    assert "CURRENT_STUCK" not in rig.ids()
    drive(rig, lambda k: cells() + 0.2 * (k % 2), lambda k: 0.0, 8.0)
    assert state_of(rig, "CURRENT_STUCK") == FaultState.ACTIVE


def test_bleed_resistors_may_move_all_cells_at_a_standing_current(kit):
    rig = Light(kit)
    on = lambda k: k // 20 % 2  # noqa: E731
    drive(rig, lambda k: cells() - 0.08 * on(k), lambda k: 0.0, 20.0, cell_balancing=on)
    assert "CURRENT_STUCK" not in rig.ids()


def test_without_extremes_the_mean_serves(kit):
    rig, moves = Light(kit), swing(0.2)
    nothing = {"string_current_minimum_a": NAN, "string_current_maximum_a": NAN}
    drive(rig, lambda k: cells() + moves(k), lambda k: -3.0, 6.0, **nothing)
    assert state_of(rig, "CURRENT_STUCK") == FaultState.ACTIVE


# ---- temperatures ----


def sensors(**others):
    values = np.full(6, 25.0)
    for name, value in others.items():
        values[int(name[1:])] = value
    return values


@pytest.mark.parametrize("to_degc", [48.0, 2.0])
def test_a_sensor_that_jumps_is_not_believed_and_a_blink_is_forgiven(kit, to_degc):
    rig = Light(kit)
    rig.run(1.0)
    rig.step(temperature_degc=sensors(s2=99.0))
    rig.run(6.0, temperature_degc=25.0)
    assert not rig.ids()
    rig.run(6.0, temperature_degc=sensors(s2=to_degc))
    assert state_of(rig, "TEMPERATURE_RATE") == FaultState.ACTIVE and place_of(rig, "TEMPERATURE_RATE") == 2


def test_a_pack_that_is_heated_fast_is_measured_all_the_time(kit):
    rig = Light(kit)
    drive(rig, lambda k: cells(), seconds=30.0, temperature_degc=lambda k: 10.0 + 0.09 * k)
    assert not rig.ids()


@pytest.mark.parametrize(("to_degc", "found"), [(30.5, True), (29.5, False), (19.5, True), (20.5, False)])
def test_a_sensor_that_stands_while_the_others_move_is_stuck(kit, to_degc, found):
    rig = Light(kit)
    way = math.copysign(1.0, to_degc - 25.0)
    moved = lambda k: way * round(min(0.05 * k, abs(to_degc - 25.0)), 2)  # noqa: E731
    course = lambda k: np.where(np.arange(6) == 4, 25.0, 25.0 + moved(k))  # noqa: E731
    drive(rig, lambda k: cells(), seconds=20.0, temperature_degc=course)
    assert (state_of(rig, "TEMPERATURE_STUCK") == FaultState.ACTIVE) == found
    if found:
        assert place_of(rig, "TEMPERATURE_STUCK") == 4


def test_at_a_resolution_of_a_kelvin_a_cooled_sensor_may_stand(kit):
    rig = Light(kit)
    course = lambda k: np.where(np.arange(6) == 4, 25.0, np.floor(25.0 + 0.05 * k))  # noqa: E731
    drive(rig, lambda k: cells(), seconds=16.0, temperature_degc=course)
    assert "TEMPERATURE_STUCK" not in rig.ids()
    course = lambda k: np.where(np.arange(6) == 4, 25.0, np.floor(33.0 + 0.05 * k))  # noqa: E731
    drive(rig, lambda k: cells(), seconds=16.0, temperature_degc=course)
    assert "TEMPERATURE_STUCK" in rig.ids()


def test_two_sensors_outvote_none_and_a_sensor_that_comes_back_begins_anew(kit):
    rig = twelve(kit)
    rig.run(1.0)
    gone = [NAN, NAN, NAN, NAN, 25.0, 25.0]
    rig.run(3.0, temperature_degc=gone)
    assert rig.ids() <= {"TEMPERATURE_MISSING"}
    rig.run(3.0, temperature_degc=[NAN, 25.0, 25.0, 25.0, 25.0, 25.0])
    rig.run(6.0, temperature_degc=sensors(s0=44.0))
    assert not rig.ids() & {"TEMPERATURE_RATE", "TEMPERATURE_STUCK", "TEMPERATURE_SPREAD"}
    rig.run(1.0, temperature_degc=NAN)
    assert not rig.ids() & {"TEMPERATURE_RATE", "TEMPERATURE_STUCK"}


# ---- two measurements of one thing ----


@pytest.mark.parametrize(("apart_v", "found"), [(3.2, True), (-3.2, True), (2.8, False)])
def test_the_sum_of_the_cells_and_the_string_sensor_must_agree(kit, apart_v, found):
    rig = Light(kit)
    rig.run(1.0)
    rig.run(5.0, string_voltages_v=CELLS * 3.7 + apart_v)
    assert (state_of(rig, "STRING_VOLTAGE_MISMATCH") == FaultState.ACTIVE) == found


def test_a_string_sensor_that_is_sampled_at_another_moment_agrees(kit):
    for period_s in (0.02, 0.15):
        rig, rng = Light(kit, period_s), np.random.default_rng(4)
        amps = np.repeat(rng.uniform(-18.0, 4.0, 60), 5)
        volts = [3.7 + 0.04 * value for value in amps]
        drive(
            rig, lambda k, v=volts: np.full(CELLS, v[k]), lambda k, a=amps: a[k], 200 * period_s,
            string_voltages_v=lambda k, v=volts: CELLS * v[max(k - 1, 0)],
        )  # fmt: skip
        assert "STRING_VOLTAGE_MISMATCH" not in rig.ids()


def test_without_all_cells_or_the_sensor_nothing_is_compared(kit):
    rig = Light(kit)
    rig.run(1.0)
    apart = {"string_voltages_v": 99.0}
    rig.run(0.4, cells_v=cells(c3=NAN), **apart)
    assert "STRING_VOLTAGE_MISMATCH" not in rig.ids()
    rig = Light(kit)
    rig.run(1.0)
    rig.run(4.0, string_voltage_validity=1, **apart)
    assert "STRING_VOLTAGE_MISMATCH" not in rig.ids()


def test_the_worse_of_two_measurements_is_judged(kit):
    for second, row in ((4.26, "CELL_OVER_VOLTAGE_SAFETY"), (2.49, "CELL_UNDER_VOLTAGE_SAFETY")):
        rig = twelve(kit)
        rig.close()
        rig.run(1.5, redundant_cell_voltages_v=cells(c5=second))
        assert state_of(rig, row) is not None
    for name, target, value in (
        ("OVER_CURRENT_DISCHARGE_SAFETY", State.DRIVE, -22.1),
        ("OVER_CURRENT_CHARGE_SAFETY", State.DRIVE, 7.1),
    ):
        rig = twelve(kit)
        rig.close(target)
        rig.run(1.0, redundant_string_currents_a=value)
        assert state_of(rig, name) is not None
    rig = twelve(kit)
    rig.run(8.0, temperature_degc=-6.0, redundant_string_currents_a=1.0)  # only the second one sees charging
    assert "UNDER_TEMPERATURE_CHARGE_SAFETY" in rig.ids()


def test_a_second_current_within_what_the_scan_saw_agrees(kit):
    rig = Light(kit)
    rig.run(1.0, current_a=-2.0)
    within = {"string_current_minimum_a": -9.0, "string_current_maximum_a": 1.0}
    rig.run(4.0, current_a=-4.0, redundant_string_currents_a=-9.5, **within)
    assert "REDUNDANT_CURRENT_MISMATCH" not in rig.ids()
    rig.run(4.0, redundant_string_currents_a=-10.2)
    assert "REDUNDANT_CURRENT_MISMATCH" in rig.ids()
    rig.run(4.0, redundant_string_current_validity=1)
    assert "REDUNDANT_CURRENT_MISMATCH" in rig.ids()  # unknown is not gone
    rig.run(4.0, redundant_string_currents_a=-4.0, redundant_string_current_validity=0)
    assert "REDUNDANT_CURRENT_MISMATCH" not in rig.ids()


def test_second_measurements_are_compared_where_only_some_are_valid(kit):
    rig = Light(kit)
    rig.run(1.0)
    some = {"redundant_cell_voltage_validity": [1] + [0] * (CELLS - 1)}
    rig.run(5.0, redundant_cell_voltages_v=cells(c0=NAN, c6=3.7 - 0.3), **some)
    assert place_of(rig, "REDUNDANT_CELL_VOLTAGE_MISMATCH") == 6


def test_second_measurements_of_another_length_are_not_compared(kit):
    rig = twelve(kit)
    rig.run(1.0)
    for _ in range(40):
        m = rig.measurement()
        m.redundant_cell_voltages_v, m.redundant_string_currents_a = np.zeros(3), np.zeros(3)
        m.redundant_cell_voltage_validity = m.redundant_string_current_validity = np.zeros(3, np.uint8)
        rig.t_s, rig.stamp_s, rig.scan = rig.t_s + 0.1, rig.stamp_s + 0.1, rig.scan + 1
        m.stamp_s, m.scan_number = rig.stamp_s, rig.scan
        rig.last = rig.monitor.step(m, rig.t_s, rig.stamp_s)
    assert not rig.ids() - {"ESTIMATOR_LOST"}


def test_a_pack_without_second_measurements_or_cell_sensors_is_judged_on_the_rest(kit):
    rig = kit.rig(
        device=kit.signals("redundant_cell_voltage_v", "redundant_string_current_a", "temperature_degc"),
        protection=DEFAULTS,
    )
    rig.run(3.0)
    rig.run(3.0, cells_v=[3.7, 3.7, 3.0, 3.7], temperature_degc=99.0)
    assert own(rig) == {"CELL_VOLTAGE_RATE", "CELL_VOLTAGE_SPREAD"}
    assert {"TEMPERATURE_RATE", "REDUNDANT_CURRENT_MISMATCH"} <= set(rig.last.not_monitored)


REPORTED = {
    "reported_cell_voltage_minimum_v": 3.7,
    "reported_cell_voltage_maximum_v": 3.7,
    "reported_cell_voltage_validity": 0,
    "reported_temperature_minimum_degc": 25.0,
    "reported_temperature_maximum_degc": 25.0,
    "reported_temperature_validity": 0,
}


def reporting(kit, **protection):
    names = [name for name in REPORTED if not name.endswith("validity")]
    signals = [*kit.SMALL["device"]["signals"], *({"to": n, "message": "M", "signal": n} for n in names)]
    rig = kit.rig(
        device={"signals": signals},
        measurement={"max_age_s": dict.fromkeys(names, 0.4)},
        protection={**DEFAULTS, **protection},
        faults={f"REPORTED_{of}_MISMATCH": {"debounce_s": 1.0} for of in ("CELL_VOLTAGE", "TEMPERATURE")},
    )
    rig.values |= REPORTED
    return rig


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"reported_cell_voltage_maximum_v": 3.81}, "REPORTED_CELL_VOLTAGE_MISMATCH"),
        ({"reported_cell_voltage_minimum_v": 3.59}, "REPORTED_CELL_VOLTAGE_MISMATCH"),
        ({"reported_temperature_maximum_degc": 30.2}, "REPORTED_TEMPERATURE_MISMATCH"),
        ({"reported_temperature_minimum_degc": 19.8}, "REPORTED_TEMPERATURE_MISMATCH"),
    ],
)
def test_reported_extremes_must_be_those_of_the_cells(kit, values, name):
    rig = reporting(kit)
    rig.run(2.0)
    rig.run(3.0, **values)
    assert rig.ids() == {name}
    unknown = {key: 1 for key in REPORTED if key.endswith("validity")}
    rig.run(1.0, **unknown)
    assert name in rig.ids()


def test_reported_extremes_are_compared_only_where_all_cells_are_known(kit):
    rig = reporting(kit)
    rig.run(2.0)
    wrong = {"reported_cell_voltage_maximum_v": 4.0, "reported_temperature_maximum_degc": 40.0}
    some = {"cell_voltage_validity": [7, 0, 0, 0], "temperature_validity": [7, 0, 0, 0]}
    rig.run(3.0, cells_v=[NAN, 3.7, 3.7, 3.7], temperature_degc=[NAN, 25.0, 25.0, 25.0], **wrong, **some)
    assert not {name for name in rig.ids() if name.startswith("REPORTED")}


def test_reported_extremes_that_are_ahead_of_slow_cells_agree(kit):
    rig, rng = reporting(kit), np.random.default_rng(6)
    amps = np.repeat(rng.uniform(-18.0, 4.0, 30), 10)
    new = lambda k: 3.7 + 0.02 * amps[k]  # noqa: E731
    drive(
        rig, lambda k: np.full(4, new(max(k - 4, 0))), lambda k: amps[k], 29.0,
        reported_cell_voltage_minimum_v=new, reported_cell_voltage_maximum_v=new,
    )  # fmt: skip
    assert not own(rig)


# ---- frames, scans, clock ----


@pytest.mark.parametrize(("refused", "found"), [(7, True), (5, False)])
def test_too_many_refused_frames_block_closing(kit, refused, found):
    rig = kit.rig()
    rig.close()
    rig.run(5.0, frames_rejected=refused)
    assert (state_of(rig, "FRAME_INTEGRITY") == FaultState.ACTIVE) == found
    assert rig.state == State.DRIVE
    rig.run(8.0, frames_rejected=0)
    assert state_of(rig, "FRAME_INTEGRITY") is None


def test_refused_frames_count_over_several_scans(kit):
    rig = kit.rig()
    for k in range(60):
        rig.step(frames_rejected=12 if k % 3 == 0 else 2)
    assert state_of(rig, "FRAME_INTEGRITY") is None
    for k in range(60):
        rig.step(frames_rejected=30 if k % 3 == 0 else 0)
    assert state_of(rig, "FRAME_INTEGRITY") == FaultState.ACTIVE


def test_a_scan_that_comes_again_and_again_is_no_measurement(kit):
    rig = kit.rig()
    rig.close()
    last = rig.measurement()
    last.scan_number += 1
    started_s = rig.t_s
    while rig.state == State.DRIVE:
        rig.t_s += 0.1
        rig.stamp_s += 0.1
        rig.monitor.take_power_limits(kit.power_limits(), rig.t_s)
        rig.last = rig.monitor.step(last, rig.t_s, rig.stamp_s)
        rig.tick()  # in between only the time goes on
        assert rig.t_s - started_s < 2.0
    assert state_of(rig, "SCAN_NOT_ADVANCING") == FaultState.ACTIVE
    assert rig.t_s - started_s == pytest.approx(0.6, abs=0.15)
    rig.scan += 10
    rig.run(2.0, link_v=0.0)
    assert state_of(rig, "SCAN_NOT_ADVANCING") is None


def test_a_scan_that_comes_twice_once_is_forgiven(kit):
    rig = kit.rig()
    rig.close()
    for _ in range(30):
        decision = rig.step()
        again = rig.measurement()
        decision = rig.monitor.step(again, rig.t_s + 0.001, rig.stamp_s)
        rig.t_s += 0.001
        assert decision.status.state == State.DRIVE
    assert not rig.ids()


@pytest.mark.parametrize("step_s", [3.0, -3.0, 1e6])
def test_a_clock_that_is_set_informs_and_stays_until_it_is_seen(kit, step_s):
    rig = kit.rig()
    rig.close()
    rig.run(1.0)
    rig.stamp_s += step_s
    rig.run(2.0)
    assert rig.state == State.DRIVE and state_of(rig, "CLOCK_JUMP") == FaultState.LATCHED
    entry = next(entry for entry in rig.last.faults if entry.row.id == "CLOCK_JUMP")
    assert entry.value == pytest.approx(abs(step_s), abs=1e-3) and entry.row.level == 0
    assert rig.monitor.clear(["CLOCK_JUMP"], rig.t_s).accepted


def test_a_clock_that_is_slewed_or_simulated_is_not_set(kit):
    rig = kit.rig()
    rig.run(1.0)
    for _ in range(100):
        rig.stamp_s += 0.0005
        rig.step()
    assert "CLOCK_JUMP" not in rig.ids()
    rig.monitor = SafetyMonitor(rig.pack, FaultRecord("TEST-1"), simulated_time=True)
    for _ in range(50):
        rig.stamp_s += 2.0  # twenty times as fast
        rig.step()
    assert "CLOCK_JUMP" not in rig.ids()
