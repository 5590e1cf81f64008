"""Whether the values of a log can be right: sign of the current, cells, state of charge, temperatures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from openbms_core.pack import LoadedPack
from openbms_drivers.log.ledger import Ledger
from openbms_drivers.mapping.coverage import Finding
from openbms_drivers.mapping.log_series import ScanSeries
from openbms_drivers.mapping.reaction import SignVerdict, sign_by_charge, sign_by_voltage

__all__ = ["judge_values", "named"]


def judge_values(
    pack: LoadedPack, ledger: Ledger, series: ScanSeries
) -> tuple[list[Finding], SignVerdict | None]:
    """Judge values by what a battery can have; gives the verdict on the sign of the current as well."""
    findings: list[Finding] = []
    sign = None
    if pack.file.mapped("string_current_a"):
        sign = _sign(series)
        findings.append(_sign_finding(sign))
        findings += _current(series)
    findings += _cells(pack, series)
    findings += _soc(series)
    findings += _temperatures(ledger)
    return findings, sign


def named(names: Sequence[str]) -> str:
    """Shorten a row of names."""
    if len(names) <= 4:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} … {names[-1]} ({len(names)})"


def _sign(series: ScanSeries) -> SignVerdict:
    current_t, current = series.column(1)
    first: SignVerdict | None = None
    for number in (2, 3):
        times, volts = series.column(number)
        verdict = sign_by_voltage(current_t, current, times, volts)
        if verdict.sign:
            return verdict
        first = first or verdict
    soc_t, soc = series.column(4)
    by_charge = sign_by_charge(current_t, current, soc_t, soc)
    assert first is not None
    return by_charge if by_charge.sign else first


def _sign_finding(verdict: SignVerdict) -> Finding:
    if verdict.sign > 0:
        return Finding("sign of the current", "covered", f"positive charges: {verdict.text}")
    if verdict.sign < 0:
        return Finding(
            "sign of the current", "doubtful", "positive discharges, OpenBMS wants it the other way: "
                                               f"{verdict.text}. "
            "Change the sign of scale",
        )  # fmt: skip
    return Finding("sign of the current", "doubtful", f"not proven by this log: {verdict.text}")


def _current(series: ScanSeries) -> list[Finding]:
    _, current = series.column(1)
    if len(current) > 10 and float(np.ptp(current)) == 0.0:
        return [
            Finding(
                "string_current_a",
                "doubtful",
                f"is {current[0]:g} A all the time: nothing flows, or the wrong signal",
            )
        ]
    if len(current) and float(np.max(np.abs(current))) > 3000.0:
        return [
            Finding("string_current_a", "doubtful", f"reaches {np.max(np.abs(current)):g} A: is scale right?")
        ]
    return []


def _power_of_ten(ratio: float) -> str:
    """Name the power of ten by which two values differ; empty where they do not."""
    if ratio <= 0.0:
        return ""
    power = round(math.log10(ratio))
    return f" (by about 10^{power}: a unit)" if power and abs(math.log10(ratio) - power) < 0.06 else ""


def _cells(pack: LoadedPack, series: ScanSeries) -> list[Finding]:
    findings = []
    if math.isfinite(series.cells_low):
        low, high = series.cells_low, series.cells_high
        text = f"{low:.4g} to {high:.4g} V"
        if low < 1.2 or high > 4.6:
            at = series.lowest_cell if low < 1.2 else series.highest_cell
            findings.append(
                Finding(
                    "cell_voltage_v",
                    "doubtful",
                    f"{text} (index {at}): no cell has that: scale, a missing code for no value, or a cell "
                    "that is not fitted",
                )
            )
        else:
            findings.append(Finding("cell_voltage_v", "covered", text))
    total, pack_v = series.both(3, 2)
    if len(total) >= 3:
        ratio = float(np.median(total) / np.median(pack_v)) if np.median(pack_v) else math.inf
        text = f"sum of the cells {np.median(total):.4g} V, pack voltage {np.median(pack_v):.4g} V (medians)"
        if 0.97 <= ratio <= 1.03:
            findings.append(Finding("string_voltage_v", "covered", text))
        else:
            findings.append(
                Finding(
                    "string_voltage_v",
                    "doubtful",
                    f"{text}: they differ{_power_of_ten(ratio)}; scale of one, number of cells, or another "
                    "pack voltage",
                )
            )
    elif pack.file.mapped("string_voltage_v") and not pack.file.mapped("cell_voltage_v"):
        _, volts = series.column(2)
        cells = pack.file.topology.cells_in_series
        if len(volts) and cells > 1:  # 1 stands in where nothing tells it
            each = float(np.median(volts)) / cells
            if not 1.5 <= each <= 4.5:
                findings.append(
                    Finding(
                        "string_voltage_v",
                        "doubtful",
                        f"{np.median(volts):.4g} V over {cells} cells are {each:.3g} V each: scale, or "
                        "topology.cells_in_series",
                    )
                )
    return findings


def _soc(series: ScanSeries) -> list[Finding]:
    _, soc = series.column(4)
    if not len(soc):
        return []
    low, high = float(soc.min()), float(soc.max())
    text = f"{low:.4g} to {high:.4g}"
    if high > 1.1:
        return [
            Finding(
                "reported_soc",
                "doubtful",
                f"{text}: it is a share of 1 here, so scale lacks a factor (percent: 0.01)",
            )
        ]
    if 0.0 < high <= 0.0101:
        return [
            Finding(
                "reported_soc",
                "doubtful",
                f"{text}: at most one percent: scale 0.01 on what is a share already?",
            )
        ]
    return [Finding("reported_soc", "covered", text)]


def _temperatures(ledger: Ledger) -> list[Finding]:
    findings = []
    rows = [
        row
        for row in ledger.signals()
        if row["name"].startswith("temperature_degc") and row["minimum"] is not None
    ]
    if not rows:
        return []
    low, high = min(row["minimum"] for row in rows), max(row["maximum"] for row in rows)
    odd = [row["name"] for row in rows if row["maximum"] < -35.0 or row["minimum"] > 85.0]
    if odd:
        value = next(row["minimum"] for row in rows if row["name"] == odd[0])
        findings.append(
            Finding(
                "temperature_degc",
                "doubtful",
                f"{named(odd)} read {value:g} degC all the time: a sensor that is not fitted, or offset and "
                "scale",
            )
        )
    elif low < -40.0 or high > 90.0:
        findings.append(
            Finding("temperature_degc", "doubtful", f"{low:g} to {high:g} degC: offset, scale or unit")
        )
    else:
        findings.append(Finding("temperature_degc", "covered", f"{low:g} to {high:g} degC"))
    return findings
