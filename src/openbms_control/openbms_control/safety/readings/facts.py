"""What every reading needs: facts of the pack and circumstances of the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.readings.values import BoolArray, FloatArray, ScanValues
from openbms_core.pack import PackFile
from openbms_core.types import PackMeasurement, State

__all__ = [
    "CLOSED_STATES",
    "BoolArray",
    "Circumstances",
    "ClockReading",
    "FloatArray",
    "PackFacts",
    "Reading",
    "ScanReading",
]

CLOSED_STATES = frozenset({State.DRIVE, State.CHARGE, State.CONNECTED})
"""States in which the pack's contactors are closed for use."""


class Reading(NamedTuple):
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
    index: int = -1  # type: ignore[assignment]  # hides a method of tuple
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
    seen_closed : array of bool, shape (3 * strings,)
        Feedback has said closed since the contactor was commanded closed.
    covered : array of bool, shape (3 * strings,)
        Contactors of a string without which others carry on: their failing opens nothing but this string.
    news : mapping of str to tuple of float and int
        Quantities of contactors that have something to report: value and string.
    scan_repeated : bool
        The scan has the number of the one before.
    clock_step_s : float
        How far ROS time ran away from the monotonic clock since the call before [s].
    balancing_wanted : array of bool, shape (cells,), or None
        What a fresh and permitted command bleeds, or did within the last scans; None: nothing.
    heater_wanted, pump_wanted, fan_wanted, chiller_wanted : float
        What the actuators are told (0 to 1): a fresh and permitted command, or the pack's safe value.
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
    seen_closed: BoolArray = field(default_factory=lambda: np.zeros(1, dtype=np.bool_))
    covered: BoolArray = field(default_factory=lambda: np.zeros(1, dtype=np.bool_))
    news: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    scan_repeated: bool = False
    clock_step_s: float = 0.0
    balancing_wanted: BoolArray | None = None
    heater_wanted: float = 0.0
    pump_wanted: float = 0.0
    fan_wanted: float = 0.0
    chiller_wanted: float = 0.0


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
        discharge_s = pack.contactors.link_discharge_time_s
        self.link_discharge_s = discharge_s if discharge_s is not None else float("inf")
        self.by_device = pack.contactors.moved_by == "device"
        self.cells_mapped = pack.mapped("cell_voltage_v")
        self.currents_mapped = pack.mapped("string_current_a")
        self.cell_extremes_mapped = pack.mapped("reported_cell_voltage_maximum_v")
        shows_cells = self.cells_mapped or self.cell_extremes_mapped
        self.cells_left_to_device = pack.limits.cells_left_to_device and not shows_cells
        self.sensors_mapped = pack.mapped("temperature_degc")
        self.temperature_extremes_mapped = pack.mapped("reported_temperature_maximum_degc")
        self.oldest_cell_s = max(
            (pack.max_age_s(entry) for entry in pack.device.signals if entry.to == "cell_voltage_v"),
            default=0.0,
        )
        self.die_sensors = np.array([i for i, (_, where, _) in enumerate(sensors) if where == "afe"], np.intp)
        fed_back, bled = (
            {index for entry in pack.device.signals if entry.to == name for index, *_ in entry.expanded()}
            for name in ("actuator_feedback", "cell_balancing")
        )
        self.balancing_mapped = np.array([cell in bled for cell in range(topology.cell_count)], np.bool_)
        self.actuators = {
            name: [place for place in topology.members(name) if place in fed_back]
            for name in ("heater", "pump", "fan")
        }
        self.inputs = [name for name in ("interlock", "emergency_stop", "smoke", "gas") if pack.mapped(name)]
        places = ("contactor_positive", "contactor_negative", "contactor_precharge")
        self.feedback_mapped = np.tile([pack.mapped(name) for name in places], self.strings)

        self._values: ScanValues | None = None

    def values(self, m: PackMeasurement) -> ScanValues:
        """Give the valid values of a scan; those of the newest one are kept.

        A scan must not be changed after it was given here.
        """
        kept = self._values
        if kept is None or kept.scan is not m:
            kept = self._values = ScanValues(m, self)
        return kept

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


ScanReading = Callable[[PackMeasurement, PackFacts, Circumstances], Reading]
"""How a quantity of the fault table is read from a scan."""

ClockReading = Callable[[Circumstances], Reading]
"""How a quantity that is judged on every call is read."""
