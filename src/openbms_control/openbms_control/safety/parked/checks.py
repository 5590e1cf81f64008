"""What may be wrong with a parked pack: each check gives findings, and says what it could not judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.parked.drift import Drift, from_median
from openbms_control.safety.parked.snapshot import ParkedMemory, ParkedSnapshot
from openbms_control.safety.parked.thresholds import ParkedThresholds
from openbms_core.models.ecm import CellModel
from openbms_core.pack import PackFile
from openbms_core.types import Level

__all__ = ["ALARM", "EXPECTED_FAULTS", "OK", "WARN", "Finding", "Lists", "check_all_at_once", "check_drift"]

FloatArray = NDArray[np.float64]

OK, WARN, ALARM = "ok", "warn", "alarm"
EXPECTED_FAULTS = frozenset({"ESTIMATOR_LOST", "LIMP_HOME_EXPIRED"})
"""Faults that only say that nothing but driver and monitor runs."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes
    ----------
    code : str
    level : str
        ``warn`` or ``alarm``.
    text : str
        For people.
    index : int
        Cell or sensor; -1: the whole pack.
    value, limit : float
        What was found and what it was compared with, in ``unit``; NaN: none.
    unit : str
    """

    code: str
    level: str
    text: str
    index: int = -1
    value: float = math.nan
    limit: float = math.nan
    unit: str = ""


class Lists:
    """Findings, and what was not judged."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.not_judged: list[str] = []

    def compare(
        self,
        code: str,
        values: FloatArray | Sequence[float],
        warn: float,
        alarm: float,
        unit: str,
        text: str,
        index: Sequence[int] | NDArray[np.intp] | None = None,
    ) -> None:
        """Note every value above ``warn`` or ``alarm`` (a NaN is above nothing).

        Parameters
        ----------
        text : str
            Gets ``{value}``, ``{limit}``, ``{index}``.
        index : sequence of int, optional
            Number of each value; default -1, the whole pack.
        """
        for at, value in enumerate(np.asarray(values, float)):
            if not value > min(warn, alarm):
                continue
            level, limit = (ALARM, alarm) if value > alarm else (WARN, warn)
            number = -1 if index is None else int(index[at])
            words = text.format(value=f"{value:.4g} {unit}", limit=f"{limit:.4g} {unit}", index=number)
            self.findings.append(Finding(code, level, words, number, float(value), limit, unit))


def check_all_at_once(
    now: ParkedSnapshot,
    memory: ParkedMemory | None,
    pack: PackFile,
    faults: Sequence[tuple[str, Level]],
    thresholds: ParkedThresholds,
    lists: Lists,
) -> None:
    """Judge everything but the drift.

    Parameters
    ----------
    now : ParkedSnapshot
    memory : ParkedMemory or None
        None: nothing from before can be compared.
    pack : PackFile
    faults : sequence of (str, Level)
        Rows that the safety monitor has in force now.
    thresholds : ParkedThresholds
    lists : Lists
        Gets what is found.
    """
    _check_heat(now, memory, pack, thresholds, lists)
    _check_voltages(now, memory, pack, thresholds, lists)
    _check_insulation(now, pack, lists)
    _check_supply(now, memory, pack, thresholds, lists)
    for name, code in (("smoke", now.smoke), ("gas", now.gas)):
        if code == 1:
            lists.findings.append(Finding(name.upper(), ALARM, f"The {name} detector gives alarm."))
        elif code != 0:
            lists.not_judged.append(f"{name}: the detector says nothing, or there is none")
    for identifier, level in faults:
        if identifier not in EXPECTED_FAULTS and level > Level.OPERATING:
            words = f"The safety monitor has the fault {identifier} in force."
            lists.findings.append(
                Finding(f"FAULT:{identifier}", ALARM if level == Level.SAFETY else WARN, words)
            )


def _sensors(pack: PackFile, where: str) -> NDArray[np.intp]:
    found = [index for index, (_, location, _) in enumerate(pack.topology.sensors) if location == where]
    return np.asarray(found, np.intp)


def _above_median(snapshot: ParkedSnapshot, at: NDArray[np.intp]) -> FloatArray:
    return from_median(snapshot.temperatures_degc[at], 1)


