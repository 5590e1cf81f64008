"""Charge that cells lose while a pack is parked, from rest voltages, with its standard deviation.

The change of a rest voltage is turned into charge by the slope of the open-circuit voltage, the charge that
balancing took is put back, and each cell is compared with the median of its string: load of the electronics,
temperature and self-discharge that all cells share fall out. The standard deviation is that of two voltages;
it does not grow with time, the charge that a leak takes does, so that the evidence (the square of their
ratio) grows with the square of the time between the snapshots. An offset of a front end falls out, noise of 1
or 2 mV stays below the significance for ever.

Source of the idea: differences of the pseudo open-circuit voltage between the cells of a pack show internal
shorts without an observer (arXiv 2506.13394). The centre is the median, since one bad cell must not move it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.parked.snapshot import ParkedSnapshot
from openbms_control.safety.parked.thresholds import ParkedThresholds
from openbms_core.models.ecm import CellModel
from openbms_core.pack import PackFile

__all__ = ["Drift", "cell_temperatures", "from_median", "measure_drift"]

FloatArray = NDArray[np.float64]
DAY_S = 86_400.0
_DEFAULT_DEGC = 25.0


@dataclass(frozen=True)
class Drift:
    """Charge lost between two snapshots; every array has the shape (cells,), NaN where it is not known.

    Attributes
    ----------
    days : float
        Time between them.
    lost : ndarray
        Charge that each cell lost, without balancing, as a part of its capacity (negative: gained).
    excess : ndarray
        What it lost beyond the median of its string.
    std : ndarray
        Standard deviation of both.
    soc : ndarray
        State of charge now, from the rest voltage.
    """

    days: float
    lost: FloatArray
    excess: FloatArray
    std: FloatArray
    soc: FloatArray

    @property
    def evidence(self) -> FloatArray:
        """Excess in standard deviations, shape (cells,)."""
        return np.asarray(self.excess / self.std)


def from_median(values: FloatArray, strings: int) -> FloatArray:
    """Give the distance of each cell from the median of its string, shape (cells,)."""
    rows = values.reshape(strings, -1)
    known = [row[np.isfinite(row)] for row in rows]
    centre = np.array([np.median(row) if row.size else np.nan for row in known])
    return np.asarray((rows - centre[:, None]).ravel())


def cell_temperatures(snapshot: ParkedSnapshot, pack: PackFile) -> FloatArray:
    """Give the temperature of each cell [°C]: of its own sensor, else the mean of all, else 25 °C."""
    temperatures = np.full(pack.topology.cell_count, np.nan)
    at_cells = []
    for value, (_, where, cells) in zip(snapshot.temperatures_degc, pack.topology.sensors, strict=True):
        if where == "cell" and np.isfinite(value):
            at_cells.append(value)
            temperatures[cells.start : cells.stop] = value
    rest = float(np.mean(at_cells)) if at_cells else _DEFAULT_DEGC
    return np.where(np.isfinite(temperatures), temperatures, rest)


def measure_drift(
    reference: ParkedSnapshot,
    now: ParkedSnapshot,
    pack: PackFile,
    model: CellModel,
    thresholds: ParkedThresholds,
    bled_ah: FloatArray | float = 0.0,
) -> Drift:
    """Measure what each cell lost between two snapshots.

    Parameters
    ----------
    reference, now : ParkedSnapshot
        ``now`` is the later one.
    pack : PackFile
    model : CellModel
    thresholds : ParkedThresholds
        Standard deviations of the voltages.
    bled_ah : ndarray, shape (cells,), or float
        Charge that balancing took from each cell meanwhile [Ah]; NaN: unknown, that cell is not judged.

    Returns
    -------
    Drift
    """
    strings = pack.topology.strings
    then_degc, now_degc = cell_temperatures(reference, pack), cell_temperatures(now, pack)
    soc_then = model.soc_from_ocv(reference.cell_voltages_v, then_degc)
    soc_now = model.soc_from_ocv(now.cell_voltages_v, now_degc)
    bled = np.asarray(bled_ah, float) / (model.capacity_ah * pack.topology.cells_in_parallel)
    lost = soc_then - soc_now - bled
    # a cell that warmed by another amount than its neighbours moves its voltage by itself
    warmed = from_median(now_degc - then_degc, strings)
    variance = 2.0 * thresholds.voltage_std_v**2 + (thresholds.entropic_std_v_per_k * warmed) ** 2
    for snapshot in (reference, now):
        left = np.exp(-snapshot.rested_s / thresholds.relaxation_time_s)
        variance = variance + (thresholds.relaxation_std_v * left) ** 2
    # within the error the cell may be where the voltage says less: the smaller slope counts
    slopes = [
        model.parameters(np.nan_to_num(soc), degc).chord_v  # of an unknown cell nothing is used
        for soc, degc in ((soc_then, then_degc), (soc_now, now_degc))
    ]
    return Drift(
        days=(now.stamp_s - reference.stamp_s) / DAY_S,
        lost=lost,
        excess=from_median(lost, strings),
        std=np.sqrt(variance) / np.minimum(*slopes),
        soc=np.where(np.isfinite(lost), soc_now, np.nan),
    )
