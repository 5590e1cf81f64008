"""From fits to a cell file: hysteresis, model error, tables, YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_estimation.identification.fit import (
    FitSettings,
    TemperatureFit,
    activation_energy_j_per_mol,
    fit_cell,
    simulate,
)
from openbms_estimation.identification.records import Record

__all__ = [
    "charge_branch_v",
    "impedance_tables",
    "model_error_tables",
    "ocv_tables",
    "residual_rows",
]

FloatArray = NDArray[np.float64]

ERROR_SOC = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def charge_branch_v(fit: TemperatureFit, charge: Record, settings: FitSettings) -> FloatArray:
    """OCV of the charge branch over the knots of the OCV.

    Parameters
    ----------
    fit : TemperatureFit
        Fit of discharging tests at the same temperature; its OCV is the discharge branch.
    charge : Record
        Slow charge from empty (SoC as after the discharge before it) to full. Its charge axis is stretched
        to end at 1, because a tester's offset current adds up over tens of hours.
    settings : FitSettings

    Returns
    -------
    ndarray
        Discharge branch + gap [V]; the gap is constant below 10 % SoC, where a slow charge shows diffusion,
        and runs out towards full, where both branches meet.
    """
    soc = charge.soc[0] + (charge.soc - charge.soc[0]) * (1.0 - charge.soc[0]) / (
        charge.soc[-1] - charge.soc[0]
    )
    _, overpotential = simulate(fit, charge, settings)
    knots = np.array(settings.ocv_soc)
    branch = charge.voltage_v - overpotential - np.interp(soc, knots, fit.ocv_v)
    centres = np.arange(0.1, 0.951, 0.05)
    gap = np.array([np.median(branch[np.abs(soc - centre) < 0.025]) for centre in centres])
    gap = np.maximum(np.interp(knots, np.r_[0.0, centres, 1.0], np.r_[gap[0], gap, 0.0]), 0.0)
    return np.asarray(fit.ocv_v + gap)


def _wide_rms(
    at: FloatArray, values: FloatArray, weights: FloatArray, centres: FloatArray, width: float
) -> FloatArray:
    """Weighted root mean square around every centre (normal window)."""
    window = np.exp(-0.5 * ((at[:, None] - centres) / width) ** 2) * weights[:, None]
    total = window.sum(axis=0)
    return np.asarray(np.sqrt((window * values[:, None] ** 2).sum(axis=0) / np.maximum(total, 1e-9)))


def _moving_mean(record: Record, values: FloatArray, seconds: float) -> FloatArray:
    """Exponential mean over time."""
    keep = np.exp(-record.duration_s / seconds).tolist()
    found, state = np.empty(len(values)), float(values[0])
    for row, (a, value) in enumerate(zip(keep, values.tolist(), strict=True)):
        state = value + a * (state - value)
        found[row] = state
    return found


def _pair_relative_std(pulses: Record, residual: FloatArray, overpotential: FloatArray) -> float:
    """Error of the RC pairs from the rests after pulses, where they are all of the overpotential, relative.

    Twice the ratio of residual to the pairs' voltage: √2 because the pairs' errors are independent of each
    other in the filter, √2 because the fit has seen these pulses.
    """
    resting = (
        pulses.judged
        & (np.abs(pulses.current_a) < 0.02)
        & (pulses.soc > 0.2)
        & (np.abs(overpotential) > 0.01)
    )
    weight = pulses.weight[resting] ** 2
    ratio = np.sum(weight * residual[resting] ** 2) / np.sum(weight * overpotential[resting] ** 2)
    return float(2.0 * np.sqrt(ratio))


def model_error_tables(
    records: Mapping[float, Sequence[Record]],
    fits: Sequence[TemperatureFit],
    search: FloatArray,
    settings: FitSettings,
) -> dict[str, Any]:
    """Model error from residuals: of all records as fitted (the optimistic half) and of every record but
    the first when it is left out of the fit (the pessimistic half: each test is the only one of its kind).

    Parameters
    ----------
    records : mapping
        Temperature [°C] to tests; the first one of each holds pulses with rests.
    fits : sequence of TemperatureFit
        Fits of all records.
    search : ndarray
        Result of :func:`openbms_estimation.identification.fit.fit_cell`.
    settings : FitSettings

    Returns
    -------
    dict
        Section ``model_error`` of a cell file.
    """
    centres = np.array(ERROR_SOC)
    found: dict[float, list[tuple[Record, FloatArray, FloatArray]]] = {key: [] for key in records}

    def judge(used: Sequence[TemperatureFit], index: int) -> None:
        for fit in used:
            record = records[fit.temperature_degc][index]
            voltage, overpotential = simulate(fit, record, settings)
            found[fit.temperature_degc].append((record, record.voltage_v - voltage, overpotential))

    for out in range(min(len(tests) for tests in records.values())):
        judge(fits, out)
        if out > 0:
            rest = {
                key: [r for index, r in enumerate(tests) if index != out] for key, tests in records.items()
            }
            judge(fit_cell(rest, settings, search=search)[0], out)

    slow_rows, relative, pairs = [], [], []
    fast_square, overpotential_square = 0.0, 0.0
    for temperature in sorted(records):
        soc, error, weight, slopes = [], [], [], []
        for record, residual, overpotential in found[temperature]:
            mean = _moving_mean(record, residual, 60.0)
            pulse = record.judged & (np.abs(overpotential) > 0.05) & (record.duration_s < 1.0)
            fast_square += float(np.sum((residual - mean)[pulse] ** 2))
            overpotential_square += float(np.sum(overpotential[pulse] ** 2))
            soc.append(record.soc[record.judged])
            error.append(mean[record.judged])
            weight.append(record.weight[record.judged] ** 2 / np.sum(record.weight[record.judged] ** 2))
            for low in np.arange(0.2, 1.0, 0.1):
                block = pulse & (record.soc >= low) & (record.soc < low + 0.1)
                if block.sum() > 50:
                    slopes.append(np.polyfit(overpotential[block], residual[block], 1)[0])
        all_soc = np.concatenate(soc)
        # where these tests never were (cold and empty) the error is at least that of the last place they
        # were at
        reached = np.maximum(centres, float(all_soc.min()))
        slow = _wide_rms(all_soc, np.concatenate(error), np.concatenate(weight), reached, 0.04)
        # few tests: where they happen to agree with the fit the error is not that small
        typical = float(np.mean(slow[centres >= 0.2] ** 2))
        slow_rows.append(np.sqrt(0.5 * (slow**2 + typical)))
        pairs.append(_pair_relative_std(*found[temperature][0]))
        relative.append(float(np.sqrt(np.mean(np.square(slopes)))))
    return {
        "soc_breakpoints": list(ERROR_SOC),
        "temperature_breakpoints_degc": sorted(records),
        "slow_std_v": [[round(float(v), 4) for v in row] for row in slow_rows],
        "correlation_v": 0.03,
        "correlation_time_s": 3600.0,
        "fast_overpotential_ratio": round(float(np.sqrt(fast_square / overpotential_square)), 3),
        "resistance_relative_std": [round(max(value, 0.03), 3) for value in relative],
        "pair_relative_std": [round(value, 2) for value in pairs],
    }


def ocv_tables(
    fits: Sequence[TemperatureFit],
    charge_v: FloatArray | None,
    reference: TemperatureFit,
    settings: FitSettings,
) -> dict[str, Any]:
    """Section ``ocv`` of a cell file; the gap between the branches is that of ``reference`` at every
    temperature.
    """
    section: dict[str, Any] = {
        "soc_breakpoints": [round(value, 4) for value in settings.ocv_soc],
        "temperature_breakpoints_degc": [fit.temperature_degc for fit in fits],
        "discharge_v": [[round(float(v), 5) for v in fit.ocv_v] for fit in fits],
    }
    if charge_v is not None:
        gap = charge_v - reference.ocv_v
        least_rise = 2e-5 * np.arange(len(gap))  # the branch rises also where the gap shrinks fast
        section["charge_v"] = [
            [round(float(v), 5) for v in np.maximum.accumulate(fit.ocv_v + gap) + least_rise] for fit in fits
        ]
        section["hysteresis_soc"] = 0.05
    return section


def impedance_tables(fits: Sequence[TemperatureFit], settings: FitSettings) -> dict[str, Any]:
    """Section ``impedance`` of a cell file."""
    least = 1e-4

    def rows(values: Sequence[FloatArray]) -> list[list[float]]:
        return [[round(float(v), 6) for v in row] for row in values]

    ones = np.ones(len(settings.resistance_soc))
    section: dict[str, Any] = {
        "soc_breakpoints": [round(float(value), 4) for value in settings.resistance_soc],
        "temperature_breakpoints_degc": [fit.temperature_degc for fit in fits],
        "r0_ohm": rows([np.maximum(fit.linear_ohm, least) + fit.kinetic_ohm for fit in fits]),
        "kinetic_resistance_ohm": rows([fit.kinetic_ohm for fit in fits]),
        "kinetic_current_a": [round(fit.kinetic_current_a, 4) for fit in fits],
        "r1_ohm": rows([np.maximum(fit.r1_ohm, least) for fit in fits]),
        "tau1_s": [[round(float(v), 3) for v in fit.tau1_s * ones] for fit in fits],
        "r2_ohm": rows([np.maximum(fit.r2_ohm, least) for fit in fits]),
        "tau2_s": [[round(float(v), 3) for v in fit.tau2_s * ones] for fit in fits],
    }
    if len(fits) > 1:
        cold, hot = (
            activation_energy_j_per_mol(fits[0], fits[1]),
            activation_energy_j_per_mol(fits[-2], fits[-1]),
        )
        section["activation_energy_cold_j_per_mol"] = round(min(max(cold, 0.0), 80_000.0), -2)
        section["activation_energy_hot_j_per_mol"] = round(min(max(hot, 0.0), 80_000.0), -2)
    return section


def residual_rows(
    fits: Sequence[TemperatureFit], records: Mapping[float, Sequence[Record]], settings: FitSettings
) -> list[dict[str, Any]]:
    """Residual of every fitted record, for the provenance."""
    found = []
    for fit in fits:
        for record in records[fit.temperature_degc]:
            error = (record.voltage_v - simulate(fit, record, settings)[0])[record.judged]
            upper = error[record.soc[record.judged] > 0.2]
            found.append(
                {
                    "record": record.name,
                    "temperature_degc": fit.temperature_degc,
                    "rms_v": round(float(np.sqrt(np.mean(error**2))), 4),
                    "rms_above_20_percent_soc_v": round(float(np.sqrt(np.mean(upper**2))), 4),
                }
            )
    return found
