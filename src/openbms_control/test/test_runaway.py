"""The thermal-runaway watch on physical courses: what each level needs, what never counts, what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from runaway_courses import HealthyDay, PackCourse, Runaway, Sensors, circumstances, pack_file, scan_of, scans

from openbms_control.safety.readings import PackFacts
from openbms_control.safety.watches.runaway import RunawayWatch
from openbms_control.safety.watches.runaway_string import ALLOWED
from openbms_core.faults import FAULT_BY_ID, Action

PERIOD_S = 0.5
QUIET = Sensors(lag_s=(5.0, 5.0), noise_k=0.1)


def levels(pack, course, seconds, load=None):
    watch, first = RunawayWatch(PackFacts(pack)), {}
    period_s = pack.measurement.scan_period_s
    for m in scans(course, seconds, period_s, load):
        read = watch.step(m, circumstances(), period_s)
        count = read["runaway_indicators"].value
        for name, there in (
            ("warning", count > 0),
            ("alarm", count > 1),
            ("emergency", read["runaway_confirmed"].present),
        ):
            if there:
                first.setdefault(name, course.t_s)
    return first, watch


def test_a_fast_short_at_a_sensor_passes_all_levels_in_order():
    pack = pack_file(12, 1, scan_period_s=PERIOD_S)
    course = PackCourse(pack, 1, sensors=QUIET, runaway=Runaway(5, 30.0, 5.0))
    first, _ = levels(pack, course, 300.0)
    assert 30.0 < first["warning"] <= first["alarm"] <= first["emergency"]
    assert first["warning"] < 60.0


def test_a_runaway_that_no_sensor_sees_is_an_alarm_by_cell_and_string_voltage():
    pack = pack_file(12, 12, scan_period_s=PERIOD_S)
    course = PackCourse(pack, 2, sensors=QUIET, runaway=Runaway(5, 30.0, 2.0, dip_s=0.0))
    course.places[:] = 0
    first, _ = levels(pack, course, 200.0)
    assert "alarm" in first and first["alarm"] - 30.0 < 200.0


@pytest.mark.parametrize("mode", ["drive", "cold_charge", "heater", "sun"])
def test_a_healthy_pack_says_nothing(mode):
    pack = pack_file(24, 3, scan_period_s=PERIOD_S)
    course = PackCourse(pack, 3, sensors=Sensors(noise_k=0.5, quantum_k=1.0, lost=0.05))
    first, _ = levels(pack, course, 600.0, HealthyDay(course, mode))
    assert first == {}


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_uniform_heating_never_counts(rate):
    pack = pack_file(12, 3, scan_period_s=PERIOD_S)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(240):
        degc = np.full(4, 25.0 + rate * PERIOD_S * number)
        read = watch.step(scan_of(np.full(12, 3.7), degc, number=number), circumstances(), PERIOD_S)
        assert read["runaway_indicators"].value == 0.0 and not read["runaway_confirmed"].present


def test_a_single_jump_is_not_a_course():
    pack = pack_file(12, 3, scan_period_s=PERIOD_S)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(400):
        degc = np.array([25.0, 25.0 + 50.0 * (number > 100), 25.0, 25.0])
        read = watch.step(scan_of(np.full(12, 3.7), degc, number=number), circumstances(), PERIOD_S)
        assert read["runaway_indicators"].value == 0.0


def test_losing_a_sensor_after_it_rose_keeps_its_evidence():
    pack = pack_file(12, 3, scan_period_s=PERIOD_S)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(1200):
        t_s = number * PERIOD_S
        hot = 25.0 + 2.0 * max(0.0, t_s - 60.0) if t_s < 80.0 else np.nan
        degc = np.array([25.0, hot, 25.0, 25.0])
        read = watch.step(scan_of(np.full(12, 3.7), degc, number=number), circumstances(), PERIOD_S)
    assert read["runaway_indicators"].value >= 1.0 and read["runaway_indicators"].index == 3


def volts_of(cells, cell, fall_v, neighbour_v=0.0):
    volts = np.full(cells, 3.7)
    volts[cell] -= fall_v
    volts[cell + 1] += neighbour_v
    return volts


@pytest.mark.parametrize(
    ("fall_v", "neighbour_v", "lasts_s", "count"),
    [(0.15, 0.0, 5.0, 1), (0.07, 0.0, 5.0, 0), (0.15, 0.15, 5.0, 0), (0.15, 0.0, 0.1, 0), (1.2, 0.0, 1e9, 2)],
    ids=["dip", "too small", "loose wire", "one scan", "drop that the string's voltage confirms"],
)
def test_what_a_fall_of_one_cell_counts(fall_v, neighbour_v, lasts_s, count):
    pack = pack_file(12, 3)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(600):
        t_s = 0.1 * number
        down = 30.0 <= t_s < 30.0 + lasts_s - 0.05
        volts = volts_of(12, 5, fall_v * down, neighbour_v * down)
        read = watch.step(scan_of(volts, np.full(4, 25.0), number=number), circumstances(), 0.1)
    assert read["runaway_indicators"].value == count


@pytest.mark.parametrize("bleed_cell", [None, 0, 4])
def test_a_small_fall_of_a_nearly_empty_cell_never_counts_wherever_a_bleed_has_just_switched(bleed_cell):
    pack = pack_file(12, 3)
    watch = RunawayWatch(PackFacts(pack))
    empty_v = 1.05 * pack.limits.cell_voltage_min_v.operating
    for number in range(400):
        down = 300 <= number < 350
        volts = np.full(12, empty_v)
        volts[5] -= 0.15 * down
        scan = scan_of(volts, np.full(4, 25.0), number=number)
        scan.cell_balancing[:] = 0
        if bleed_cell is not None:
            scan.cell_balancing[bleed_cell] = number >= 295
        read = watch.step(scan, circumstances(), 0.1)
        assert read["runaway_indicators"].value == 0


@pytest.mark.parametrize("neighbour", [4, 6])
def test_a_fall_that_either_neighbour_makes_good_is_a_loose_wire(neighbour):
    pack = pack_file(12, 3)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(400):
        volts = np.full(12, 3.7)
        if 300 <= number < 350:
            volts[5] -= 0.15
            volts[neighbour] += 0.15
        read = watch.step(scan_of(volts, np.full(4, 25.0), number=number), circumstances(), 0.1)
        assert read["runaway_indicators"].value == 0.0


@pytest.mark.parametrize(("noise_v", "count"), [(0.0, 2), (0.9, 2), (1.1, 1)])
def test_a_string_sensor_confirms_a_drop_that_it_can_tell_from_its_noise(noise_v, count):
    pack = pack_file(12, 3)
    watch = RunawayWatch(PackFacts(pack))
    fall_v = 1.2
    sigma_v = noise_v * ALLOWED * fall_v / 3.0  # three times that must be within what is allowed
    for number in range(520):
        scan = scan_of(volts_of(12, 5, fall_v * (number >= 500)), np.full(4, 25.0), number=number)
        scan.string_voltages_v = scan.string_voltages_v + sigma_v * (-1) ** number * (number > 0)
        read = watch.step(scan, circumstances(), 0.1)
    assert read["runaway_indicators"].value == count


def test_a_string_sensor_that_says_otherwise_confirms_nothing():
    pack = pack_file(12, 3)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(400):
        scan = scan_of(volts_of(12, 5, 1.2 * (number >= 300)), np.full(4, 25.0), number=number)
        scan.string_voltages_v = np.array([12 * 3.7])
        read = watch.step(scan, circumstances(), 0.1)
    assert read["runaway_indicators"].value == 1.0


def test_the_level_of_a_fallen_cell_stands_still():
    pack = pack_file(12, 3)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(600):
        scan = scan_of(volts_of(12, 5, 0.15 * (number >= 300)), np.full(4, 25.0), number=number)
        watch.step(scan, circumstances(), 0.1)
    assert watch.voltages.fall_v[0, 5] == pytest.approx(0.15)


def test_a_cell_that_drifts_away_slowly_takes_its_level_with_it():
    pack = pack_file(12, 3, scan_period_s=PERIOD_S)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(600):
        scan = scan_of(volts_of(12, 5, 0.0005 * PERIOD_S * number), np.full(4, 25.0), number=number)
        watch.step(scan, circumstances(), PERIOD_S)
        assert not watch.voltages.falling.any()


def test_a_scan_that_comes_again_is_not_the_second_that_evidence_needs(kit):
    rig = kit.rig()
    watch = RunawayWatch(PackFacts(rig.pack.file))
    for gas, step_s, count in ((0, 0.0, 0), (1, 0.1, 0), (1, 0.0, 0), (1, 0.1, 1)):
        rig.values["gas"] = gas
        read = watch.step(rig.measurement(), circumstances(), step_s)
        assert read["runaway_indicators"].value == count


def test_heat_counts_beside_a_drop_that_the_string_confirms():
    pack = pack_file(12, 3)
    watch = RunawayWatch(PackFacts(pack))
    counts = []
    for number in range(800):
        t_s = 0.1 * number
        degc = np.array([25.0, 25.0 + 2.0 * min(max(t_s - 50.0, 0.0), 25.0), 25.0, 25.0])
        scan = scan_of(volts_of(12, 5, 1.2 * (t_s >= 30.0)), degc, number=number)
        counts.append(watch.step(scan, circumstances(), 0.1)["runaway_indicators"].value)
    assert counts[499] == 2.0 and counts[-1] == 3.0


def test_heat_of_a_sensor_that_stands_for_the_whole_pack_has_no_place():
    pack = pack_file(12, 12)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(900):
        degc = np.array([25.0 + 2.0 * max(0.1 * number - 50.0, 0.0)])
        read = watch.step(scan_of(np.full(12, 3.7), degc, number=number), circumstances(), 0.1)
    assert read["runaway_confirmed"].present and read["runaway_confirmed"].index == -1


@pytest.mark.parametrize(("load_v", "count"), [(0.0, 1), (0.03, 1), (0.1, 0)])
def test_a_cell_has_recovered_only_where_a_load_does_not_hide_it(load_v, count):
    """A dip that ends with a step of the load tells nothing: what then stands is the new level."""
    pack = pack_file(12, 3)
    watch, most = RunawayWatch(PackFacts(pack)), 0.0
    for number in range(1000):
        volts = np.full(12, 3.7 - load_v * (number >= 310))
        volts[5] -= 0.15 * (300 <= number < 310)
        read = watch.step(scan_of(volts, np.full(4, 25.0), number=number), circumstances(), 0.1)
        most = max(most, read["runaway_indicators"].value)
    assert most == count


def test_a_gap_is_forgotten_not_interpolated():
    pack = pack_file(12, 3, scan_period_s=PERIOD_S)
    watch = RunawayWatch(PackFacts(pack))
    for number in range(200):
        degc = np.full(4, 25.0)
        degc[1] += 30.0 * (number >= 100)
        step_s = 30.0 if number == 100 else PERIOD_S
        read = watch.step(scan_of(np.full(12, 3.7), degc, number=number), circumstances(), step_s)
        assert read["runaway_indicators"].value == 0.0


def test_the_rows_say_what_each_level_does():
    warning, alarm, emergency = (
        FAULT_BY_ID[f"THERMAL_RUNAWAY_{level}"] for level in ("WARNING", "ALARM", "EMERGENCY")
    )
    assert (warning.charge_factor, warning.discharge_factor) == (0.0, 1.0) and not warning.opens
    for row in (alarm, emergency):
        assert row.opens and row.latched and row.by_name and Action.OPEN_AT_ONCE not in row.action
        assert "fire brigade" in row.cure and "leave the vehicle" in row.cure
