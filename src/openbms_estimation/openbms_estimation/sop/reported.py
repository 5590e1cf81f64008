"""Power limits of a pack that shows no cell: the limits that its own battery management states."""

from __future__ import annotations

import math

import numpy as np

from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement, PowerLimits, StateOfCharge, Validity
from openbms_estimation.sop.health import CellHealth
from openbms_estimation.sop.pack_limiter import HORIZONS_S, PackPowerLimiter

__all__ = ["ReportedLimiter", "power_limiter_of"]

_VALID_FOR_S = 1.0
_NOBODY = -1


class ReportedLimiter:
    """Passes on the current limits that the device reports, for every horizon, as long as they are fresh.

    Used where no cell voltage is mapped, so that nothing can be predicted here. The power is that current at
    the present voltage; without a voltage it is unknown, and nothing is stated.

    Parameters
    ----------
    pack : LoadedPack
    horizons_s : tuple of float
        Times for which each limit is stated [s].
    """

    def __init__(self, pack: LoadedPack, horizons_s: tuple[float, ...] = HORIZONS_S) -> None:
        self.model = CellModel.from_file(pack.cell)
        self.horizons_s = horizons_s

    def step(
        self, measurement: PackMeasurement, soc: StateOfCharge, health: CellHealth | None = None
    ) -> PowerLimits | None:
        """Give the limits for one scan; None where the device states none.

        Parameters
        ----------
        measurement : PackMeasurement
        soc : StateOfCharge
            Of the same scan; not used.
        health : CellHealth, optional
            Not used.
        """
        m, count = measurement, len(self.horizons_s)
        charge_a, discharge_a = m.reported_charge_current_limit_a, m.reported_discharge_current_limit_a
        valid = m.string_voltage_validity == Validity.VALID
        if m.reported_limit_validity != Validity.VALID or not (valid.size and valid.all()):
            return None
        volts = float(m.string_voltages_v.min())
        if not (math.isfinite(charge_a) and math.isfinite(discharge_a) and volts > 0.0):
            return None
        charge, discharge = np.full(count, max(charge_a, 0.0)), np.full(count, max(discharge_a, 0.0))
        unknown, nobody = np.full(count, np.nan), np.full(count, _NOBODY, np.int32)
        return PowerLimits(
            stamp_s=m.stamp_s,
            scan_number=m.scan_number,
            horizons_s=np.array(self.horizons_s),
            charge_current_a=charge,
            charge_current_std_a=unknown,
            discharge_current_a=discharge,
            discharge_current_std_a=unknown,
            charge_power_w=charge * volts,
            discharge_power_w=discharge * volts,
            charge_reason=["device"] * count,
            charge_cell=nobody,
            discharge_reason=["device"] * count,
            discharge_cell=nobody,
            valid_for_s=_VALID_FOR_S,
        )


def power_limiter_of(
    pack: LoadedPack, horizons_s: tuple[float, ...] = HORIZONS_S
) -> PackPowerLimiter | ReportedLimiter:
    """Give the limiter that a pack allows: by its cells, or where none is mapped the device's own limits."""
    file = pack.file
    if not file.mapped("cell_voltage_v") and file.mapped("reported_charge_current_limit_a"):
        return ReportedLimiter(pack, horizons_s)
    return PackPowerLimiter(pack, horizons_s)
