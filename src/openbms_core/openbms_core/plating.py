"""How much charge current a chemistry bears without plating lithium, where the cell file does not say.

Charging drives the anode towards the potential of lithium; below it lithium plates. The largest current that
does not falls with SoC and by about a third for every 10 K of cold. The true map of a cell needs a reference
electrode (or the maker): these are cautious stand-ins, and the cell file's own section ``plating`` replaces
them. They are in capacities per hour (C).
"""

from __future__ import annotations

from openbms_core.cell import CellFile, PlatingMap

__all__ = ["plating_map"]

_SOC = (0.0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.0)
_TEMPERATURES_DEGC = (-10.0, 0.0, 10.0, 25.0, 45.0)
_SHARE = 0.8
_GRAPHITE_HELD_C = (
    (1.16, 1.16, 0.62, 0.45, 0.34, 0.31, 0.27, 0.21, 0.16, 0.14, 0.11, 0.10),
    (1.63, 1.63, 0.89, 0.67, 0.52, 0.47, 0.41, 0.33, 0.25, 0.22, 0.17, 0.15),
    (2.2, 2.2, 1.25, 0.95, 0.76, 0.68, 0.60, 0.50, 0.38, 0.33, 0.26, 0.23),
    (2.2, 2.2, 1.96, 1.53, 1.26, 1.13, 0.98, 0.84, 0.66, 0.58, 0.46, 0.42),
    (2.2, 2.2, 2.2, 2.2, 2.2, 1.99, 1.75, 1.55, 1.26, 1.08, 0.87, 0.80),
)
_GRAPHITE_PULSE_C = (
    (2.85, 2.85, 1.30, 0.85, 0.50, 0.40, 0.40, 0.28, 0.18, 0.15, 0.12, 0.11),
    (3.50, 3.50, 1.81, 1.20, 0.74, 0.65, 0.64, 0.45, 0.30, 0.24, 0.21, 0.19),
    (3.93, 3.93, 2.46, 1.62, 1.07, 0.96, 0.93, 0.68, 0.46, 0.40, 0.34, 0.31),
    (3.93, 3.93, 3.56, 2.45, 1.74, 1.58, 1.55, 1.13, 0.82, 0.73, 0.61, 0.56),
    (3.93, 3.93, 3.93, 3.87, 2.94, 2.76, 2.71, 1.97, 1.55, 1.40, 1.18, 1.09),
)
_GRAPHITE = (
    "default of graphite anodes: 80 % of what keeps the anode of an LG M50 above 5 mV, found by a simulated "
    "three-electrode test (PyBaMM, DFN, parameters of O'Kane et al., Phys. Chem. Chem. Phys. 24 (2022) 7909; "
    "benchmarks/truth/plating.py); an energy cell, so that most others bear more"
)
_LFP_C = ((-10.0, 0.07), (0.0, 0.11), (10.0, 0.16), (25.0, 0.65))
_LFP = (
    "default of LFP: rates of the ageing tests of a commercial 250 Ah cell, 0.16C at 10 degC and 0.65C above "
    "(NREL BLAST-Lite), below 10 degC 1.5 times less for every 10 K, alike at every SoC"
)


def plating_map(cell: CellFile) -> PlatingMap | None:
    """Give the map of a cell file, or the default of its chemistry.

    Parameters
    ----------
    cell : CellFile

    Returns
    -------
    PlatingMap or None
        None for LTO, whose anode is 1.5 V away from lithium.
    """
    if cell.plating is not None or cell.chemistry == "lto":
        return cell.plating
    q = cell.capacity_ah
    if cell.chemistry == "lfp":
        return PlatingMap(
            soc_breakpoints=[0.0, 1.0],
            temperature_breakpoints_degc=[t for t, _ in _LFP_C],
            held_a=[[q * c, q * c] for _, c in _LFP_C],
            source=_LFP,
        )
    held, pulse = (
        [[_SHARE * q * c for c in row] for row in table] for table in (_GRAPHITE_HELD_C, _GRAPHITE_PULSE_C)
    )
    return PlatingMap(
        soc_breakpoints=list(_SOC),
        temperature_breakpoints_degc=list(_TEMPERATURES_DEGC),
        held_a=held,
        pulse_a=pulse,
        source=_GRAPHITE,
    )
