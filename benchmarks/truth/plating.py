"""The three-electrode test on the PyBaMM cell: ``plating.py FILE.npz``.

The largest charge current that keeps the anode's potential against lithium, at the separator, above a
reserve: held from nearly empty (for the continuous limit), and as a pulse from rest.
"""

from __future__ import annotations

import sys

import numpy as np
import pybamm
from truth_cell import CURRENT, FRESH, ISOTHERMAL, TruthCell

TEMPERATURES_DEGC = (-10.0, 0.0, 10.0, 25.0, 45.0)
SOC = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
RATES_C = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.3, 1.7, 2.2)
PULSES_S = (2.0, 10.0, 30.0, 120.0)
NOMINAL_AH = 5.0
RESERVE_V = 0.005


def held(cell: TruthCell, degc: float) -> np.ndarray:
    """Largest current [A] by SoC such that a constant-current charge from 2 % has the reserve there."""
    at = np.asarray(SOC)
    potentials = np.full((len(RATES_C), len(SOC)), np.nan)
    capacity = cell.window_fresh_ah
    for row, rate in enumerate(RATES_C):
        seconds = 0.95 * capacity / (rate * NOMINAL_AH) * 3600.0
        cursor = cell.start(0.02, degc, FRESH, ISOTHERMAL)
        soc, anode = [], []
        try:
            for part in range(19):
                trace = cursor.hold(CURRENT, rate * NOMINAL_AH, seconds / 19, 10)
                soc.extend(0.02 + 0.95 * (part + np.arange(1, 11) / 10) / 19)
                anode.extend(trace.anode_v)
                cursor = trace.end
                if trace.anode_v[-1] < -0.1:
                    break
        except pybamm.SolverError:
            pass
        if soc:
            potentials[row] = np.interp(at, soc, anode, left=np.nan, right=-0.2)
    found = np.zeros(len(SOC))
    for column in range(len(SOC)):
        # the minimum up to here, so that a dip on the way counts
        values = potentials[:, column] - RESERVE_V
        good = values > 0.0
        if good.all():
            found[column] = RATES_C[-1]
        elif good[0]:
            k = int(np.argmin(good))
            share = values[k - 1] / (values[k - 1] - values[k])
            found[column] = RATES_C[k - 1] + share * (RATES_C[k] - RATES_C[k - 1])
    return found * NOMINAL_AH


def pulsed(cell: TruthCell, degc: float) -> np.ndarray:
    """Largest current [A] of a pulse from rest, by SoC and duration."""
    found = np.zeros((len(SOC), len(PULSES_S)))
    for row, soc in enumerate(SOC):
        start = cell.start(soc, degc, FRESH, ISOTHERMAL)
        low, high = np.zeros(len(PULSES_S)), np.full(len(PULSES_S), 4.0 * NOMINAL_AH)
        for column, seconds in enumerate(PULSES_S):
            a, b = low[column], high[column] if column == 0 else found[row, column - 1]
            for _ in range(7):
                middle = 0.5 * (a + b)
                try:
                    good = start.hold(CURRENT, middle, seconds, 4).anode_v.min() > RESERVE_V
                except pybamm.SolverError:
                    good = False
                a, b = (middle, b) if good else (a, middle)
            found[row, column] = a
    return found


def main() -> None:
    """Write both maps."""
    cell = TruthCell("DFN")
    maps_held, maps_pulsed = [], []
    for degc in TEMPERATURES_DEGC:
        print(f"three-electrode test at {degc:.0f} degC", flush=True)
        maps_held.append(held(cell, degc))
        maps_pulsed.append(pulsed(cell, degc))
        print(np.round(maps_held[-1] / NOMINAL_AH, 3))
        print(np.round(maps_pulsed[-1] / NOMINAL_AH, 2).T)
    np.savez_compressed(
        sys.argv[1],
        temperatures_degc=TEMPERATURES_DEGC,
        soc=SOC,
        held_a=maps_held,
        pulsed_a=maps_pulsed,
        pulses_s=PULSES_S,
    )


if __name__ == "__main__":
    main()
