"""The tests that a laboratory would make of a new cell, on the PyBaMM cell: ``commission.py FILE.npz``.

Slow discharge and charge at 25 degC, and at each temperature a slow discharge, a 1C discharge and pulses with
rests over all SoC. The drives that the limits are judged on are not among them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pybamm
from truth_cell import CURRENT, REST, Cursor, Trace, TruthCell

TEMPERATURES_DEGC = (-10.0, 0.0, 10.0, 25.0, 45.0)
NOMINAL_AH = 5.0
LOW_V, HIGH_V = 2.5, 4.2
PULSE_LOW_V = 2.8


class Tester:
    """Holds currents between two voltages and keeps the log."""

    def __init__(self, cursor: Cursor) -> None:
        self.at = cursor
        self.charge_ah = 0.0
        self.rows: list[np.ndarray] = []

    def _keep(self, trace: Trace, last: int | None = None) -> None:
        t, i = trace.time_s[:last], trace.current_a[:last]
        step_h = (
            trace.time_s[1] - trace.time_s[0] if len(trace.time_s) > 1 else t[0] - self.at.time_s
        ) / 3600.0
        ah = self.charge_ah + np.cumsum(i * step_h)
        self.rows.append(np.stack([t, trace.voltage_v[:last], i, trace.temperature_degc[:last], ah]))
        self.charge_ah = float(ah[-1])

    def hold(self, current_a: float, seconds: float, every_s: float, stop_v: float | None = None) -> bool:
        """Hold a current; False if the voltage limit ended it."""
        left = seconds
        while left > 1e-6:
            part = min(left, max(20 * every_s, every_s))
            points = max(round(part / every_s), 1)
            try:
                trace = self.at.hold(CURRENT if current_a else REST, current_a, part, points)
            except pybamm.SolverError:
                # the cell collapses within these rows: go on as long as it bears it, row by row
                if points == 1:
                    return False
                part, points = every_s, 1
                try:
                    trace = self.at.hold(CURRENT, current_a, part, points)
                except pybamm.SolverError:
                    return False
            if stop_v is not None:
                beyond = np.flatnonzero((trace.voltage_v - stop_v) * np.sign(current_a) > 0.0)
                if len(beyond):
                    if beyond[0] > 0:  # up to the last good row, by a step of that length
                        part = float(trace.time_s[beyond[0] - 1] - self.at.time_s)
                        trace = self.at.hold(CURRENT, current_a, part, int(beyond[0]))
                        self._keep(trace)
                        self.at = trace.end
                    return False
            self._keep(trace)
            self.at = trace.end
            left -= part
        return True

    def pulse(self, current_a: float, seconds: float, rest_s: float) -> None:
        """Make a pulse and a rest, dense at the switches."""
        stop = HIGH_V if current_a > 0 else PULSE_LOW_V
        if self.hold(current_a, 2.0, 0.2, stop) and seconds > 2.0:
            self.hold(current_a, seconds - 2.0, 1.0, stop)
        self.hold(0.0, 2.0, 0.2)
        self.hold(0.0, rest_s - 2.0, 2.0)

    def log(self) -> np.ndarray:
        """Rows time, voltage, current, temperature, charge."""
        return np.concatenate(self.rows, axis=1)


def slow(cell: TruthCell, degc: float, and_charge: bool) -> np.ndarray:
    """C/20 from full to 2.5 V, and back to 4.2 V."""
    tester = Tester(cell.start(1.0, degc))
    tester.hold(0.0, 60.0, 30.0)
    tester.hold(-NOMINAL_AH / 20, 24 * 3600.0, 60.0, LOW_V)
    if and_charge:
        tester.hold(0.0, 3600.0, 60.0)
        tester.hold(NOMINAL_AH / 20, 24 * 3600.0, 60.0, HIGH_V)
    return tester.log()


def one_c(cell: TruthCell, degc: float) -> np.ndarray:
    """1C from full to 2.5 V."""
    tester = Tester(cell.start(1.0, degc))
    tester.hold(0.0, 60.0, 30.0)
    tester.hold(-NOMINAL_AH, 3600.0 * 1.1, 5.0, LOW_V)
    tester.hold(0.0, 3600.0, 20.0)
    return tester.log()


def pulses(cell: TruthCell, degc: float, capacity_ah: float) -> np.ndarray:
    """Pulses of 1C and up to 1.5 times the rating, as far as the voltage allows, over all SoC."""
    tester = Tester(cell.start(1.0, degc))
    tester.hold(0.0, 60.0, 30.0)
    for soc in (0.98, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.06, 0.03):
        away = 1.0 + tester.charge_ah / capacity_ah - soc
        if not tester.hold(-NOMINAL_AH / 3, away * capacity_ah / (NOMINAL_AH / 3) * 3600.0, 20.0, LOW_V):
            break
        tester.hold(0.0, 3600.0, 20.0)
        tester.pulse(-NOMINAL_AH, 30.0, 180.0)
        tester.pulse(+0.7 * NOMINAL_AH, 30.0, 180.0)
        tester.pulse(-2.0 * NOMINAL_AH, 30.0, 300.0)
        tester.pulse(+1.5 * NOMINAL_AH, 30.0, 300.0)
        tester.pulse(-3.0 * NOMINAL_AH, 30.0, 900.0)
        # an old cell at its rating is like a new one far above it
        tester.pulse(-4.5 * NOMINAL_AH, 30.0, 900.0)
    return tester.log()


def main() -> None:
    """Write every test into one file."""
    cell = TruthCell("DFN")
    found: dict[str, np.ndarray] = {}
    found["slow_25"] = slow(cell, 25.0, and_charge=True)
    capacity = -float(found["slow_25"][4].min())
    for degc in TEMPERATURES_DEGC:
        print(f"commissioning at {degc:.0f} degC", flush=True)
        if degc != 25.0:
            found[f"slow_{degc:.0f}"] = slow(cell, degc, and_charge=False)
        found[f"one_c_{degc:.0f}"] = one_c(cell, degc)
        found[f"pulses_{degc:.0f}"] = pulses(cell, degc, capacity)
    np.savez_compressed(Path(sys.argv[1]), capacity_ah=capacity, **found)


if __name__ == "__main__":
    main()