def _check_heat(
    now: ParkedSnapshot,
    memory: ParkedMemory | None,
    pack: PackFile,
    thresholds: ParkedThresholds,
    lists: Lists,
) -> None:
    at = _sensors(pack, "cell")
    temperatures = now.temperatures_degc[at]
    if not np.isfinite(temperatures).any():
        lists.not_judged.append("heat: no cell temperature is valid")
        return
    missing = at[~np.isfinite(temperatures)]
    if missing.size:
        words = f"{missing.size} cell temperature(s) are not valid, the first is sensor {missing[0]}."
        lists.findings.append(Finding("NOT_MEASURED", WARN, words, int(missing[0])))
    limit = pack.limits.discharge_temperature_max_degc
    lists.compare(
        "OVER_TEMPERATURE", temperatures, limit.recommended, limit.safety, "°C",
        "Sensor {index} at the cells has {value}, above {limit}.", at,
    )  # fmt: skip
    if memory is None:
        lists.compare(
            "HOT_CELL", _above_median(now, at),
            thresholds.first_spread_warn_k, thresholds.first_spread_alarm_k, "K",
            "Sensor {index} is {value} warmer than the median of all, above {limit}.", at,
        )  # fmt: skip
        lists.not_judged.append("rise of temperature: nothing from before to compare with")
        return
    # what was warmer than its neighbours all the time is a sensor, or a place in the sun
    before = np.fmin(_above_median(memory.parking, at), _above_median(memory.last, at))
    lists.compare(
        "HOT_CELL", _above_median(now, at) - before, thresholds.hot_cell_warn_k, thresholds.hot_cell_alarm_k,
        "K", "Sensor {index} has warmed by {value} more than the median of all, above {limit}.", at,
    )  # fmt: skip
    ambient = _sensors(pack, "ambient")
    outside = [*now.temperatures_degc[ambient], *memory.last.temperatures_degc[ambient]]
    if not np.isfinite(outside).any():
        lists.not_judged.append("warming of the whole pack: the ambient temperature is not known")
        return
    cells_before = memory.last.temperatures_degc[at]
    warmest = float(np.nanmax([*outside, *cells_before[np.isfinite(cells_before)]]))
    lists.compare(
        "PACK_WARMS", [float(np.nanmedian(temperatures)) - warmest],
        thresholds.pack_warms_warn_k, thresholds.pack_warms_alarm_k, "K",
        "The cells are {value} warmer than both the ambient and the warmest at the last wake, above {limit}.",
    )  # fmt: skip


def _check_voltages(
    now: ParkedSnapshot,
    memory: ParkedMemory | None,
    pack: PackFile,
    thresholds: ParkedThresholds,
    lists: Lists,
) -> None:
    volts = now.cell_voltages_v
    cells = np.arange(volts.size)
    missing = cells[~np.isfinite(volts)]
    if missing.size:
        words = f"{missing.size} cell voltage(s) are not valid, the first is cell {missing[0]}."
        lists.findings.append(Finding("NOT_MEASURED", WARN, words, int(missing[0])))
    limit = pack.limits.cell_voltage_min_v
    for cell in cells[volts < limit.recommended]:
        value = float(volts[cell])
        level, bound = (ALARM, limit.safety) if value < limit.safety else (WARN, limit.recommended)
        words = f"Cell {cell} has {value:.3f} V, below {bound:g} V: charge the pack."
        lists.findings.append(Finding("DEEP_DISCHARGE", level, words, int(cell), value, bound, "V"))
    if memory is None:
        lists.not_judged.append("drop of voltage: nothing from before to compare with")
        return
    strings = pack.topology.strings
    drop = from_median(memory.last.cell_voltages_v, strings) - from_median(volts, strings)
    # relaxation that is still going on is no drop
    noise = math.sqrt(2.0) * thresholds.voltage_std_v + thresholds.relaxation_std_v * math.exp(
        -memory.last.rested_s / thresholds.relaxation_time_s
    )
    lists.compare(
        "VOLTAGE_DROP", drop,
        max(thresholds.voltage_drop_warn_v, thresholds.significance * noise),
        thresholds.voltage_drop_alarm_v, "V",
        "Cell {index} has lost {value} against the median of its string since the last wake, above {limit}.",
        cells,
    )  # fmt: skip


def _check_insulation(now: ParkedSnapshot, pack: PackFile, lists: Lists) -> None:
    known = now.cell_voltages_v[np.isfinite(now.cell_voltages_v)]
    if not known.size or not math.isfinite(now.insulation_ohm):
        lists.not_judged.append("insulation: resistance or pack voltage is not known")
        return
    per_v = now.insulation_ohm / (float(known.mean()) * pack.topology.cells_in_series)
    error, warning = pack.protection.insulation_error_ohm_per_v, pack.protection.insulation_warning_ohm_per_v
    if per_v < warning:
        level, bound = (ALARM, error) if per_v < error else (WARN, warning)
        words = f"The insulation resistance is {per_v:.0f} ohm/V, below {bound:g} ohm/V: do not touch."
        lists.findings.append(Finding("LOW_INSULATION", level, words, -1, per_v, bound, "ohm/V"))


