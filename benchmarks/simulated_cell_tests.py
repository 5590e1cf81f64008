"""Laboratory tests of one cell of the digital twin, from which `openbms fit` made the cell file lfp_100ah.

No measured LFP cell of the size of a home storage is under a licence that lets its data be shipped. The
twin's cell stands in: published open-circuit equations, hysteresis and resistances of usual size (see
src/openbms_sim/openbms_sim/plant/cell_types.py). The estimators never see its equations, only such tests,
read with the noise of a good cycler.

    python benchmarks/simulated_cell_tests.py --chemistry lfp --capacity-ah 100 -o tests/
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from openbms_sim.household import Household
from openbms_sim.plant.cell import CellBank, Spread
from openbms_sim.plant.cell_types import CHEMISTRIES, cell_type
from openbms_sim.vehicle import Permission

FULL_V, EMPTY_V = {"lfp": 3.65}, {"lfp": 2.5}
NOISE_V, NOISE_A = 0.0003, 0.0005
"""Of a good cycler [V], and of its range."""


class Cycler:
    """One cell and what is recorded of it."""

    def __init__(self, chemistry: str, capacity_ah: float, degc: float, soc: float, seed: int) -> None:
        kind = cell_type(chemistry).sized(capacity_ah, 1)
        self.bank = CellBank(1, soc, seed, Spread(0, 0, 0, 0), kind.electrical)
        self.degc, self.capacity_ah = degc, capacity_ah
        self.rows: list[tuple[float, ...]] = []
        self.now_s = self.charge_ah = 0.0
        self._rng = np.random.default_rng(seed)
        self._core = np.array([degc])

    def flow(self, current_a: float, seconds: float, step_s: float, stop_v: float | None = None) -> None:
        """Let a current flow for a time, or until a voltage is reached."""
        for _ in range(round(seconds / step_s)):
            volts = float(self.bank.emf_v()[0] + current_a * self.bank.r0_ohm(self._core)[0])
            if stop_v is not None and (volts >= stop_v if current_a > 0 else volts <= stop_v):
                return
            noise = self._rng.standard_normal(2)
            self.rows.append(
                (
                    self.now_s,
                    volts + NOISE_V * noise[0],
                    current_a + (NOISE_A * self.capacity_ah * 0.1 * noise[1] if current_a else 0.0),
                    self.degc,
                    self.charge_ah,
                )
            )
            self.bank.step(np.array([current_a]), self._core, step_s)
            self.now_s += step_s
            self.charge_ah += current_a * step_s / 3600.0

    def write(self, path: Path, soc0: float) -> None:
        """Write what was recorded."""
        columns = np.array(self.rows).T
        names = ("time_s", "voltage_v", "current_a", "temperature_c", "ah")
        table = pyarrow.table(dict(zip(names, columns, strict=True)))
        meta = {"bms_meta": json.dumps({"soc0": soc0, "capacity_ref_ah": self.capacity_ah})}
        pyarrow.parquet.write_table(table.replace_schema_metadata(meta), path, compression="zstd")


def slow(chemistry: str, ah: float, degc: float) -> Cycler:
    """Discharge and charge at C/20 between the voltage limits."""
    cycler = Cycler(chemistry, ah, degc, 1.0, 1)
    cycler.flow(0.0, 600, 60)
    cycler.flow(-ah / 20, 25 * 3600, 30, EMPTY_V[chemistry])
    cycler.flow(0.0, 3600, 60)
    cycler.flow(ah / 20, 25 * 3600, 30, FULL_V[chemistry])
    return cycler


def pulses(chemistry: str, ah: float, degc: float) -> Cycler:
    """Pulses of 1 C discharge and 0.75 C charge at every tenth of the charge."""
    cycler = Cycler(chemistry, ah, degc, 1.0, 2)
    cycler.flow(0.0, 600, 10)
    for _ in range(9):
        cycler.flow(-ah / 2, 720, 5)
        cycler.flow(0.0, 1800, 5)
        cycler.flow(-ah, 10, 0.5)
        cycler.flow(0.0, 60, 1)
        cycler.flow(0.75 * ah, 10, 0.5)
        cycler.flow(0.0, 60, 1)
    return cycler


def use(chemistry: str, ah: float, degc: float, seed: int) -> Cycler:
    """A day of a household with solar cells."""
    cycler = Cycler(chemistry, ah, degc, 0.6, seed)
    home = Household(ah, seed=seed)
    cycler.flow(0.0, 600, 10)
    for _ in range(24 * 60):
        wanted = home.wanted_a()
        home.current_a(Permission(), 60.0)
        soc = float(cycler.bank.soc[0])
        wanted = 0.0 if (soc > 0.97 and wanted > 0) or (soc < 0.05 and wanted < 0) else wanted
        cycler.flow(wanted, 60, 10)
    return cycler


def main() -> int:
    """Write the tests."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--chemistry", choices=[c for c in CHEMISTRIES if c in FULL_V], default="lfp")
    parser.add_argument("--capacity-ah", type=float, default=100.0)
    parser.add_argument("--degc", type=float, nargs="+", default=[25.0, 5.0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for degc in given.degc:
        for name, test, soc0 in (
            ("C20", slow(given.chemistry, given.capacity_ah, degc), 1.0),
            ("HPPC", pulses(given.chemistry, given.capacity_ah, degc), 1.0),
            ("day", use(given.chemistry, given.capacity_ah, degc, 3), 0.6),
            ("unseen_day", use(given.chemistry, given.capacity_ah, degc, 4), 0.6),
        ):
            path = given.output / f"simulated_{given.chemistry}__{degc:g}degC__{name}.parquet"
            test.write(path, soc0)
            print(f"{path}: {len(test.rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
