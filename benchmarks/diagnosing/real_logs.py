"""Real logs of healthy cells and packs through the same diagnosis.

Cells are commissioned as a user would: the shipped cell file, or slow and pulse tests through what
``openbms fit`` does. Of the recorded car's cells there is no test: the shipped cell stands in for them, with
another OCV and other resistances than theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from diagnosing.episodes import CellSoc
from diagnosing.simulated_pack import pack_like_the_demo
from openbms_core.cell import load_cell
from openbms_core.pack import LoadedPack
from openbms_core.types import UNKNOWN, PackMeasurement, Validity
from openbms_estimation.diagnosis.pack_diagnoser import PackDiagnoser
from openbms_estimation.diagnosis.settings import DiagnosisSettings

__all__ = ["LogResult", "real_logs"]

FloatArray = NDArray[np.float64]

_SCAN_S = 10.0
"""Scans are at least this far apart; the charge between them is that of all samples."""
_EVALUATION_S = 120.0
_PANASONIC = "soc/panasonic_18650pf/pan18650pf__"
_START_S = 1.7e9
_FAULTY_CELL = 40


@dataclass
class LogResult:
    """What came of one log, or of the logs of one pack one after another.

    Attributes
    ----------
    name : str
    cells : int
    files : int
    fault : str
        What was put into the second half of the recording, to see that it would be found; empty: nothing.
    hours : float
        Recorded time; silences between stretches do not count.
    alarms : list of str
    strongest : str
        The most likely finding, alarm or not, and its probability.
    """

    name: str
    cells: int
    files: int
    fault: str
    hours: float
    alarms: list[str]
    strongest: str


@dataclass
class _Log:
    """Columns of a log; arrays (samples,) or (samples, cells or sensors)."""

    time_s: FloatArray
    cells_v: FloatArray
    sensors_degc: FloatArray
    current_a: FloatArray
    string_v: FloatArray

    @property
    def hours(self) -> float:
        steps = np.diff(self.time_s)
        return float(steps[steps < 120.0].sum()) / 3600.0

    def scans(self, balancing: int) -> Iterator[PackMeasurement]:
        """Give a scan every few seconds; ``balancing`` is what is known of the bleed resistors."""
        count, sensors = self.cells_v.shape[1], self.sensors_degc.shape[1]
        steps = np.diff(self.time_s, prepend=self.time_s[0])
        # the current of a sample holds until the next; nobody knows it through a silence
        charge = np.append(0.0, self.current_a[:-1]) * np.where(steps < 120.0, steps, np.nan) / 3600.0
        total, last_s, number = 0.0, -np.inf, 0
        template = PackMeasurement.empty(count, sensors, 1)
        for i, time_s in enumerate(self.time_s.tolist()):
            total += charge[i]
            if time_s - last_s < _SCAN_S - 0.01:
                continue
            last_s, number = time_s, number + 1
            yield replace(
                template,
                stamp_s=_START_S + time_s,
                scan_number=number,
                cell_voltages_v=self.cells_v[i],
                cell_voltage_validity=np.zeros(count, np.uint8),
                cell_balancing=np.full(count, balancing, np.uint8),
                temperatures_degc=self.sensors_degc[i],
                string_currents_a=self.current_a[i : i + 1],
                string_charge_increments_ah=np.array([total]),
                string_current_validity=np.array([Validity.VALID], np.uint8),
                string_voltages_v=self.string_v[i : i + 1],
            )
            total = 0.0


def _columns(path: Path) -> dict[str, FloatArray]:
    table = pq.read_table(path)
    return {name: np.asarray(table[name].to_numpy(), float) for name in table.column_names}


def _of_cell(path: Path) -> _Log:
    c = _columns(path)
    none = np.full(len(c["time_s"]), np.nan)
    return _Log(c["time_s"], c["voltage_v"][:, None], c["temperature_c"][:, None], c["current_a"], none)


def _of_cars(paths: list[Path]) -> _Log:
    """Join the months of one car."""
    months = [_columns(path) for path in paths]
    names = [f"c{number:02d}_v" for number in range(1, 97)]

    def joined(name: str) -> FloatArray:
        return np.concatenate([month[name] for month in months])

    log = _Log(
        joined("time_abs_s"),
        np.stack([joined(name) for name in names], axis=1),
        np.stack([joined(name) for name in ("t1_c", "t2_c", "t4_c")], axis=1),
        joined("current_a"),
        joined("pack_voltage_v"),
    )
    order = np.flatnonzero(np.diff(log.time_s, prepend=-np.inf) > 0.0)
    return _Log(*(getattr(log, name)[order] for name in log.__dataclass_fields__))


def _with_faults(log: _Log) -> Iterator[tuple[str, _Log]]:
    """Give the recording with each of some faults from its half on."""
    late = log.time_s > 0.5 * (log.time_s[0] + log.time_s[-1])
    cell = _FAULTY_CELL
    for fault, more_v in (
        (f"+0.4 mΩ at cell {cell}", 0.0004 * log.current_a),
        (f"cell {cell} reads +15 mV", np.full(len(late), 0.015)),
    ):
        cells_v = log.cells_v.copy()
        cells_v[late, cell] += more_v[late]
        yield fault, replace(log, cells_v=cells_v)


def _run(name: str, files: int, pack: LoadedPack, log: _Log, balancing: int, fault: str = "") -> LogResult:
    """Give a log to the filter and the diagnosis."""
    estimator, diagnoser = CellSoc(pack), PackDiagnoser(pack, DiagnosisSettings(evaluation_s=_EVALUATION_S))
    alarms: list[str] = []
    strongest, said = 0.0, "none"
    for measurement in log.scans(balancing):
        diagnosis = diagnoser.step(measurement, estimator.step(measurement))
        for f in diagnosis.findings if diagnosis is not None else ():
            what = f"{f.fault.replace('_', ' ')} of {f.place.replace('_', ' ')} {f.index}"
            if f.alarm and what not in alarms:
                alarms.append(what)
            if np.nan_to_num(f.probability, nan=1.0) > strongest:
                strongest = float(np.nan_to_num(f.probability, nan=1.0))
                said = f"{what}, {100 * strongest:.0f} %"
    return LogResult(name, pack.file.topology.cell_count, files, fault, log.hours, alarms, said)


def _commissioned(folder: Path, name: str, chemistry: str, rated_ah: float, **tests: list[Path]) -> Any:
    """Fit a cell file to tests (``ocv``, ``hppc``, ``dynamic``) as the command ``openbms fit`` does."""
    from openbms_estimation.identification.cell_file import cell_file, to_yaml
    from openbms_estimation.identification.commission import commission
    from openbms_estimation.identification.error_model import model_error
    from openbms_estimation.identification.read import read_test

    read: list[Any] = [(kind, read_test(path)) for kind, paths in tests.items() for path in paths]
    found = commission(read, chemistry, rated_ah)
    content = cell_file(
        found, model_error(found), name=name, chemistry=chemistry, rated_ah=rated_ah,
        source="recorded tests", citation="see the data", licence="see the data",
    )  # fmt: skip
    with TemporaryDirectory() as there:
        (Path(there) / "cell.yaml").write_text(to_yaml(content, name), encoding="utf-8")
        return load_cell(Path(there) / "cell.yaml")


def real_logs(folder: Path, tell: Callable[[str], None] = lambda _: None) -> list[LogResult]:
    """Run the logs below a folder.

    Parameters
    ----------
    folder : Path
        Holds ``soc/lg_hg2``, ``soc/panasonic_18650pf`` and ``pack/leaf24_2013_96s``; what is not there is
        left out.
    tell : callable
        Told of each log that is done.

    Returns
    -------
    list of LogResult
    """
    results: list[LogResult] = []

    def take(result: LogResult) -> None:
        results.append(result)
        also = f" with {result.fault}" if result.fault else ""
        tell(f"{result.name}{also}: {result.alarms or 'no alarm'}; strongest: {result.strongest}")

    cars = sorted((folder / "pack/leaf24_2013_96s").glob("*.parquet"))
    if cars:
        pack, log = pack_like_the_demo(96, 3, parallel=20), _of_cars(cars)
        for fault, with_fault in (("", log), *_with_faults(log)):
            take(_run("Nissan Leaf 24 kWh, its months in a row", len(cars), pack, with_fault, UNKNOWN, fault))
    one_lg = pack_like_the_demo(1, 1, parallel=1)
    for path in sorted((folder / "soc/lg_hg2").glob("*.parquet")):
        take(_run(path.stem, 1, one_lg, _of_cell(path), 0))
    panasonic = sorted(folder.glob(f"{_PANASONIC}*.parquet"))
    if panasonic:
        cell = _commissioned(
            folder, "Panasonic 18650PF", "nca", 2.9,
            ocv=[path for path in panasonic if path.stem.endswith("25degC__C20")],
            hppc=[path for path in panasonic if path.stem.endswith("HPPC")],
        )  # fmt: skip
        for path in panasonic:
            take(_run(path.stem, 1, replace(one_lg, cell=cell), _of_cell(path), 0))
    return results