def _check_supply(
    now: ParkedSnapshot,
    memory: ParkedMemory | None,
    pack: PackFile,
    thresholds: ParkedThresholds,
    lists: Lists,
) -> None:
    if not math.isfinite(now.supply_v):
        lists.not_judged.append("low-voltage supply: not known")
        return
    usual = np.fmax(now.supply_v, memory.parking.supply_v if memory is not None else math.nan)
    factor = 2.0 if usual > thresholds.supply_24v_from_v else 1.0
    alarm = max(factor * thresholds.supply_alarm_v, pack.protection.supply_voltage_min_v or 0.0)
    warn = max(factor * thresholds.supply_warn_v, alarm)
    if now.supply_v < warn:
        level, bound = (ALARM, alarm) if now.supply_v < alarm else (WARN, warn)
        words = f"The low-voltage supply has {now.supply_v:.2f} V, below {bound:.2f} V: charge its battery."
        lists.findings.append(Finding("SUPPLY_LOW", level, words, -1, now.supply_v, bound, "V"))


def check_drift(
    drift: Drift, pack: PackFile, model: CellModel, thresholds: ParkedThresholds, lists: Lists
) -> tuple[float, float]:
    """Judge the drift.

    Parameters
    ----------
    drift : Drift
    pack : PackFile
    model : CellModel
    thresholds : ParkedThresholds
    lists : Lists
        Gets what is found.

    Returns
    -------
    remaining_days, remaining_days_at_least : float
        Until the first cell reaches the safety limit of its voltage, as expected and at two standard
        deviations; infinite if none loses charge, NaN if nothing is known.
    """
    known = np.isfinite(drift.excess)
    unknown = int(np.count_nonzero(~known))
    if unknown:
        lists.not_judged.append(f"drift of {unknown} cell(s): not measured, or balanced by an unknown charge")
    cells = np.flatnonzero(known)
    if not cells.size:
        return math.nan, math.nan
    believed = drift.evidence[cells] >= thresholds.significance
    lists.compare(
        "SELF_DISCHARGE", np.where(believed, 100.0 * drift.excess[cells] / drift.days, 0.0),
        100.0 * thresholds.drift_warn_per_day, 100.0 * thresholds.drift_alarm_per_day, "% a day",
        "Cell {index} loses {value} more than the median of its string, above {limit}: an internal short?",
        cells,
    )  # fmt: skip
    middle = float(np.median(drift.lost[cells]))
    if middle >= thresholds.significance * float(np.median(drift.std[cells])):
        lists.compare(
            "PACK_DISCHARGES", [100.0 * middle / drift.days], 100.0 * thresholds.pack_drift_warn_per_day,
            math.inf, "% a day", "The whole pack loses {value}, above {limit}: something draws from it.",
        )  # fmt: skip
    return _remaining(drift, cells, pack, model, thresholds, lists)


def _remaining(
    drift: Drift,
    cells: NDArray[np.intp],
    pack: PackFile,
    model: CellModel,
    thresholds: ParkedThresholds,
    lists: Lists,
) -> tuple[float, float]:
    floor_v = pack.limits.cell_voltage_min_v.safety
    floor = float(model.soc_from_ocv(floor_v, 25.0))
    left = np.maximum(drift.soc[cells] - floor, 0.0)
    # what is measured and what is usual, each weighted by what it is worth
    usual = thresholds.typical_discharge_per_day
    measured, weight = drift.lost[cells] / drift.days, (drift.days / drift.std[cells]) ** 2
    rate = (usual / usual**2 + weight * measured) / (1.0 / usual**2 + weight)
    std = 1.0 / np.sqrt(1.0 / usual**2 + weight)
    with np.errstate(divide="ignore"):
        expected = np.where(rate > 0.0, left / rate, np.inf)
        fast = rate + 2.0 * std
        at_least = np.where(fast > 0.0, left / fast, np.inf)
    first = int(np.argmin(expected))
    days, least = float(expected[first]), float(at_least.min())
    alarm = days < thresholds.empty_alarm_days
    if alarm or least < thresholds.empty_warn_days:
        words = (
            f"Cell {cells[first]} reaches {floor_v:g} V in {days:.1f} days at the present drift, "
            f"in {least:.1f} days at the earliest: charge the pack."
        )
        bound = thresholds.empty_alarm_days if alarm else thresholds.empty_warn_days
        lists.findings.append(
            Finding("EMPTY_SOON", ALARM if alarm else WARN, words, int(cells[first]), days, bound, "days")
        )
    return days, least
