"""What is measured while a pack is parked, and what is remembered from one wake to the next."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from openbms_core.pack import PackFile
from openbms_core.types import UNKNOWN, PackMeasurement

__all__ = [
    "HistoryEntry",
    "ParkedMemory",
    "ParkedSnapshot",
    "is_complete",
    "take_snapshot",
    "why_not_comparable",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HISTORY_LENGTH = 200
"""Wakes that are remembered; at six a day a month."""


@dataclass(frozen=True)
class ParkedSnapshot:
    """The pack at one moment, averaged over some scans; NaN where nothing valid was measured.

    Attributes
    ----------
    stamp_s : float
        Time [s, ROS time].
    start_count : int
        Number of the safety monitor's start: one that is missing means that the system ran in between.
    rested_s : float
        Time for which no current had flowed then [s]; NaN: not known.
    cell_voltages_v : ndarray, shape (cells,)
    temperatures_degc : ndarray, shape (sensors,)
    balancing : ndarray of bool, shape (cells,)
        Bleed resistors that were on.
    insulation_ohm, supply_v : float
    smoke, gas : int
        0 clear, 1 alarm, 255 unknown.
    """

    stamp_s: float
    start_count: int
    rested_s: float
    cell_voltages_v: FloatArray
    temperatures_degc: FloatArray
    balancing: BoolArray
    insulation_ohm: float = math.nan
    supply_v: float = math.nan
    smoke: int = UNKNOWN
    gas: int = UNKNOWN


@dataclass(frozen=True)
class HistoryEntry:
    """One wake, in a line.

    Attributes
    ----------
    stamp_s : float
        [s, ROS time]
    level : str
        ``ok``, ``warn`` or ``alarm``.
    codes : tuple of str
        Of the findings.
    cell_voltage_min_v, temperature_max_degc, insulation_ohm, supply_v, remaining_days : float
        NaN: unknown.
    """

    stamp_s: float
    level: str
    codes: tuple[str, ...] = ()
    cell_voltage_min_v: float = math.nan
    temperature_max_degc: float = math.nan
    insulation_ohm: float = math.nan
    supply_v: float = math.nan
    remaining_days: float = math.nan


@dataclass(frozen=True)
class ParkedMemory:
    """What is remembered of a parked pack.

    Attributes
    ----------
    serial, config_hash : str
        Pack and configuration.
    parking : ParkedSnapshot
        When it was parked, or at the first wake.
    reference : ParkedSnapshot
        That which the drift is counted from: the parking, then the first wake at which the cells had settled.
    last : ParkedSnapshot
        The last wake.
    bled : ndarray of bool, shape (cells,)
        Cells that were seen balancing since the reference, by a charge that nobody knows.
    history : tuple of HistoryEntry
        Oldest first.
    missed : int
        Checks since the last wake that started the safety monitor and saw nothing.
    """

    serial: str
    config_hash: str
    parking: ParkedSnapshot
    reference: ParkedSnapshot
    last: ParkedSnapshot
    bled: BoolArray
    history: tuple[HistoryEntry, ...] = field(default_factory=tuple)
    missed: int = 0

    @classmethod
    def begin(cls, serial: str, config_hash: str, snapshot: ParkedSnapshot) -> ParkedMemory:
        """Begin with the snapshot at parking."""
        return cls(serial, config_hash, snapshot, snapshot, snapshot, snapshot.balancing.copy())

    def with_history(self, history: tuple[HistoryEntry, ...]) -> ParkedMemory:
        """Give the same with the wakes of before."""
        return replace(self, history=history)

    def with_missed(self) -> ParkedMemory:
        """Give the memory after a check that saw nothing."""
        return replace(self, missed=self.missed + 1)

    def follow(self, snapshot: ParkedSnapshot, entry: HistoryEntry, settled_s: float) -> ParkedMemory:
        """Give the memory after a wake.

        Parameters
        ----------
        snapshot : ParkedSnapshot
            Of this wake.
        entry : HistoryEntry
            What was found.
        settled_s : float
            Rest from which a snapshot may be the reference [s].
        """
        settles = not self.reference.rested_s >= settled_s and snapshot.rested_s >= settled_s
        return ParkedMemory(
            self.serial,
            self.config_hash,
            self.parking,
            snapshot if settles else self.reference,
            snapshot,
            snapshot.balancing.copy() if settles else self.bled | snapshot.balancing,
            (*self.history, entry)[-HISTORY_LENGTH:],
        )


def is_complete(measurement: PackMeasurement, pack: PackFile) -> bool:
    """Tell whether a scan holds all that a parked pack is judged by, as far as the pack measures it."""
    at_cells = [index for index, (_, where, _) in enumerate(pack.topology.sensors) if where == "cell"]
    return bool(
        np.isfinite(measurement.cell_voltages_v).all()
        and np.isfinite(measurement.temperatures_degc[at_cells]).all()
        and not (
            pack.mapped("insulation_resistance_ohm") and math.isnan(measurement.insulation_resistance_ohm)
        )
        and not (pack.mapped("supply_voltage_v") and math.isnan(measurement.supply_voltage_v))
    )


def _median(values: Sequence[FloatArray | float]) -> FloatArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing valid in any scan: NaN is the answer
        return np.asarray(np.nanmedian(np.asarray(values, float), axis=0))


def take_snapshot(scans: Sequence[PackMeasurement], *, start_count: int, rested_s: float) -> ParkedSnapshot:
    """Average some scans: the median of each value, so that a disturbed scan counts for nothing.

    Parameters
    ----------
    scans : sequence of PackMeasurement
        At least one, oldest first.
    start_count : int
        Number of the safety monitor's start.
    rested_s : float
        Time for which no current has flowed at the last one [s]; NaN: not known.
    """
    return ParkedSnapshot(
        stamp_s=scans[-1].stamp_s,
        start_count=start_count,
        rested_s=rested_s,
        cell_voltages_v=_median([scan.cell_voltages_v for scan in scans]),
        temperatures_degc=_median([scan.temperatures_degc for scan in scans]),
        balancing=np.any([scan.cell_balancing == 1 for scan in scans], axis=0),
        insulation_ohm=float(_median([scan.insulation_resistance_ohm for scan in scans])),
        supply_v=float(_median([scan.supply_voltage_v for scan in scans])),
        smoke=_switch([scan.smoke for scan in scans]),
        gas=_switch([scan.gas for scan in scans]),
    )


def _switch(codes: Sequence[int]) -> int:
    """Give what most known codes say (an alarm in half of them is one); unknown if none is known."""
    known = [code for code in codes if code != UNKNOWN]
    if not known:
        return UNKNOWN
    return int(2 * sum(known) >= len(known))


def why_not_comparable(
    memory: ParkedMemory, snapshot: ParkedSnapshot, *, serial: str, config_hash: str, longest_s: float
) -> str:
    """Say why a snapshot cannot be compared with what is remembered; empty: it can.

    Parameters
    ----------
    memory : ParkedMemory
    snapshot : ParkedSnapshot
        The newest.
    serial, config_hash : str
        Of the pack as it is now.
    longest_s : float
        Longest time between two snapshots that is believed [s].
    """
    if (memory.serial, memory.config_hash) != (serial, config_hash):
        return "it is of another pack or configuration"
    if (
        memory.last.cell_voltages_v.shape != snapshot.cell_voltages_v.shape
        or memory.last.temperatures_degc.shape != snapshot.temperatures_degc.shape
    ):
        return "it has other cells or sensors"
    if snapshot.start_count != memory.last.start_count + memory.missed + 1:
        return "the system ran in between"
    if not 0.0 < snapshot.stamp_s - memory.last.stamp_s <= longest_s:
        return "the clock was set meanwhile"
    return ""
