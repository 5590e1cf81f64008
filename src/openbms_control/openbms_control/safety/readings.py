"""What the fault table judges, read from one scan: one function per quantity, all vectorised over cells and
sensors.

Only values that the scan marks as valid are used. Nothing estimated comes in here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.pack import PackFile
from openbms_core.types import UNKNOWN, BusState, PackMeasurement, State, Validity

__all__ = ["CLOCK_READINGS", "CLOSED_STATES", "SCAN_READINGS", "Circumstances", "PackFacts", "Reading"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CLOSED_STATES = frozenset({State.DRIVE, State.CHARGE, State.CONNECTED})
"""States in which the pack's contactors are closed for use."""


@dataclass(frozen=True)
class Reading:
    """What one quantity is now.

    Attributes
    ----------
    value : float
        Worst value in the row's unit; NaN if unknown or without number.
    index : int
        Worst cell, sensor or string; -1 for the whole pack.
    present : bool or None
        Whether the condition holds apart from the comparison with the limit; None: it cannot be judged now.
    """

    value: float = float("nan")
    index: int = -1
    present: bool | None = True


@dataclass(frozen=True)
class Circumstances:
    """What the monitor knows beside the scan.

    Attributes
    ----------
    state : State
    started : bool
        The first complete scan was there, or start-up has timed out: from now on missing data is a fault.
    command, command_age_s : array, shape (3 * strings,)
        What each contactor is commanded to (0, 1), and for how long [s], in the order of the feedback.
    measurement_age_s, estimator_age_s, monitor_gap_s : float
        Time since the last scan, the last power limits and the monitor's last call [s].
    estimator_fresh : bool
        Power limits have not expired.
    limp_home_expired, driver_restarted, precharge_failed, config_mismatch : bool
    monitor_died, record_corrupt, record_not_written : bool
    """

    state: State
    started: bool
    command: NDArray[np.uint8]
    command_age_s: FloatArray
    measurement_age_s: float
    estimator_age_s: float
    monitor_gap_s: float
    estimator_fresh: bool
    limp_home_expired: bool = False
    driver_restarted: bool = False
    precharge_failed: bool = False
    config_mismatch: bool = False
    monitor_died: bool = False
    record_corrupt: bool = False
    record_not_written: bool = False


