"""One pack from beginning to end: what the diagnosis says of it, scored."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosing.simulated_pack import BLEED_OHM, CELLS, Fault, SimulatedPack, demo_pack
from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack
from openbms_core.types import DiagnosisFinding, PackMeasurement, StateOfCharge
from openbms_estimation.diagnosis.pack_diagnoser import PackDiagnoser
from openbms_estimation.diagnosis.robust import middle
from openbms_estimation.diagnosis.settings import DiagnosisSettings
from openbms_estimation.soc.ekf import SocEkf
from openbms_estimation.soc.estimate import SocSample

__all__ = ["CellSoc", "Episode", "cell_soc_only", "is_right", "run_episode"]

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


def run_episode(
    seed: int,
    fault: str,
    *,
    healthy_days: float,
    faulty_days: float,
    evaluation_s: float = EVALUATION_S,
    **forced: Any,
) -> Episode:
    """Run one pack.

    Parameters
    ----------
    seed : int
    fault : str
        Empty: a pack that stays healthy.
    healthy_days, faulty_days : float
        Time before and after the onset [days].
    evaluation_s : float
        The hypotheses are compared this often [s].
    **forced
        Values of the fault that are not drawn.

    Returns
    -------
    Episode
    """
    pack = demo_pack()
    simulated = SimulatedPack(seed)
    drawn: Fault | None = None
    if fault:
        onset_s = simulated.now_s + healthy_days * 86400.0
        drawn = replace(Fault.draw(fault, onset_s, np.random.default_rng([seed, 9])), **forced)
        simulated.fault = drawn
    result = Episode(seed, fault or "none", asdict(drawn) if drawn else {})
    estimator = CellSoc(pack)
    diagnoser = PackDiagnoser(
        pack, DiagnosisSettings(evaluation_s=evaluation_s), bleed_resistance_ohm=BLEED_OHM
    )
    driven_at_onset_s = None
    findings: list[DiagnosisFinding] = []
    begin_s = simulated.now_s
    for measurement in simulated.days(healthy_days + (faulty_days if fault else 0.0)):
        diagnosis = diagnoser.step(measurement, estimator.step(measurement))
        now_s = measurement.stamp_s
        faulty = drawn is not None and now_s >= drawn.onset_s
        if faulty and driven_at_onset_s is None:
            driven_at_onset_s = simulated.driven_s
        if not faulty:
            result.cell_hours = (now_s - begin_s) / 3600.0 * CELLS
        if diagnosis is None:
            continue
        findings = [f for f in diagnosis.findings if f.alarm]
        if not faulty:
            strongest = max((f.probability for f in diagnosis.findings), default=0.0)
            result.strongest_healthy = max(result.strongest_healthy, strongest)
        for f in findings:
            said = f"{f.fault} {f.place} {f.index}"
            if drawn is None or not faulty:
                if said not in result.alarms_before:
                    result.alarms_before.append(said)
            elif not at_place(f, drawn):
                if said not in result.alarms_elsewhere:
                    result.alarms_elsewhere.append(said)
            else:
                if result.first_named == "none":
                    result.first_named = f.fault
                if result.detected_h is None and is_right(f, drawn):
                    result.detected_h = (now_s - drawn.onset_s) / 3600.0
                    driven_s = simulated.driven_s - (driven_at_onset_s or 0.0)
                    result.detected_driving_h = driven_s / 3600.0
    if findings:
        best = findings[0]
        right_place = drawn is not None and at_place(best, drawn)
        result.named = best.fault if right_place or best.fault != fault else "misplaced"
    return result
