"""One pack from beginning to end, and with each of several faults: what the diagnosis says of it, scored."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosing.simulated_pack import BLEED_OHM, Fault, SimulatedPack, pack_like_the_demo
from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import DiagnosisFinding, PackMeasurement, StateOfCharge
from openbms_estimation.diagnosis.pack_diagnoser import PackDiagnoser
from openbms_estimation.diagnosis.robust import middle
from openbms_estimation.diagnosis.settings import DiagnosisSettings
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import SocSample

__all__ = ["Branch", "CellSoc", "Episode", "cell_soc_only", "is_right", "run_pack"]

FloatArray = NDArray[np.float64]

EVALUATION_S = 1200.0


@dataclass
class Episode:
    """What came of one pack."""

    seed: int
    fault: str
    fault_values: dict[str, Any]
    cell_hours: float = 0.0
    named: str = "none"
    """Fault of the most likely alarm at the end; right class at the wrong place: ``misplaced``."""
    first_named: str = "none"
    detected_h: float | None = None
    """From onset until the right fault was in alarm at the right place."""
    detected_driving_h: float | None = None
    alarms_before: list[str] = field(default_factory=list)
    """Alarms of a pack that had no fault yet."""
    alarms_elsewhere: list[str] = field(default_factory=list)
    """Alarms of other places than the faulty one."""
    strongest_healthy: float = 0.0
    """Largest probability of any fault while there was none."""


def is_right(finding: DiagnosisFinding, fault: Fault) -> bool:
    """Tell whether a finding names this fault at its place."""
    return finding.fault == fault.name and at_place(finding, fault)


def at_place(finding: DiagnosisFinding, fault: Fault) -> bool:
    """Tell whether a finding is about the place of this fault (its cells, for a sensor or a wire)."""
    if fault.name == "open_wire":
        return finding.place == "cell" and finding.index in (fault.place, fault.place + 1)
    if fault.name == "temperature_sensor":
        return finding.place == "temperature_sensor" and finding.index == fault.place
    if fault.name == "current_sensor":
        return finding.place == "string"
    return finding.place == "cell" and finding.index == fault.place


class CellSoc:
    """State of charge of every cell by the filter of the product, without the figures of the pack.

    Parameters
    ----------
    pack : LoadedPack
    """

    def __init__(self, pack: LoadedPack) -> None:
        self._parallel = pack.file.topology.cells_in_parallel
        self._filter = SocEkf(CellModel.from_file(pack.cell), pack.file.topology.cell_count)
        self._last_s = math.nan

    def step(self, measurement: PackMeasurement) -> StateOfCharge:
        """Take a scan."""
        m = measurement
        dt_s = m.stamp_s - self._last_s if math.isfinite(self._last_s) else 0.0
        self._last_s = m.stamp_s
        estimate = self._filter.step(
            SocSample(
                dt_s=dt_s,
                current_a=float(m.string_currents_a[0]) / self._parallel,
                charge_increment_ah=float(m.string_charge_increments_ah[0]) / self._parallel,
                voltage_v=m.cell_voltages_v,
                temperature_degc=middle(m.temperatures_degc),
            )
        )
        return cell_soc_only(m, estimate.soc, estimate.soc_std)


def cell_soc_only(m: PackMeasurement, soc: FloatArray, soc_std: FloatArray) -> StateOfCharge:
    """Give a state of charge of which only the cells are known."""
    nan, none = math.nan, np.full(1, np.nan)
    return StateOfCharge(
        stamp_s=m.stamp_s,
        scan_number=m.scan_number,
        soc=nan,
        soc_std=nan,
        displayed_soc=nan,
        cell_soc=soc,
        cell_soc_std=soc_std,
        string_soc=none,
        string_soc_std=none,
        remaining_charge_ah=nan,
        remaining_charge_std_ah=nan,
        remaining_energy_wh=nan,
        remaining_energy_std_wh=nan,
        current_bias_a=none,
        current_bias_std_a=none,
        voltage_innovation_v=np.full(len(soc), nan),
        method="ekf_2rc",
        quality=2,
        quality_reason="",
    )


@dataclass(frozen=True)
class Branch:
    """What becomes of a pack after its healthy time.

    Attributes
    ----------
    group : str
        Where the episode is counted.
    fault : str
        Empty: none.
    days : float
        From the onset (of a healthy pack: from the branch) on.
    evaluation_s : float
        The hypotheses are compared this often [s].
    until_found : bool
        Ends with the right alarm.
    forced : dict
        Values of the fault that are not drawn.
    """

    group: str
    fault: str
    days: float
    evaluation_s: float = EVALUATION_S
    until_found: bool = False
    forced: dict[str, Any] = field(default_factory=dict)


class _DiagnosedPack:
    """A simulated pack with its filter and its diagnosis."""

    def __init__(self, seed: int, cells: int) -> None:
        self.simulated = SimulatedPack(seed, count=cells)
        pack = pack_like_the_demo(cells, self.simulated.sensors)
        self.estimator = CellSoc(pack)
        self.diagnoser = PackDiagnoser(
            pack, DiagnosisSettings(evaluation_s=EVALUATION_S), bleed_resistance_ohm=BLEED_OHM
        )

    def live(self, days: float, result: Episode, *, until_found: bool = False) -> None:
        """Let days go by, and book what the diagnosis says."""
        simulated, fault = self.simulated, self.simulated.fault
        begin_s, driven_at_onset_s = simulated.now_s, None
        findings: list[DiagnosisFinding] = []
        for measurement in simulated.days(days):
            diagnosis = self.diagnoser.step(measurement, self.estimator.step(measurement))
            now_s = measurement.stamp_s
            faulty = fault is not None and now_s >= fault.onset_s
            if not faulty:
                result.cell_hours = (now_s - begin_s) / 3600.0 * simulated.count
            elif driven_at_onset_s is None:
                driven_at_onset_s = simulated.driven_s
            if diagnosis is None:
                continue
            findings = [f for f in diagnosis.findings if f.alarm]
            if fault is None or not faulty:
                _book_healthy(result, diagnosis.findings)
            elif _book_faulty(result, findings, fault):
                result.detected_h = (now_s - fault.onset_s) / 3600.0
                result.detected_driving_h = (simulated.driven_s - (driven_at_onset_s or 0.0)) / 3600.0
                if until_found:
                    break
        if findings:
            best = findings[0]
            right_place = fault is not None and at_place(best, fault)
            result.named = best.fault if right_place or best.fault != result.fault else "misplaced"


def _book_healthy(result: Episode, findings: list[DiagnosisFinding]) -> None:
    for f in findings:
        result.strongest_healthy = max(
            result.strongest_healthy, f.probability if f.probability >= 0.0 else 1.0
        )
        said = f"{f.fault} {f.place} {f.index}"
        if f.alarm and said not in result.alarms_before:
            result.alarms_before.append(said)


def _book_faulty(result: Episode, alarms: list[DiagnosisFinding], fault: Fault) -> bool:
    """Book the alarms of a faulty pack; tell whether the right one has just come."""
    found = False
    for f in alarms:
        said = f"{f.fault} {f.place} {f.index}"
        if at_place(f, fault):
            if result.first_named == "none":
                result.first_named = f.fault
            found = found or is_right(f, fault)
        elif said not in result.alarms_elsewhere:
            result.alarms_elsewhere.append(said)
    return found and result.detected_h is None


def run_pack(
    seed: int, cells: int, healthy_days: float, branches: tuple[Branch, ...]
) -> list[tuple[str, Episode]]:
    """Run a pack through its healthy time once, and from there on with each of several faults.

    Parameters
    ----------
    seed : int
    cells : int
        In series.
    healthy_days : float
    branches : tuple of Branch
        Each goes on with its own random numbers; the onset lies within its first day.

    Returns
    -------
    list of (str, Episode)
        Group and result, of the healthy time first.
    """
    begun = _DiagnosedPack(seed, cells)
    healthy = Episode(seed, "none", {})
    begun.live(healthy_days, healthy)
    results = [("healthy", healthy)]
    for number, branch in enumerate(branches):
        pack = deepcopy(begun)
        draw = np.random.default_rng([seed, 9, number])
        until_onset_s = float(draw.uniform(0.0, 86400.0)) if branch.fault else 0.0
        fault = None
        if branch.fault:
            fault = Fault.draw(branch.fault, pack.simulated.now_s + until_onset_s, draw)
            fault = replace(fault, **branch.forced)
        pack.simulated.go_on(number, fault)
        settings = replace(pack.diagnoser.settings, evaluation_s=branch.evaluation_s)
        pack.diagnoser.settings = settings
        result = Episode(seed, branch.fault or "none", asdict(fault) if fault else {})
        days = branch.days + until_onset_s / 86400.0
        pack.live(days, result, until_found=branch.until_found)
        results.append((branch.group, result))
    return results
