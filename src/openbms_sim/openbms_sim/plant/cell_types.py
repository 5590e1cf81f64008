"""What the twin knows of each chemistry: electrical, thermal and runaway parameters of one typical cell.

The estimators' cell files are not read for any of this but capacity and chemistry: what they estimate is not
what they were made from. A pack gets the typical cell of its chemistry, made as large as its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from openbms_core.config_file import ConfigError
from openbms_sim.plant import half_cells
from openbms_sim.plant.cell import NMC_18650, CellParameters
from openbms_sim.plant.runaway import RunawayParameters
from openbms_sim.plant.thermal import ThermalParameters

__all__ = ["CHEMISTRIES", "CellType", "cell_type"]

FloatArray = NDArray[np.float64]

_ROUNDING = 1e-3
"""Cells whose capacities differ by less are the same."""


@dataclass(frozen=True)
class CellType:
    """Parameters of one cell, or of a group of cells in parallel, which the twin takes as one."""

    electrical: CellParameters
    thermal: ThermalParameters
    runaway: RunawayParameters

    @property
    def heat_j_per_k(self) -> float:
        """Heat capacity without coolant [J/K]."""
        return self.thermal.core_j_per_k + self.thermal.surface_j_per_k

    def sized(self, capacity_ah: float, parallel: int, *, coolant: bool = True) -> CellType:
        """Give a group of cells of this type.

        Parameters
        ----------
        capacity_ah : float
            Capacity of one cell [Ah].
        parallel : int
            Cells in parallel.
        coolant : bool
            The pack has a coolant loop; otherwise air cools it.

        Returns
        -------
        CellType
        """
        larger = capacity_ah / self.electrical.capacity_ah
        thermal = self.thermal if coolant else _in_air(self.thermal)
        if abs(larger - 1.0) < _ROUNDING and parallel == 1:
            return replace(self, thermal=thermal)
        electrical = self.electrical.scaled(capacity_ah * parallel)
        runaway = replace(
            self.runaway,
            reaction_j=self.runaway.reaction_j * larger * parallel,
            dip_ohm=self.runaway.dip_ohm / (larger * parallel),
            collapse_ohm=self.runaway.collapse_ohm / (larger * parallel),
        )
        return CellType(electrical, thermal.scaled(larger, parallel), runaway)


def _in_air(thermal: ThermalParameters) -> ThermalParameters:
    """Free convection at a third of an 18650's surface (5 W/(m² K), 42 cm²); a fan adds twice that."""
    return replace(
        thermal,
        coolant=False,
        surface_to_ambient_w_per_k=0.008,
        surface_to_ambient_fan_w_per_k=0.016,
        pump_w=0.0,
        fan_w=10.0,
    )