class PackFacts:
    """Static facts of the pack in the shape that the readings need.

    Parameters
    ----------
    pack : PackFile
    """

    def __init__(self, pack: PackFile) -> None:
        self.pack = pack
        topology = pack.topology
        self.strings = topology.strings
        self.cells_in_series = topology.cells_in_series
        self.deadband_a = pack.limits.current_deadband_a
        sensors = topology.sensors
        self.cell_sensors = np.array([where == "cell" for _, where, _ in sensors], dtype=np.bool_)
        # a cell sensor that is not assigned to cells stands for every string
        self.sensor_strings = np.zeros((len(sensors), self.strings), dtype=np.bool_)
        for number, (_, _, cells) in enumerate(sensors):
            strings = sorted({cell // self.cells_in_series for cell in cells})
            self.sensor_strings[number, strings or slice(None)] = True
        self.closing_s = pack.contactors.closing_time_s
        self.opening_s = pack.contactors.opening_time_s
        # the mean current of a scan still holds what flowed before the opening
        self.quiet_after_s = self.opening_s + 2.0 * pack.measurement.scan_period_s
        self.by_device = pack.contactors.authority == "device"
        self.cells_mapped = pack.mapped("cell_voltage_v")
        self.currents_mapped = pack.mapped("string_current_a")
        self.cell_extremes_mapped = pack.mapped("reported_cell_voltage_maximum_v")
        self.sensors_mapped = pack.mapped("temperature_degc")
        self.temperature_extremes_mapped = pack.mapped("reported_temperature_maximum_degc")
        self.inputs = [name for name in ("interlock", "emergency_stop", "smoke", "gas") if pack.mapped(name)]
        places = ("contactor_positive", "contactor_negative", "contactor_precharge")
        self.feedback_mapped = np.tile([pack.mapped(name) for name in places], self.strings)

    def fits(self, m: PackMeasurement) -> bool:
        """Tell whether the scan has the lengths of this pack."""
        return (
            len(m.cell_voltages_v) == len(m.cell_voltage_validity) == self.strings * self.cells_in_series
            and len(m.temperatures_degc) == len(m.temperature_validity) == len(self.cell_sensors)
            and len(m.string_currents_a) == len(m.string_current_validity) == self.strings
            and len(m.string_current_minimum_a) == len(m.string_current_maximum_a) == self.strings
            and len(m.string_voltages_v) == len(m.string_voltage_validity) == self.strings
            and len(m.contactor_feedback) == 3 * self.strings
        )


def valid(values: FloatArray, validity: NDArray[np.uint8]) -> FloatArray:
    """Give the values with NaN wherever they are not valid."""
    return np.where(validity == Validity.VALID, values, np.nan)


def _extreme(values: FloatArray, sign: float, reported: float, is_reported: bool) -> tuple[float, int]:
    """Give the largest (sign +1) or smallest (-1) value with its index; the device's own extreme counts as
    well.
    """
    value, index = float("nan"), -1
    if np.isfinite(values).any():
        index = int(np.nanargmax(sign * values))
        value = float(values[index])
    if is_reported and np.isfinite(reported) and not sign * reported <= sign * value:
        value, index = float(reported), -1
    return value, index


def cell_extreme(m: PackMeasurement, sign: float) -> tuple[float, int]:
    """Give the highest (+1) or lowest (-1) cell voltage [V] and its cell."""
    reported = m.reported_cell_voltage_maximum_v if sign > 0 else m.reported_cell_voltage_minimum_v
    cells = valid(m.cell_voltages_v, m.cell_voltage_validity)
    return _extreme(cells, sign, reported, m.reported_cell_voltage_validity == Validity.VALID)


def temperature_extreme(
    m: PackMeasurement, facts: PackFacts, sign: float, of: BoolArray | None = None
) -> tuple[float, int]:
    """Give the highest (+1) or lowest (-1) cell temperature [°C] and its sensor, of those strings (default:
    all).
    """
    values = np.where(facts.cell_sensors, valid(m.temperatures_degc, m.temperature_validity), np.nan)
    if of is not None:
        values = np.where((facts.sensor_strings & of).any(axis=1), values, np.nan)
    reported = m.reported_temperature_maximum_degc if sign > 0 else m.reported_temperature_minimum_degc
    return _extreme(values, sign, reported, m.reported_temperature_validity == Validity.VALID)


def currents(m: PackMeasurement) -> FloatArray:
    """Give the mean current of each string [A], NaN where it is not valid; shape (strings,)."""
    return valid(m.string_currents_a, m.string_current_validity)


def largest_current(m: PackMeasurement) -> float:
    """Give the largest magnitude in any string within the scan [A]; NaN if a string's current is unknown."""
    means = currents(m)
    peaks = [
        valid(x, m.string_current_validity) for x in (m.string_current_minimum_a, m.string_current_maximum_a)
    ]
    if not np.isfinite(means).all():
        return float("nan")
    return float(np.nanmax(np.abs([means, *peaks])))


def _voltage(sign: float) -> Callable[[PackMeasurement, PackFacts, Circumstances], Reading]:
    return lambda m, facts, now: Reading(*cell_extreme(m, sign))


def _peak(sign: float) -> Callable[[PackMeasurement, PackFacts, Circumstances], Reading]:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        extreme = m.string_current_maximum_a if sign > 0 else m.string_current_minimum_a
        peaks = valid(extreme, m.string_current_validity)
        values = sign * np.where(np.isfinite(peaks), peaks, currents(m))
        return Reading(*_extreme(values, 1.0, float("nan"), False))

    return read


def _temperature(sign: float, applies: Callable[[FloatArray, float], BoolArray]) -> Callable[..., Reading]:
    """Read the worst temperature of the strings whose present current makes the limit apply."""

    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        # a pack that measures no current may always be at rest, where heat is dangerous as well
        flows = currents(m) if facts.currents_mapped else np.zeros(facts.strings)
        strings = applies(flows, facts.deadband_a) & np.isfinite(flows)
        if strings.any():
            value, index = temperature_extreme(m, facts, sign, strings)
            return Reading(value, index, True)
        value, index = temperature_extreme(m, facts, sign)
        return Reading(value, index, None if np.isnan(flows).any() else False)

    return read


def _missing(bad: BoolArray, ages: FloatArray) -> Reading:
    if not bad.any():
        return Reading(present=False)
    if len(ages) != len(bad):
        return Reading(index=int(np.argmax(bad)))
    # never received counts as the oldest
    index = int(np.argmax(np.where(bad, np.nan_to_num(ages, nan=np.inf), -np.inf)))
    return Reading(float(ages[index]), index)


def _cell_voltage_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    bad = ~np.isfinite(valid(m.cell_voltages_v, m.cell_voltage_validity))
    if facts.cell_extremes_mapped:
        if m.reported_cell_voltage_validity != Validity.VALID:
            return Reading()
        bad &= m.cell_voltage_validity != Validity.NOT_FITTED
    return _missing(bad, m.cell_voltage_ages_s)


def _temperature_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    bad = ~np.isfinite(valid(m.temperatures_degc, m.temperature_validity)) & facts.cell_sensors
    if facts.temperature_extremes_mapped:
        if m.reported_temperature_validity != Validity.VALID:
            return Reading()
        bad &= m.temperature_validity != Validity.NOT_FITTED
    return _missing(bad, m.temperature_ages_s)


def _current_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return _missing(~np.isfinite(currents(m)), np.full(facts.strings, np.nan))


def _safety_input_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=any(getattr(m, name) == UNKNOWN for name in facts.inputs))


def _feedback_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return _missing(
        facts.feedback_mapped & (m.contactor_feedback == UNKNOWN), np.full(3 * facts.strings, np.nan)
    )


def _insulation_missing(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=not np.isfinite(_insulation(m, facts, now).value))


def _insulation(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    if m.insulation_resistance_validity != Validity.VALID:
        return Reading()
    strings = valid(m.string_voltages_v, m.string_voltage_validity)
    # without a string voltage the highest possible one, which is the strictest
    highest = facts.cells_in_series * facts.pack.limits.cell_voltage_max_v.safety
    voltage = float(np.nanmax(strings)) if np.isfinite(strings).any() else highest
    return Reading(m.insulation_resistance_ohm / max(voltage, 1.0))


def _bus_lost(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=m.bus_state != BusState.OK)


def _driver_restarted(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=now.driver_restarted and now.state not in (State.INIT, State.STANDBY, State.FAULT))


def _commanded(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> tuple[BoolArray, BoolArray]:
    """Give which contactors should be closed and which open, long enough to have followed."""
    closed = (now.command == 1) & (now.command_age_s > facts.closing_s)
    opened = (now.command == 0) & (now.command_age_s > facts.opening_s)
    if facts.by_device:  # the device takes its own time and moves its own precharge contactor
        closed &= now.state in CLOSED_STATES
        opened &= now.state in (State.STANDBY, State.FAULT)
        closed[2::3] = opened[2::3] = False
    return closed, opened


def _not_followed(which: int) -> Callable[[PackMeasurement, PackFacts, Circumstances], Reading]:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        if (m.contactor_feedback == UNKNOWN).all():
            return Reading(present=None)
        bad = _commanded(m, facts, now)[which] & (m.contactor_feedback == which)
        return Reading(index=int(np.argmax(bad)) // 3) if bad.any() else Reading(present=False)

    return read


def _current_on_open_string(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    quiet = ((now.command == 0) & (now.command_age_s > facts.quiet_after_s)).reshape(-1, 3)
    positive, negative, precharge = quiet.T
    flows = np.where(negative | (positive & precharge), np.abs(currents(m)), np.nan)
    value, index = _extreme(flows, 1.0, float("nan"), False)
    # no string is open: nothing to judge, which is not the same as unknown
    return Reading(value, index, index >= 0) if np.isfinite(currents(m)).all() else Reading(present=None)


def _switch(name: str, alarm: int) -> Callable[[PackMeasurement, PackFacts, Circumstances], Reading]:
    def read(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
        state = getattr(m, name)
        return Reading(present=None if state == UNKNOWN else state == alarm)

    return read


def _plugged_in_drive(m: PackMeasurement, facts: PackFacts, now: Circumstances) -> Reading:
    return Reading(present=m.charging_plug == 1 and now.state == State.DRIVE)


SCAN_READINGS: dict[str, Callable[[PackMeasurement, PackFacts, Circumstances], Reading]] = {
    "cell_voltage_maximum": _voltage(+1.0),
    "cell_voltage_minimum": _voltage(-1.0),
    "charge_current": _peak(+1.0),
    "discharge_current": _peak(-1.0),
    "charge_temperature_maximum": _temperature(+1.0, lambda i, band: i > band),
    "charge_temperature_minimum": _temperature(-1.0, lambda i, band: i > band),
    # heat needs no current to be dangerous: at rest the discharge limit holds (as in foxBMS); cold at rest
    # is harmless
    "discharge_temperature_maximum": _temperature(+1.0, lambda i, band: i <= band),
    "discharge_temperature_minimum": _temperature(-1.0, lambda i, band: i < -band),
    "cell_voltage_missing": _cell_voltage_missing,
    "temperature_missing": _temperature_missing,
    "current_missing": _current_missing,
    "safety_input_missing": _safety_input_missing,
    "contactor_feedback_missing": _feedback_missing,
    "insulation_missing": _insulation_missing,
    "insulation": _insulation,
    "bus_lost": _bus_lost,
    "driver_restarted": _driver_restarted,
    "contactor_not_closed": _not_followed(0),
    "contactor_not_open": _not_followed(1),
    "current_on_open_string": _current_on_open_string,
    "interlock_open": _switch("interlock", 0),
    "emergency_stop": _switch("emergency_stop", 1),
    "smoke": _switch("smoke", 1),
    "gas": _switch("gas", 1),
    "plugged_in_drive": _plugged_in_drive,
}
"""How each quantity of the fault table is read from a scan."""

CLOCK_READINGS: dict[str, Callable[[Circumstances], Reading]] = {
    "measurement_age": lambda now: Reading(now.measurement_age_s),
    "estimator_age": lambda now: Reading(now.estimator_age_s, present=not now.estimator_fresh),
    "monitor_gap": lambda now: Reading(
        now.monitor_gap_s, present=now.state not in (State.INIT, State.STANDBY, State.FAULT)
    ),
    "limp_home_expired": lambda now: Reading(present=now.limp_home_expired),
    "precharge_failed": lambda now: Reading(present=now.precharge_failed),
    "config_mismatch": lambda now: Reading(present=now.config_mismatch),
    "monitor_died": lambda now: Reading(present=now.monitor_died),
    "record_corrupt": lambda now: Reading(present=now.record_corrupt),
    "record_not_written": lambda now: Reading(present=now.record_not_written),
}
"""How each quantity that is judged on every call is read from what the monitor knows."""
