"""From discharges to the lowest voltage: how much earlier than the circuit says they end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openbms_core.cell import DepletionTable, ThermalProperties
from openbms_core.models.ecm import DISCHARGE, CellModel
from openbms_estimation.sop.energy import Cells, Load, energy_to_cutoff

__all__ = ["FullDischarge", "cooling_k_per_w", "depletion_table"]

_LEAST_SOC, _MOST_SOC = -0.2, 0.45
_ALIKE = 1.5
_LEAST_RISE_K = 1.0
_SAME_PLACE_K = 4.0


@dataclass(frozen=True)
class FullDischarge:
    """A discharge with about constant current down to the lowest voltage.

    Attributes
    ----------
    temperature_degc : float
        Of the cell at its beginning.
    soc_begin, soc_end : float
    mean_power_w : float
        Positive [W].
    rate_c : float
        Mean current in capacities per hour.
    voltage_end_v : float
        [V].
    temperature_end_degc : float
        [°C]; NaN: unknown.
    """

    temperature_degc: float
    soc_begin: float
    soc_end: float
    mean_power_w: float
    rate_c: float
    voltage_end_v: float
    temperature_end_degc: float = math.nan


def cooling_k_per_w(model: CellModel, tests: Sequence[FullDischarge]) -> float | None:
    """Find how warm the surface gets for each watt, from the rise over the discharges that made heat.

    Parameters
    ----------
    model : CellModel
    tests : sequence of FullDischarge

    Returns
    -------
    float or None
        Resistance from the surface to the surroundings of the test [K/W]; None where nothing got warm.
    """
    rises, heats = [], []
    for test in tests:
        span = np.linspace(test.soc_end, test.soc_begin, 60)
        ocv_v = float(np.mean(model.ocv(span, test.temperature_degc, DISCHARGE)))
        heat = (ocv_v * test.rate_c * model.capacity_ah) - test.mean_power_w
        rise = test.temperature_end_degc - test.temperature_degc
        if math.isfinite(rise) and rise > _LEAST_RISE_K and heat > 0.0:
            rises.append(rise)
            heats.append(heat)
    return float(np.dot(rises, heats) / np.dot(heats, heats)) if heats else None


def _shift(model: CellModel, test: FullDischarge, thermal: ThermalProperties | None) -> float:
    """Find the shift with which the model ends where the test did."""
    low, high = _LEAST_SOC, _MOST_SOC

    def end(shift: float) -> float:
        table = DepletionTable(temperature_breakpoints_degc=[25.0], rates_c=[1.0], shift_soc=[[shift]])
        found = energy_to_cutoff(
            model,
            Cells(
                soc=np.array([test.soc_begin]),
                soc_std=np.zeros(1),
                capacity_ah=np.array([model.capacity_ah]),
                temperature_degc=np.array([test.temperature_degc]),
            ),
            Load(test.mean_power_w),
            test.voltage_end_v,
            thermal=thermal,
            depletion=table,
        )
        return test.soc_begin - found.charge_ah / model.capacity_ah

    for _ in range(10):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if end(middle) < test.soc_end else (low, middle)
    return 0.5 * (low + high)


def depletion_table(
    model: CellModel, tests: Sequence[FullDischarge], thermal: ThermalProperties | None = None
) -> dict[str, Any] | None:
    """Give the section ``depletion`` of a cell file.

    Parameters
    ----------
    model : CellModel
        Of the cell file without that section.
    tests : sequence of FullDischarge
        At one or more temperatures and rates; rates within a factor of 1.5 count as the same.
    thermal : ThermalProperties, optional
        As the energy will be reckoned with.

    Returns
    -------
    dict or None
        None without tests. A rate that was not run at a temperature takes the nearest one of it.
    """
    if not tests:
        return None
    rates: list[list[FullDischarge]] = []
    for test in sorted(tests, key=lambda t: t.rate_c):
        if rates and test.rate_c < _ALIKE * rates[-1][0].rate_c:
            rates[-1].append(test)
        else:
            rates.append([test])
    places: list[list[FullDischarge]] = []
    for test in sorted(tests, key=lambda t: t.temperature_degc):
        if places and test.temperature_degc - places[-1][0].temperature_degc < _SAME_PLACE_K:
            places[-1].append(test)
        else:
            places.append([test])
    axis = [float(np.mean([t.rate_c for t in group])) for group in rates]
    table = []
    for place in places:
        known = [(np.log(t.rate_c), _shift(model, t, thermal)) for t in sorted(place, key=lambda t: t.rate_c)]
        x, y = (np.array(v) for v in zip(*known, strict=True))
        table.append([round(float(np.interp(np.log(rate), x, y)), 4) for rate in axis])
    return {
        "temperature_breakpoints_degc": [
            round(float(np.mean([t.temperature_degc for t in place])), 2) for place in places
        ],
        "rates_c": [round(rate, 4) for rate in axis],
        "shift_soc": table,
    }
