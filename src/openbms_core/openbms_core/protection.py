"""Thresholds of the fault table beside the limit triples: the section ``protection`` of the pack file.

Every key has a default; where the default depends on the chemistry it is taken from :data:`BY_CHEMISTRY` when
the pack is loaded. A key that is absent and has no default switches its row off (*not monitored*).
"""

from __future__ import annotations

from dataclasses import dataclass

from openbms_core.config_file import NonNegative, Positive, StrictModel

__all__ = ["BY_CHEMISTRY", "ChemistryDefault", "Protection", "with_chemistry_defaults"]


class Protection(StrictModel):
    """Thresholds that are judged beside the limit triples; differences are magnitudes."""

    deep_discharge_voltage_v: Positive | None = None
    """A cell below it is deeply discharged: it must not be charged again without service. Default by
    chemistry."""
    cell_voltage_spread_max_v: Positive = 0.3
    """Largest distance of a cell from the median of its string (foxBMS v1.11: 300 mV from the mean)."""
    temperature_spread_max_k: Positive = 20.0
    """Largest distance of a cell sensor from the median of all (foxBMS v1.11: 10 K, which a pack that is
    fast-charged on a cold plate may exceed while it is healthy)."""
    string_voltage_difference_max_v: Positive | None = None
    """Sum of the cells against the pack's own sensor; absent: 1 % of the highest string voltage, at least 3 V
    (foxBMS v1.11: 3 V)."""
    redundant_cell_voltage_difference_max_v: Positive = 0.03
    """Two measurements of one cell (foxBMS v1.11: 10 mV between front ends that sample at the same moment;
    here one scan may lie between them)."""
    redundant_current_difference_max_a: Positive | None = None
    """Two current sensors; absent: 5 % of the safety limit of discharging."""
    cell_voltage_rate_max_v_per_s: Positive = 20.0
    """A single cell that moves faster than this against its neighbours is not measured any more."""
    temperature_rate_max_k_per_s: Positive = 10.0
    """A sensor that moves faster than this is broken: no cell heats that fast."""
    supply_voltage_min_v: NonNegative | None = None
    """Low-voltage supply of contactors and electronics; absent: not monitored."""
    supply_voltage_max_v: Positive | None = None
    pressure_max_pa: Positive | None = None
    """Absolute pressure in the housing at which a cell is taken to vent; absent: not monitored."""
    coolant_flow_min_m3_per_s: Positive | None = None
    """Flow that the pump must make at full duty; absent: not monitored."""
    insulation_warning_ohm_per_v: Positive = 500.0
    """ISO 6469-1 and UN R100: 500 ohm/V where AC and DC circuits are connected."""
    insulation_error_ohm_per_v: Positive = 100.0
    """ISO 6469-1 and UN R100: 100 ohm/V for DC."""
    frame_error_ratio_max: Positive = 0.1
    """Refused frames (checksum, counter, length) among those of a scan."""
    clock_step_max_s: Positive = 1.0
    """ROS time against the monotonic clock between two decisions."""
    actuator_deviation_max: Positive = 0.3
    """Feedback of an actuator against what it is told (0 to 1)."""


@dataclass(frozen=True)
class ChemistryDefault:
    """A default that depends on the chemistry, and where it comes from."""

    value: float
    source: str


BY_CHEMISTRY: dict[str, dict[str, ChemistryDefault]] = {}
"""Keys of ``protection`` whose default depends on the chemistry of the pack's cell file."""


def with_chemistry_defaults(protection: Protection, chemistry: str) -> Protection:
    """Fill what the section leaves out and the chemistry knows.

    Parameters
    ----------
    protection : Protection
        As written in the pack file.
    chemistry : str
        Of the pack's cell file.
    """
    missing = {
        key: default.value
        for key, default in BY_CHEMISTRY.get(chemistry, {}).items()
        if getattr(protection, key) is None
    }
    return protection.model_copy(update=missing)
