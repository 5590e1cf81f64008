"""Thresholds of the fault table beside the limit triples: the section ``protection`` of the pack file.

Every key has a default; where it depends on the chemistry it is taken from :mod:`openbms_core.chemistry` when
the pack is loaded. A key that is ``null``, or absent without default, switches its row off (*not monitored*).
"""

from __future__ import annotations

from openbms_core.chemistry import DEEP_DISCHARGE
from openbms_core.config_file import NonNegative, Positive
from openbms_core.protection_runaway import RunawayProtection

__all__ = ["Protection", "with_cell_defaults"]


class Protection(RunawayProtection):
    """Thresholds that are judged beside the limit triples; differences are magnitudes."""

    deep_discharge_voltage_v: Positive | None = None
    """A cell below it is deeply discharged: it must not be charged again without service. Default by
    chemistry."""
    cell_voltage_spread_max_v: Positive = 0.3
    """Largest distance of a cell from the median of its string (foxBMS v1.11: 300 mV from the mean). Two
    neighbours that are further away than this by mirrored amounts have an open sense wire between them."""
    cell_voltage_rate_max_v_per_s: Positive = 0.1
    """As fast as this the distance of a cell from its neighbours may change for as long as it likes: a weak
    cell that runs empty first does."""
    cell_voltage_step_max_v: Positive | None = 0.2
    """What changed faster, as a mean over two seconds: a cell that goes so far away is not measured any more
    (what its resistance explains is taken off)."""
    cell_voltage_standstill_max_v: Positive | None = 0.05
    """Swing of a string's median within ten seconds during which a cell must move by a bit, and both ways
    during which its current must."""
    standstill_charge_ah: Positive | None = None
    """Charge through a string during which at least one of its cells must move by a bit (a single one:
    during ten times this). Absent: 2 % of the capacity, more where the string has less than 16 cells."""
    temperature_spread_max_k: Positive = 20.0
    """Largest distance of a cell sensor from the median of all (foxBMS v1.11: 10 K, which a pack that is
    fast-charged on a cold plate may exceed while it is healthy)."""
    temperature_rate_max_k_per_s: Positive = 1.0
    """As fast as this a cell sensor may change for as long as it likes."""
    temperature_step_max_k: Positive | None = 5.0
    """What changed faster, as a mean over two seconds: the sensor is broken, or its cell burns."""
    temperature_standstill_max_k: Positive | None = 5.0
    """Swing of the median of all cell sensors during which each must move by a bit; at least ten times the
    resolution, so that a cell on a cold plate may keep its temperature."""
    string_voltage_difference_max_v: Positive | None = None
    """Sum of the cells against the pack's own sensor; absent: 1 % of the highest string voltage, at least 3 V
    (foxBMS v1.11: 3 V)."""
    redundant_cell_voltage_difference_max_v: Positive = 0.05
    """Two measurements of one cell (foxBMS v1.11: 10 mV between front ends that sample at the same moment;
    here one may read a bleeding cell over its sense wire)."""
    redundant_current_difference_max_a: Positive | None = None
    """Two current sensors; absent: 5 % of the safety limit of discharging."""
    reported_cell_voltage_difference_max_v: Positive = 0.1
    """Smallest and largest cell voltage as the device reports them, against those of its single cells."""
    reported_temperature_difference_max_k: Positive = 5.0
    """Likewise for temperatures."""
    afe_temperature_max_degc: Positive = 105.0
    """Die of a front end: 20 K below the 125 degC to which automotive parts are specified (AEC-Q100
    grade 1)."""
    supply_voltage_min_v: NonNegative | None = None
    """Low-voltage supply of contactors and electronics; absent: not monitored."""
    supply_voltage_max_v: Positive | None = None
    """Likewise from above."""
    pressure_max_pa: Positive | None = None
    """Absolute pressure in the housing at which a cell is taken to vent; absent: not monitored."""
    coolant_flow_min_m3_per_s: Positive | None = None
    """Flow that the pump must make at full duty; absent: not monitored."""
    insulation_warning_ohm_per_v: Positive = 500.0
    """ISO 6469-1 and UN R100: 500 ohm/V where AC and DC circuits are connected."""
    insulation_error_ohm_per_v: Positive = 100.0
    """ISO 6469-1 and UN R100: 100 ohm/V for DC."""
    frame_error_ratio_max: Positive = 0.1
    """Refused frames (checksum, counter, length) among all of the pack, as a mean over two seconds."""
    clock_step_max_s: Positive = 1.0
    """ROS time against the monotonic clock between two decisions."""
    actuator_deviation_max: Positive = 0.3
    """Feedback of an actuator against what it is told (0 to 1)."""


STANDSTILL_SHARE, STANDSTILL_CELLS = 0.02, 16
"""Of the capacity: 2 % move an LFP cell by about 2 mV on the flat part of its curve, and of 16 cells some by
a step even at a resolution of 5 mV."""


def with_cell_defaults(
    protection: Protection, chemistry: str, capacity_ah: float, cells_in_series: int
) -> Protection:
    """Fill what the section leaves out and the cell knows.

    Parameters
    ----------
    protection : Protection
        As written in the pack file.
    chemistry : str
        Of the pack's cell file.
    capacity_ah : float
        Of a string [Ah].
    cells_in_series : int
        Of a string.
    """
    known = {
        "standstill_charge_ah": STANDSTILL_SHARE * capacity_ah * max(1.0, STANDSTILL_CELLS / cells_in_series)
    }
    if chemistry in DEEP_DISCHARGE:
        known["deep_discharge_voltage_v"] = DEEP_DISCHARGE[chemistry].value
    missing = {key: value for key, value in known.items() if getattr(protection, key) is None}
    return protection.model_copy(update=missing)
