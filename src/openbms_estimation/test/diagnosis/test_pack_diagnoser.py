"""The whole diagnosis on a small scale: each fault is named, at its place, and nothing else."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from openbms_core.types import CellDiagnosis
from openbms_estimation.diagnosis.pack_diagnoser import HEALTHY, PackDiagnoser
from openbms_estimation.diagnosis.settings import CELL_CLASSES, DiagnosisSettings

sys.path.insert(0, str(Path(__file__).parent))
from diagnosed_cells import CELLS, SENSORS, Scans, pack, soc_of

SETTINGS = DiagnosisSettings(evaluation_s=600.0)


def diagnoser(**options: float) -> PackDiagnoser:
    return PackDiagnoser(pack(), SETTINGS, bleed_resistance_ohm=options.get("bleed_ohm", 33.0))


def run(subject: PackDiagnoser, scans: Scans, hours: float) -> CellDiagnosis:
    """Drive, rest and drive for some hours each."""
    for part in (scans.drive(hours), scans.rest(2.0 * hours), scans.drive(hours)):
        for scan, soc in part:
            subject.step(scan, soc)
    found = subject.latest
    assert found is not None
    return found


def test_healthy_pack_has_no_findings() -> None:
    found = run(diagnoser(), Scans(), 1.0)
    assert not [f for f in found.findings if f.alarm]
    assert (found.most_likely == HEALTHY).all()
    probability = found.probability.reshape(CELLS, len(CELL_CLASSES))
    assert np.nanmax(probability) < 0.5
    assert found.quality_reason == ""
    assert found.observed_s == pytest.approx(4 * 3600.0, rel=0.05)


def short(scans: Scans) -> None:
    scans.leak_a[40] = 0.025


def joint(scans: Scans) -> None:
    scans.joint_ohm[40] = 0.008


def growth(scans: Scans) -> None:
    scans.resistance[40] *= 1.5


def biased(scans: Scans) -> None:
    scans.bias_v[40] = 0.03


def wire(scans: Scans) -> None:
    scans.bias_v[40], scans.bias_v[41] = 0.2, -0.2


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (short, "internal_short"),
        (joint, "connection_resistance"),
        (growth, "resistance_growth"),
        (biased, "voltage_sensor"),
        (wire, "open_wire"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value,
)
def test_fault_of_a_cell_is_named_at_its_place(spoil: Callable[[Scans], None], fault: str) -> None:
    subject, scans = diagnoser(), Scans()
    run(subject, scans, 0.8)
    spoil(scans)
    found = run(subject, scans, 1.6 if fault == "internal_short" else 0.8)
    assert CELL_CLASSES[found.most_likely[40]] == fault
    alarms = [f for f in found.findings if f.alarm]
    assert {f.index for f in alarms} == ({40, 41} if fault == "open_wire" else {40})
    best = next(f for f in alarms if f.index == 40)
    assert best.fault == fault
    assert "cell 40" in best.evidence
    assert abs(best.since_s - (1e6 + 3.2 * 3600.0)) < 1.5 * 3600.0


def test_balancing_is_no_short_where_its_resistor_is_known() -> None:
    subject, scans = diagnoser(), Scans()
    run(subject, scans, 0.8)
    scans.bleeding[40] = True
    found = run(subject, scans, 0.25)
    assert not [f for f in found.findings if f.alarm]


def test_short_of_a_cell_that_was_bled_is_not_judged_where_the_resistor_is_unknown() -> None:
    subject, scans = diagnoser(bleed_ohm=math.nan), Scans()
    run(subject, scans, 0.6)
    scans.bleeding[40] = True
    found = run(subject, scans, 0.6)
    assert found.probability.reshape(CELLS, -1)[40, CELL_CLASSES.index("internal_short")] == 0.0


def test_temperature_sensor_is_told_from_its_cells() -> None:
    subject, scans = diagnoser(), Scans()
    run(subject, scans, 0.6)
    scans.felt_k[5] = 9.0
    found = run(subject, scans, 0.6)
    assert {(f.fault, f.index) for f in found.findings if f.alarm} == {("temperature_sensor", 5)}
    assert found.temperature_sensor_probability.shape == (SENSORS,)
    assert math.isnan(found.temperature_sensor_probability[40]), "the ambient sensor is at no cell"


def test_current_sensor_that_counts_at_rest_is_found() -> None:
    subject, scans = diagnoser(), Scans()
    run(subject, scans, 0.6)
    scans.offset_a = 0.05
    for scan, soc in scans.rest(16.0):
        subject.step(scan, soc)
    found = subject.latest
    assert found is not None
    assert [f.fault for f in found.findings if f.alarm] == ["current_sensor"]
    assert found.findings[0].size == pytest.approx(0.05, rel=0.3)


def test_unknown_state_of_charge_is_said() -> None:
    subject, scans = diagnoser(), Scans()
    for scan, _ in scans.rest(1.0):
        subject.step(scan, soc_of(np.full(CELLS, np.nan), scan))
    found = subject.latest
    assert found is not None
    assert found.quality_reason == "the state of charge is not known yet"
    assert np.isnan(found.probability).all()


def test_lost_values_do_no_harm() -> None:
    subject, scans = diagnoser(), Scans()
    for number, (scan, soc) in enumerate(scans.drive(1.0)):
        if number % 3 == 0:
            scan.cell_voltages_v[:] = np.nan
        scan.cell_voltages_v[7] = np.nan
        if number % 5 == 0:
            scan.string_currents_a[:] = scan.string_charge_increments_ah[:] = np.nan
        scan.temperatures_degc[3] = np.nan
        subject.step(scan, soc)
    found = subject.latest
    assert found is not None
    assert not [f for f in found.findings if f.alarm]


def test_going_on_after_a_restart_is_as_if_there_was_none() -> None:
    subject, scans = diagnoser(), Scans()
    run(subject, scans, 0.6)
    other = diagnoser()
    other.resume(subject.state())
    scans.joint_ohm[40] = 0.008
    for scan, soc in scans.drive(1.0):
        for each in (subject, other):
            each.step(scan, soc)
    assert subject.latest is not None
    assert other.latest is not None
    assert [f.fault for f in other.latest.findings if f.alarm] == ["connection_resistance"]
    assert other.observed_s == pytest.approx(subject.observed_s, abs=30.0)


def test_memory_of_another_pack_is_refused() -> None:
    state = diagnoser().state()
    state["counted"] = np.zeros(3)
    with pytest.raises(ValueError, match="counted has the shape"):
        diagnoser().resume(state)
