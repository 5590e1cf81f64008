"""State of charge of a pack that shows no cell: what its own battery management says, and as what it is."""

from __future__ import annotations

import math

import numpy as np

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement, StateOfCharge, Validity
from openbms_estimation.soc.pack_estimator import QUALITY_DEGRADED, QUALITY_LOST, PackSocEstimator
from openbms_estimation.soc.stored import StoredEstimate
from openbms_estimation.sop.health import CellHealth

__all__ = ["ReportedSoc", "soc_estimator_of"]


class ReportedSoc:
    """Passes on the state of charge that the device reports; nothing of it is estimated here.

    Used where no cell voltage is mapped: every estimator of this project begins with one. The standard
    deviation is NaN, since the device gives none.

    Parameters
    ----------
    pack : LoadedPack
    """

    method = "device"
    contactors_open = False

    def __init__(self, pack: LoadedPack) -> None:
        self.model = CellModel.from_file(pack.cell)
        topology = pack.file.topology
        self._cells, self._strings = topology.cell_count, topology.strings
        self._capacity_ah = self.model.capacity_ah * topology.cells_in_parallel * topology.strings

    def step(self, measurement: PackMeasurement) -> StateOfCharge:
        """Take one scan.

        Parameters
        ----------
        measurement : PackMeasurement

        Returns
        -------
        StateOfCharge
            Stamped with the scan's own time and number; every value of a cell or a string is NaN.
        """
        m = measurement
        known = m.reported_soc_validity == Validity.VALID and math.isfinite(m.reported_soc)
        soc = min(max(m.reported_soc, 0.0), 1.0) if known else math.nan
        no_cell, no_string = np.full(self._cells, np.nan), np.full(self._strings, np.nan)
        return StateOfCharge(
            stamp_s=m.stamp_s,
            scan_number=m.scan_number,
            soc=soc,
            soc_std=math.nan,
            displayed_soc=soc,
            cell_soc=no_cell,
            cell_soc_std=no_cell,
            string_soc=no_string,
            string_soc_std=no_string,
            remaining_charge_ah=soc * self._capacity_ah,
            remaining_charge_std_ah=math.nan,
            remaining_energy_wh=math.nan,
            remaining_energy_std_wh=math.nan,
            current_bias_a=no_string,
            current_bias_std_a=no_string,
            voltage_innovation_v=no_cell,
            method=self.method,
            quality=QUALITY_DEGRADED if known else QUALITY_LOST,
            quality_reason="the device's own, no cell is measured" if known else "the device gives none",
        )

    def take_health(self, health: CellHealth) -> None:
        """Leave it: the device has its own idea of its capacity."""

    def stored(self, *, orderly: bool) -> StoredEstimate | None:
        """Give nothing to keep."""
        return None

    def waits_to_resume(self, measurement: PackMeasurement) -> bool:
        """Wait for nothing."""
        return False

    def resume(self, stored: StoredEstimate, measurement: PackMeasurement) -> tuple[bool, str]:
        """Go on from nothing."""
        return False, "the state of charge is the device's own: nothing stored is used."

    def contradictions(self, stored: StoredEstimate, measurement: PackMeasurement) -> str:
        """Find none."""
        return ""


def soc_estimator_of(pack: LoadedPack, energy_power_w: float = 0.0) -> PackSocEstimator | ReportedSoc:
    """Give the estimator that a pack allows: its file's method, or where no cell is mapped the device's own.

    Parameters
    ----------
    pack : LoadedPack
    energy_power_w : float
        Power that the remaining energy is stated at [W]; 0: the mean of the recent load.
    """
    if not pack.file.mapped("cell_voltage_v") and pack.file.mapped("reported_soc"):
        return ReportedSoc(pack)
    return PackSocEstimator(pack, energy_power_w)
