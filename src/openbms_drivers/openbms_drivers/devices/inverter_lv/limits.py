"""Limits as they are sent: never more than was received, quick to fall, slow to rise.

A falling limit passes at once. A rising one is ramped, and after a zero held for a while: the voltage of a
battery near full or empty answers the current, so that a limit which follows it both ways at once makes the
inverter swing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from openbms_core.config_file import ConfigError
from openbms_core.types import FinalLimits
from openbms_drivers.devices.inverter_lv.battery import BatteryFacts
from openbms_drivers.devices.inverter_lv.profile import ChargeVoltage, Profile

__all__ = ["CurrentLimit", "Shaping", "charge_voltage_limit_v", "received_currents_a", "told_voltages_v"]

_RAISED_TAPER_V = 0.5
"""Charge current tapers to nothing over this, where the charge-voltage limit had to be raised."""


@dataclass(frozen=True)
class Shaping:
    """How a limit may rise.

    Attributes
    ----------
    rise_s : float
        From nothing to the full limit [s].
    hold_s : float
        A limit that fell to nothing stays there at least this long [s].
    """

    rise_s: float = 20.0
    hold_s: float = 5.0


class CurrentLimit:
    """One direction's limit.

    Parameters
    ----------
    full_a : float
        The largest limit of the battery [A]: gives the slope.
    shaping : Shaping
    """

    def __init__(self, full_a: float, shaping: Shaping) -> None:
        self._rate_a_per_s = max(full_a, 1.0) / max(shaping.rise_s, 1e-3)
        self._hold_s = shaping.hold_s
        self.value_a = 0.0
        self._zero_since_s = -math.inf
        self._last_s: float | None = None

    def step(self, limit_a: float, now_s: float) -> float:
        """Take what is allowed now [A]; give what is sent: never more."""
        passed_s = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        limit_a = limit_a if math.isfinite(limit_a) and limit_a > 0.0 else 0.0
        if limit_a <= self.value_a:
            if limit_a == 0.0 and self.value_a > 0.0:
                self._zero_since_s = now_s
            self.value_a = limit_a
        elif self.value_a > 0.0 or now_s - self._zero_since_s >= self._hold_s:
            self.value_a = min(limit_a, self.value_a + self._rate_a_per_s * passed_s)
        return self.value_a


def received_currents_a(limits: FinalLimits, battery_v: float, charge_v: float) -> tuple[float, float]:
    """Give the charge and discharge current that the limits allow [A].

    An inverter of this family knows no limit of power: that of charging becomes a current at the highest
    voltage that may stand there, that of discharging at the present one.

    Parameters
    ----------
    limits : FinalLimits
        The final limits; magnitudes. What is not a number is zero.
    battery_v : float
        Battery voltage [V]; NaN if unknown.
    charge_v : float
        Charge-voltage limit [V].
    """
    highest_v = max(charge_v, battery_v) if math.isfinite(battery_v) else charge_v
    present_v = battery_v if math.isfinite(battery_v) and battery_v > 0.0 else highest_v

    def smaller(current_a: float, power_w: float, voltage_v: float) -> float:
        if not (math.isfinite(current_a) and current_a > 0.0 and power_w > 0.0):  # false for NaN
            return 0.0
        return min(current_a, power_w / voltage_v)

    return (
        smaller(limits.charge_current_a, limits.charge_power_w, highest_v),
        smaller(limits.discharge_current_a, limits.discharge_power_w, present_v),
    )


def charge_voltage_limit_v(
    rule: ChargeVoltage, wanted_v: float, battery_v: float, *, charging_allowed: bool
) -> tuple[float, float]:
    """Give the charge-voltage limit, and the part of the charge current that is left with it.

    Parameters
    ----------
    rule : ChargeVoltage
        Of the profile.
    wanted_v : float
        Charge voltage of the battery [V].
    battery_v : float
        Its voltage now [V]; NaN if unknown.
    charging_allowed : bool
        The charge-current limit is above zero.

    Returns
    -------
    limit_v : float
        Within the maker's range, a multiple of 0.1 V.
    share : float
        1; less where the limit had to be raised above ``wanted_v``, so that raising it gives no leave to
        charge.
    """
    limit_v = math.floor(round(10.0 * wanted_v, 6)) / 10.0
    share = 1.0
    if math.isfinite(battery_v) and battery_v > 0.0:
        present_v = math.ceil(round(10.0 * battery_v, 6)) / 10.0
        if rule.stops_charging and not charging_allowed:
            limit_v = min(limit_v, present_v)
        if rule.not_below_battery:
            limit_v = max(limit_v, present_v)
            share = min(max(1.0 - (battery_v - wanted_v) / _RAISED_TAPER_V, 0.0), 1.0)
    return min(max(limit_v, rule.minimum_v), rule.maximum_v), share


def told_voltages_v(
    profile: Profile, facts: BatteryFacts, charge_voltage_v: float, discharge_voltage_v: float
) -> tuple[float, float]:
    """Give the charge and the discharge voltage that the inverter is told [V].

    Parameters
    ----------
    profile : Profile
    facts : BatteryFacts
    charge_voltage_v, discharge_voltage_v : float
        As set [V]; 0: cells in series times the cell's operating maximum, and recommended minimum.

    Raises
    ------
    ConfigError
        The battery does not bear it, or the inverter does not take it.
    """
    rule, series = profile.charge_voltage, facts.cells_in_series
    highest_v = series * facts.cell_maximum_v[1]
    charge_v = charge_voltage_v or series * facts.cell_maximum_v[0]
    discharge_v = discharge_voltage_v or series * facts.cell_minimum_v[1]
    if charge_v > highest_v + 1e-9:
        raise ConfigError(
            f"charge_voltage_v: {charge_v:g} V is above {highest_v:g} V, the recommended maximum of "
            f"{series} cells in series. Lower it."
        )
    if not rule.minimum_v <= charge_v <= rule.maximum_v:
        raise ConfigError(
            f"charge_voltage_v: this battery charges to {charge_v:g} V, but the profile "
            f"'{profile.name}' takes {rule.minimum_v:g} to {rule.maximum_v:g} V. Take another "
            "profile, or a battery of this voltage class."
        )
    if not 0.0 < discharge_v < charge_v:
        raise ConfigError(
            f"discharge_voltage_v: {discharge_v:g} V must lie between 0 and the charge voltage "
            f"({charge_v:g} V)."
        )
    return charge_v, discharge_v
