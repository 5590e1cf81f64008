"""Test records as the fit wants them: charge axis, mean current per interval, weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_core.compiled import compiled

__all__ = ["Record", "make_record", "rc_current"]

FloatArray = NDArray[np.float64]


SLOW_ROW_S = 2.0


@dataclass(frozen=True)
class Record:
    """One test on one cell; arrays of equal length (n,).

    Attributes
    ----------
    name : str
    time_s, duration_s : ndarray
        Time and time since the previous row [s].
    voltage_v, current_a, temperature_degc : ndarray
        As logged; current positive when charging.
    mean_current_a : ndarray
        Mean current since the previous row [A].
    soc : ndarray
        From the charge counter.
    judged : ndarray of bool
        Rows whose voltage the fit looks at.
    weight : ndarray
        Square root of the time [s] a row stands for, at most 1 s (2 s in slow tests).
    """

    name: str
    time_s: FloatArray
    duration_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    temperature_degc: FloatArray
    mean_current_a: FloatArray
    soc: FloatArray
    judged: NDArray[np.bool_]
    weight: FloatArray

    def part(self, rows: slice) -> Record:
        """Give a range of rows."""
        return Record(
            name=self.name,
            time_s=self.time_s[rows],
            duration_s=self.duration_s[rows],
            voltage_v=self.voltage_v[rows],
            current_a=self.current_a[rows],
            temperature_degc=self.temperature_degc[rows],
            mean_current_a=self.mean_current_a[rows],
            soc=self.soc[rows],
            judged=self.judged[rows],
            weight=self.weight[rows],
        )


def _until_counter_reset(time_s: FloatArray, current_a: FloatArray, ah: FloatArray) -> int:
    """Number of rows before the charge counter first does what no current explains (a reset between test
    steps).
    """
    dt_h = np.diff(time_s) / 3600.0
    most = 1.2 * np.maximum(np.abs(current_a[1:]), np.abs(current_a[:-1])) * dt_h + 0.02
    jumps = np.flatnonzero(np.abs(np.diff(ah)) > most)
    return int(jumps[0]) + 1 if len(jumps) else len(time_s)


def make_record(
    name: str,
    columns: Mapping[str, Any],
    capacity_ah: float,
    soc_at_start: float = 1.0,
    *,
    slow: bool = False,
) -> Record:
    """Prepare one record.

    Parameters
    ----------
    name : str
        For messages and the provenance.
    columns : mapping
        Arrays ``time_s``, ``voltage_v``, ``current_a`` (positive: charging), ``temperature_c`` and ``ah``
        (charge counter of the tester, positive: charged).
    capacity_ah : float
        Charge between SoC 0 and 1.
    soc_at_start : float
        State of charge of the first row.
    slow : bool
        A test of the open-circuit voltage: its rows, a minute apart, stand for more than a second each.

    Returns
    -------
    Record
        Cut where the counter is reset.
    """
    arrays = {
        key: np.asarray(columns[key], float)
        for key in ("time_s", "voltage_v", "current_a", "temperature_c", "ah")
    }
    count = _until_counter_reset(arrays["time_s"], arrays["current_a"], arrays["ah"])
    time_s, voltage, current, temperature, ah = (array[:count] for array in arrays.values())
    duration = np.maximum(np.diff(time_s, prepend=time_s[0]), 0.0)
    # in a long interval the current may have switched anywhere: the counter knows the mean
    long = duration > 2.0
    mean = current.copy()
    mean[long] = np.diff(ah, prepend=ah[0])[long] * 3600.0 / duration[long]

    switched = np.r_[True, np.abs(np.diff(current)) > 0.03 * capacity_ah]
    since_switch = time_s - np.maximum.accumulate(np.where(switched, time_s, -np.inf))
    weight = np.sqrt(np.clip(duration, 0.05, SLOW_ROW_S if slow else 1.0))
    judged = since_switch > 0.15  # the sample at the switch is smeared
    judged &= ~(long & (np.abs(mean - current) > 0.02 * capacity_ah))
    # 2 s after a switch one row a second says it all
    dense = (duration < 0.5) & (since_switch > 2.05)
    judged &= ~dense | (np.floor(time_s) != np.floor(np.r_[-1.0, time_s[:-1]]))
    weight[dense] = 1.0
    judged[0] = False
    return Record(
        name=name,
        time_s=time_s,
        duration_s=duration,
        voltage_v=voltage,
        current_a=current,
        temperature_degc=temperature,
        mean_current_a=mean,
        soc=soc_at_start + (ah - ah[0]) / capacity_ah,
        judged=judged,
        weight=weight,
    )


@compiled
def _relax(keep: FloatArray, current: FloatArray) -> FloatArray:
    found = np.empty(len(keep))
    state = 0.0
    for row in range(len(keep)):
        state = current[row] + keep[row] * (state - current[row])
        found[row] = state
    return found


def rc_current(record: Record, tau_s: float) -> FloatArray:
    """Current through the resistor of an RC pair, exact for a current that is constant over each interval
    [A].
    """
    return _relax(np.exp(-record.duration_s / tau_s), record.mean_current_a)
