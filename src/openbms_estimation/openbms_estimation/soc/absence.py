"""What may have happened to a pack while its estimator was away: charge that moved, and how far that is
known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.types import PackMeasurement, Validity
from openbms_estimation.soc.stored import StoredEstimate

__all__ = ["Absence", "contactors_open", "judge_absence"]

FloatArray = NDArray[np.float64]

SELF_DISCHARGE_STD_PER_DAY = 0.001
"""Standard deviation of the charge that a resting cell loses, as a part of its capacity a day: 3 % a month,
the upper end of what data sheets of lithium-ion cells give for 25 °C."""
UNKNOWN_CURRENT_C = 0.5
"""Standard deviation of a current of which nothing is known, as a part of the capacity per hour; the same
that the filters take."""
UNNOTICED_S = 5.0
"""Contactors may have been closed this long after the last write without a word of it in the file [s]."""
COUNTER_STD_C = 0.005
"""Standard deviation of a sensor's offset while its own counter counted on, as a part of the capacity per
hour; the same that the filters take."""
_REST_C = 0.02


@dataclass(frozen=True)
class Absence:
    """What is assumed of the time away.

    Attributes
    ----------
    away_s : float
        Its length [s].
    moved_ah : ndarray, shape (strings,)
        Charge that went into each string [Ah].
    soc_std : float
        Standard deviation of that charge, as a part of the capacity.
    current_std_c : float
        Standard deviation of the current at the end of the time away, as a part of the capacity per hour.
    means : str
        How this is known, for people.
    """

    away_s: float
    moved_ah: FloatArray
    soc_std: float
    current_std_c: float
    means: str


def contactors_open(measurement: PackMeasurement, capacity_ah: float) -> bool:
    """Tell whether no current can flow through any string, by feedback, and none does.

    Parameters
    ----------
    measurement : PackMeasurement
    capacity_ah : float
        Capacity of a string [Ah].
    """
    positive, negative, precharge = measurement.contactor_feedback.reshape(-1, 3).T
    open_path = (negative == 0) | ((positive == 0) & (precharge == 0))
    current = measurement.string_currents_a
    still = ~(np.abs(current) > _REST_C * capacity_ah)  # a current that is not known contradicts nothing
    return bool(open_path.size) and bool(np.all(open_path & still))


def judge_absence(
    stored: StoredEstimate,
    measurement: PackMeasurement,
    *,
    capacity_ah: float,
    current_limit_a: float,
    scan_period_s: float,
) -> Absence | str:
    """Judge the time between a stored estimate and the first scan after it.

    Parameters
    ----------
    stored : StoredEstimate
    measurement : PackMeasurement
        The first scan.
    capacity_ah : float
        Capacity of a string [Ah].
    current_limit_a : float
        No string carries more than this for long [A].
    scan_period_s : float
        Time between scans [s].

    Returns
    -------
    Absence or str
        A sentence where the time away cannot be told, so that the stored estimate must not be used.
    """
    away_s = measurement.stamp_s - measurement.scan_duration_s - stored.stamp_s
    if away_s < -scan_period_s:
        return (
            f"the stored estimate lies {-away_s:.0f} s in the future (was the clock set back?): it is not "
            "used, the estimate starts anew."
        )
    away_s = max(away_s, 0.0)
    idle = SELF_DISCHARGE_STD_PER_DAY * away_s / 86_400.0
    nothing = np.zeros(measurement.string_currents_a.shape)
    # numbers of scans that went on at their pace: driver and device ran on, and so did the charge counter
    scans = measurement.scan_number - stored.scan_number
    ran_on = scans > 0 and abs(scans * scan_period_s - away_s) <= 0.2 * away_s + 1.0
    counted = _counted(stored, measurement, away_s, current_limit_a) if ran_on else None
    if counted is not None:
        std = COUNTER_STD_C * away_s / 3600.0
        return Absence(away_s, counted, std + idle, UNKNOWN_CURRENT_C, "the sensor's charge counter ran on")
    unknown_s, means = away_s, "nothing is known of the current meanwhile"
    if stored.contactors_open and contactors_open(measurement, capacity_ah) and not ran_on:
        unknown_s = 0.0 if stored.orderly else min(UNNOTICED_S, away_s)
        means = "the contactors were open"
    current_std = UNKNOWN_CURRENT_C if unknown_s == away_s and away_s > 0.0 else 0.0
    return Absence(away_s, nothing, UNKNOWN_CURRENT_C * unknown_s / 3600.0 + idle, current_std, means)


def _counted(
    stored: StoredEstimate, measurement: PackMeasurement, away_s: float, current_limit_a: float
) -> FloatArray | None:
    counters = np.where(
        measurement.string_charge_counter_validity == Validity.VALID,
        measurement.string_charge_counters_ah,
        np.nan,
    )
    if counters.shape != stored.charge_counters_ah.shape:
        return None
    # the first scan brings its own charge
    moved = counters - np.nan_to_num(measurement.string_charge_increments_ah) - stored.charge_counters_ah
    # a counter that was reset jumps by more than any current can move
    possible = np.abs(moved) <= current_limit_a * (away_s + 1.0) / 3600.0
    return moved if bool(np.all(possible)) else None
