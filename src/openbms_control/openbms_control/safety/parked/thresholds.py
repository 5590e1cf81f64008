"""Every number by which a parked pack is judged, with where it comes from.

What depends on the pack is in its file: the limit triples, ``protection.insulation_*``,
``protection.supply_voltage_min_v``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PARKED", "ParkedThresholds"]


@dataclass(frozen=True)
class ParkedThresholds:
    """Thresholds of a parked pack; ``_warn`` warns, ``_alarm`` gives alarm.

    Where no source stands, the number is this project's own choice.
    """

    significance: float = 5.0
    """Standard deviations from which a difference of voltages is believed. Normal noise of that standard
    deviation passes 5 with a probability of 2.9e-7: with 100 cells and four wakes a day once in 24 years."""
    voltage_std_v: float = 0.002
    """Standard deviation of a cell voltage averaged over a wake, drift of the front end with its temperature
    included. Total measurement error on data sheets of front ends: 1 to 3 mV."""
    relaxation_std_v: float = 0.005
    """Standard deviation of what is left of a cell's relaxation when the current has just stopped."""
    relaxation_time_s: float = 1800.0
    """Time in which that falls by a factor e."""
    settled_s: float = 7200.0
    """Rest from which a snapshot serves as the reference of the drift: four relaxation times."""
    entropic_std_v_per_k: float = 0.0005
    """Change of the open-circuit voltage with a cell's temperature: up to 0.5 mV/K for common cathodes."""

    hot_cell_warn_k: float = 5.0
    """A cell sensor against the median of all, more than it was when it was coolest against them (parking or
    last wake). At rest nothing makes heat; 5 K, which cooling systems keep between cells under load, is more
    than the sun on one side makes."""
    hot_cell_alarm_k: float = 10.0
    first_spread_warn_k: float = 10.0
    """The same where there is no snapshot from before (foxBMS v1.11: 10 K of spread is not plausible)."""
    first_spread_alarm_k: float = 20.0
    pack_warms_warn_k: float = 5.0
    """The median of all cell sensors above both the ambient and itself at the last wake. Heat that soaks out
    of the cells after a drive makes 2 to 3 K."""
    pack_warms_alarm_k: float = 10.0

    voltage_drop_warn_v: float = 0.02
    """A cell against the median of its string, lower than at the last wake."""
    voltage_drop_alarm_v: float = 0.1

    drift_warn_per_day: float = 0.003
    """Charge that a cell loses beyond the median, as a part of the capacity a day. Healthy cells lose 2 to
    3 % a month in all; 0.3 % a day is three times that (50 Ah: 6 mA, a short of 600 ohm)."""
    drift_alarm_per_day: float = 0.03
    """50 Ah: 60 mA, a short of 60 ohm, which burns 0.2 W."""
    pack_drift_warn_per_day: float = 0.005
    """Charge that the median cell loses: something discharges the whole pack."""

    typical_discharge_per_day: float = 0.001
    """Self-discharge before anything is measured, and its standard deviation: 3 % a month."""
    empty_warn_days: float = 14.0
    """Days that are left at the least until the first cell reaches the safety limit of its voltage."""
    empty_alarm_days: float = 3.0

    supply_warn_v: float = 12.2
    """Low-voltage battery of 12 V at rest: a lead-acid battery is half empty; doubled for 24 V."""
    supply_alarm_v: float = 11.8
    """It is empty; in place of it ``protection.supply_voltage_min_v`` where that is higher."""
    supply_24v_from_v: float = 18.0
    """Above it the battery is one of 24 V."""

    longest_s: float = 2.0 * 365.0 * 86_400.0
    """A longer time between two snapshots is not believed [s]."""
    warn_wakes_sooner: float = 4.0
    """After a warning the next wake comes this many times sooner."""
    alarm_wake_s: float = 900.0
    """Time to the next wake after an alarm [s]."""
    shortest_wake_s: float = 600.0
    """Never sooner than this [s]: each wake costs the low-voltage battery."""


PARKED = ParkedThresholds()
"""The ones that are used."""