def _open_circuit(
    positive: Callable[[FloatArray], FloatArray],
    negative: Callable[[FloatArray], FloatArray],
    empty: tuple[float, float],
    full: tuple[float, float],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Tabulate a full cell of two half cells over its SoC.

    ``empty`` and ``full`` are the stoichiometries (negative, positive) at SoC 0 and 1.
    """
    soc = np.concatenate((np.linspace(0, 0.1, 21), np.linspace(0.11, 0.89, 79), np.linspace(0.9, 1, 21)))
    x, y = (empty[i] + (full[i] - empty[i]) * soc for i in (0, 1))
    return tuple(soc.tolist()), tuple((positive(y) - negative(x)).tolist())


_HEAT_J_PER_K = 44.5
"""Of the 18650 cell that the thermal parameters are of."""


def _typical(
    electrical: CellParameters, heat_j_per_k_ah: float, runaway: RunawayParameters | None = None
) -> CellType:
    """Make a type of cell whose thermal parameters are those of an 18650, made as heavy as this one.

    ``heat_j_per_k_ah`` is its heat capacity for each ampere-hour: about 1 kJ/(kg K) times its mass.
    """
    larger = heat_j_per_k_ah * electrical.capacity_ah / _HEAT_J_PER_K
    base = runaway or RunawayParameters()
    return CellType(
        electrical,
        ThermalParameters().scaled(larger),
        replace(base, reaction_j=base.reaction_j * larger, dip_ohm=base.dip_ohm / larger,
                collapse_ohm=base.collapse_ohm / larger),
    )  # fmt: skip


def _nmc() -> CellType:
    return CellType(NMC_18650, ThermalParameters(), RunawayParameters())


def _nca() -> CellType:
    # 18650 of about 2.9 Ah: resistances of the size that HPPC tests of such cells show.
    soc, volts = _open_circuit(half_cells.nca, half_cells.graphite_kim, (0.03, 0.95), (0.80, 0.35))
    electrical = replace(
        NMC_18650, capacity_ah=2.9, ocv_soc=soc, ocv_v=volts, hysteresis_v=0.010,
        r0_ohm=0.024, r1_ohm=0.010, r2_ohm=0.013,
    )  # fmt: skip
    return _typical(electrical, 15.6)


def _lfp() -> CellType:
    # Prismatic cell of 100 Ah and about 2 kg: 1 mΩ in all within seconds, 1.4 mΩ within minutes, of the size
    # that data sheets of such cells give (0.5 mΩ at 1 kHz, 1 to 1.5 mΩ for direct current).
    soc, volts = _open_circuit(half_cells.lfp, half_cells.graphite_chen, (0.05, 0.93), (0.80, 0.012))
    electrical = replace(
        NMC_18650, capacity_ah=100.0, ocv_soc=soc, ocv_v=volts,
        # Dreyer et al. 2010 (doi:10.1038/nmat2730): about 20 mV between the branches at vanishing current.
        hysteresis_v=0.010, hysteresis_soc=0.05,
        r0_ohm=0.00060, r1_ohm=0.00035, tau1_s=5.0, r2_ohm=0.00045, tau2_s=90.0,
        activation_r0_j_per_mol=20_000.0, activation_rc_j_per_mol=35_000.0, self_discharge_ohm=1100.0,
    )  # fmt: skip
    # Calorimetry of LFP shows self-heating an order of magnitude slower than of layered oxides, and less of
    # it: a quarter of the heat, at a temperature some 50 K higher.
    mild = RunawayParameters(reaction_j=9_000.0, reference_degc=230.0, vent_degc=170.0, collapse_degc=240.0)
    return _typical(electrical, 20.0, mild)


def _lco() -> CellType:
    # 18650 of about 2.2 Ah.
    soc, volts = _open_circuit(half_cells.lco, half_cells.graphite_dualfoil, (0.02, 0.945), (0.80, 0.40))
    electrical = replace(
        NMC_18650, capacity_ah=2.2, ocv_soc=soc, ocv_v=volts, hysteresis_v=0.006,
        r0_ohm=0.045, r1_ohm=0.015, r2_ohm=0.018, self_discharge_ohm=50_000.0,
    )  # fmt: skip
    return _typical(electrical, 19.0)


def _lmo() -> CellType:
    # Pouch cell of about 33 Ah and 0.8 kg, as in the first electric cars.
    soc, volts = _open_circuit(half_cells.lmo, half_cells.graphite_chen, (0.03, 0.97), (0.80, 0.18))
    electrical = replace(
        NMC_18650, capacity_ah=33.0, ocv_soc=soc, ocv_v=volts, hysteresis_v=0.004,
        r0_ohm=0.0013, r1_ohm=0.0006, r2_ohm=0.0007, self_discharge_ohm=3300.0,
    )  # fmt: skip
    return _typical(electrical, 24.0)


_TYPES: dict[str, Callable[[], CellType]] = {
    "nmc": _nmc,
    "nca": _nca,
    "lfp": _lfp,
    "lco": _lco,
    "lmo": _lmo,
}
CHEMISTRIES = tuple(_TYPES)
"""Chemistries that the twin has physics of."""


@lru_cache
def cell_type(chemistry: str) -> CellType:
    """Give the typical cell of a chemistry.

    Parameters
    ----------
    chemistry : str
        As in a cell file.

    Returns
    -------
    CellType

    Raises
    ------
    ConfigError
        The twin has no physics of it.

    Notes
    -----
    NMC: measured on the LG 18650HG2 (:data:`openbms_sim.plant.cell.NMC_18650`). The others: open-circuit
    voltage by the published half-cell equations in :mod:`openbms_sim.plant.half_cells`; resistances, masses
    and runaway of the size that data sheets and papers give for such cells, shape over SoC as of the NMC
    cell: plausible values, not measured ones.
    """
    if chemistry not in _TYPES:
        raise ConfigError(
            f"twin: the pack's cell is {chemistry}, of which the twin has no physics (it has "
            f"{', '.join(CHEMISTRIES)}). Replay a recorded test of such a cell: source: replay, and "
            "replay_file."
        )
    return _TYPES[chemistry]()
