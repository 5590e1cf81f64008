"""Readings of meters to what the site draws, in the signs of the house: positive is drawn from the grid."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from openbms_core.types import SiteMeter
from openbms_drivers.devices.sunspec.models import METER_MODELS, Values

__all__ = ["PHASES_OF", "generated_w", "imported_w", "inverter_power_w", "site_meter"]

PHASES_OF = {201: 1, 202: 2, 203: 3, 204: 3, 211: 1, 212: 2, 213: 3, 214: 3}
"""Phases of each model of a meter."""

_NAMES = ("A", "B", "C")


def _sign(positive: str) -> float:
    return 1.0 if positive == "import" else -1.0


def imported_w(values: Values, positive: str) -> float:
    """Give the power of a meter [W; positive: towards the site or the load].

    Parameters
    ----------
    values : Values
        Of a meter (models 201 to 214), or of an inverter, which counts positive what it gives.
    positive : str
        ``import`` or ``export``: what a meter counts positive. The standard: import.
    """
    if values.model.number in METER_MODELS:
        return _sign(positive) * values.number("W")
    return -values.number("W")


def generated_w(values: Values, positive: str) -> float:
    """Give the power of a meter or inverter of solar panels [W; positive: generated]."""
    return -imported_w(values, positive) + 0.0


def inverter_power_w(values: Values) -> float:
    """Give the power of the battery's inverter [W; positive: drawn from the AC side, so charging]."""
    return -values.number("W") + 0.0


def site_meter(
    grid: Values | None,
    positive: str,
    inverter: Values | None,
    pv: Iterable[float],
    load: Iterable[float],
    *,
    meter: str,
    reason: str,
    valid_for_s: float,
) -> SiteMeter:
    """Put the readings of a site together.

    Parameters
    ----------
    grid : Values or None
        Meter at the connection; None: it is not there, or too old.
    positive : str
        What it counts positive.
    inverter : Values or None
        AC side of the battery's inverter.
    pv, load : iterable of float
        Powers of each generator and each load that has a meter [W; NaN where one is not read].
    meter, reason : str
        Who measured; why something is missing.
    valid_for_s : float
        Expiry [s].
    """
    phases = 0 if grid is None else PHASES_OF.get(grid.model.number, 1)
    sign = _sign(positive)
    generated, drawn = list(pv), list(load)

    def each(name: str, factor: float = 1.0) -> NDArray[np.float64]:
        found = [] if grid is None else [factor * grid.number(name + phase) for phase in _NAMES[:phases]]
        return np.array(found, dtype=float)

    def energy(name: str) -> float:
        value = math.nan if grid is None else grid.number(name)
        return value if value >= 0.0 else math.nan

    power = each("Wph", sign)
    if phases == 1 and grid is not None and math.isnan(power[0]):
        power[0] = sign * grid.number("W")  # of one phase the total is the phase
    return SiteMeter(
        power_w=math.nan if grid is None else imported_w(grid, positive),
        phase_power_w=power,
        phase_voltage_v=each("PhVph"),
        phase_current_a=np.abs(each("Aph")),
        frequency_hz=math.nan if grid is None else grid.number("Hz"),
        inverter_power_w=math.nan if inverter is None else inverter_power_w(inverter),
        pv_power_w=math.fsum(generated) if generated else math.nan,
        load_power_w=math.fsum(drawn) if drawn else math.nan,
        # by their names also where the sign of the power is the other one: so do the devices that have it
        energy_imported_wh=energy("TotWhImp"),
        energy_exported_wh=energy("TotWhExp"),
        meter=meter,
        reason=reason,
        valid_for_s=valid_for_s,
    )
