"""The runaway watch where a pack has little: two sensors, none, only the device's own maximum."""

from __future__ import annotations

import numpy as np
import pytest
from runaway_courses import circumstances, pack_file, scan_of

from openbms_control.safety.readings import PackFacts
from openbms_control.safety.readings.values import extreme
from openbms_control.safety.watches.runaway import RunawayWatch
from openbms_control.safety.watches.runaway_temperature import TemperatureCourses
from openbms_control.safety.watches.runaway_voltage import VoltageCourses
from openbms_core.pack import PackFile

PERIOD_S = 0.5
HOLD_S = 30.0


def measuring(pack, *names, **reported):
    """Give the pack with only these signals, and those of the device's own extremes."""
    data = pack.model_dump()
    data["device"]["signals"] = [entry for entry in data["device"]["signals"] if entry["to"] in names]
    data["device"]["signals"] += [
        {"to": name, "message": "M", "signal": signal} for name, signal in reported.items()
    ]
    data["measurement"]["max_age_s"] |= dict.fromkeys(reported, 0.5)
    return PackFile.model_validate(data)


def rising(t_s, from_s=60.0, rate=1.5):
    return 25.0 + rate * min(max(0.0, t_s - from_s), 40.0)


def counts(watch, seconds, scan):
    """Give the largest number of indicators, and whether the emergency was confirmed."""
    most, confirmed = 0.0, False
    for number in range(round(seconds / PERIOD_S)):
        read = watch.step(scan(number, number * PERIOD_S), circumstances(), PERIOD_S)
        most = max(most, read["runaway_indicators"].value)
        confirmed |= bool(read["runaway_confirmed"].present)
    return most, confirmed


@pytest.mark.parametrize("together", [False, True])
def test_of_two_sensors_the_other_one_is_the_peer(together):
    pack = pack_file(12, 6, scan_period_s=PERIOD_S)

    def scan(number, t_s):
        hot = rising(t_s, rate=0.6)
        degc = np.array([hot, hot if together else 25.0])
        return scan_of(np.full(12, 3.7), degc, number=number)

    most, _ = counts(RunawayWatch(PackFacts(pack)), 180.0, scan)
    assert most == (0.0 if together else 1.0)


@pytest.mark.parametrize("sensors", [4, 0])
@pytest.mark.parametrize("rate", [0.0, 2.0])
def test_a_device_that_reports_only_its_highest_temperature_is_watched_by_it(rate, sensors):
    reported = {"reported_temperature_maximum_degc": "hottest"}
    pack = measuring(pack_file(12, 3, scan_period_s=PERIOD_S), "cell_voltage_v", **reported)
    if not sensors:
        pack = PackFile.model_validate(
            pack.model_dump() | {"topology": pack.topology.model_dump() | {"temperature_sensors": []}}
        )
    facts = PackFacts(pack)
    assert len(TemperatureCourses(facts, HOLD_S).first_cell) == sensors + 1

    def scan(number, t_s):
        return scan_of(
            np.full(12, 3.7), np.full(sensors, np.nan), number=number, reported_temperature_validity=0,
            reported_temperature_maximum_degc=rising(t_s, rate=rate),
        )  # fmt: skip

    most, confirmed = counts(RunawayWatch(facts), 180.0, scan)
    assert (most >= 1.0, confirmed) == (rate > 0.0, rate > 0.0)


def test_without_any_temperature_only_voltages_are_judged():
    data = pack_file(12, 3, scan_period_s=PERIOD_S).model_dump()
    data["topology"]["temperature_sensors"] = []
    data["device"]["signals"] = [e for e in data["device"]["signals"] if e["to"] != "temperature_degc"]
    facts = PackFacts(PackFile.model_validate(data))

    def scan(number, t_s):
        volts = np.full(12, 3.7)
        volts[5] -= 0.2 * (60.0 <= t_s < 70.0)
        return scan_of(volts, np.zeros(0), number=number)

    watch = RunawayWatch(facts)
    assert len(watch.temperatures.first_cell) == 0
    assert counts(watch, 120.0, scan) == (1.0, False)


def test_a_string_of_one_cell_has_no_voltage_course():
    courses = VoltageCourses(PackFacts(pack_file(1, 1)), HOLD_S)
    for number in range(400):
        courses.step(scan_of(np.array([3.7 if number < 200 else 1.0]), np.array([25.0]), number=number), 0.1)
    assert not courses.active().any() and not courses.fell().any()


def test_more_than_three_cells_that_fall_at_once_are_a_front_end():
    pack = pack_file(12, 3)
    for fallen, expected in ((3, 1.0), (4, 0.0)):
        watch = RunawayWatch(PackFacts(pack))
        for number in range(600):
            volts = np.full(12, 3.7)
            volts[1 : 2 * fallen : 2] -= 0.2 * (300 <= number < 350)
            scan = scan_of(volts, np.full(4, 25.0), number=number)
            read = watch.step(scan, circumstances(), 0.1)
        assert read["runaway_indicators"].value == expected


def test_a_driver_that_sends_neither_ages_nor_bleeds_is_judged_as_well():
    pack = pack_file(12, 3, scan_period_s=PERIOD_S)

    def scan(number, t_s):
        volts = np.full(12, 3.7)
        volts[5] -= 0.2 * (100.0 <= t_s < 110.0)
        m = scan_of(volts, np.array([25.0, rising(t_s), 25.0, 25.0]), number=number)
        m.temperature_ages_s = m.cell_voltage_ages_s = np.zeros(0)
        m.cell_balancing = np.zeros(0, np.uint8)
        return m

    most, confirmed = counts(RunawayWatch(PackFacts(pack)), 180.0, scan)
    assert most == 2.0 and confirmed


def test_a_course_means_the_same_at_the_other_end_of_the_string_and_at_another_scan_period():
    found = set()
    for period_s in (0.1, 0.5):
        for reversed_ in (False, True):
            pack = pack_file(12, 3, scan_period_s=period_s)
            watch, most = RunawayWatch(PackFacts(pack)), 0.0
            for number in range(round(180.0 / period_s)):
                t_s = number * period_s
                volts, degc = np.full(12, 3.7), np.array([25.0, rising(t_s), 25.0, 25.0])
                volts[5] -= 0.2 * (90.0 <= t_s < 100.0)
                if reversed_:
                    volts, degc = volts[::-1].copy(), degc[::-1].copy()
                read = watch.step(scan_of(volts, degc, number=number), circumstances(), period_s)
                most = max(most, read["runaway_indicators"].value)
            found.add(most)
    assert found == {2.0}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_worst_of_nothing_is_unknown_and_the_device_s_own_counts(sign):
    nothing, unknown = np.zeros(0), np.full(3, np.nan)
    for values in (nothing, unknown):
        value, index = extreme(values, sign, 4.2, False)
        assert np.isnan(value) and index == -1
        assert extreme(values, sign, 4.2, True) == (4.2, -1)
    assert extreme(np.array([np.nan, 3.0, 3.5]), sign, np.nan, True) == ((3.5, 2) if sign > 0 else (3.0, 1))
