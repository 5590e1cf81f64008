"""Healthy packs with real sensors never trip a row of plausibility: noise, resolution, skew, spread, load."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openbms_control.safety.checks import Checks
from openbms_control.safety.fault_manager import FaultManager
from openbms_control.safety.readings import Circumstances
from openbms_core.fault_rows.plausibility import PLAUSIBILITY_ROWS
from openbms_core.faults import fault_rows
from openbms_core.types import FaultState, PackMeasurement, State

CELLS, SENSORS, SECONDS = 16, 6, 45.0
NOW = Circumstances(
    state=State.DRIVE, started=True, command=np.array([1, 1, 0], np.uint8), command_age_s=np.full(3, 9.0),
    measurement_age_s=0.0, estimator_age_s=0.0, monitor_gap_s=0.0, estimator_fresh=True,
)  # fmt: skip
WIDE = ("cell_voltage_spread_max_v", "cell_voltage_step_max_v", "cell_voltage_standstill_max_v",
        "temperature_spread_max_k", "temperature_step_max_k", "temperature_standstill_max_k")  # fmt: skip

healthy = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "period_s": st.sampled_from([0.02, 0.1, 0.5]),
        "resolution_v": st.sampled_from([1e-4, 1e-3, 5e-3]),
        "noise_v": st.sampled_from([0.0, 5e-4, 3e-3]),
        "ohm": st.sampled_from([0.001, 0.02, 0.06]),  # of a large cell, a small one, a small one in the frost
        "skew": st.sampled_from([0.0, 1.0]),  # of a scan period, between front ends
        "resolution_a": st.sampled_from([1e-3, 0.5]),
        "resolution_k": st.sampled_from([0.05, 1.0]),
        "spread_v": st.sampled_from([0.0, 0.02, 0.06]),
        "use": st.sampled_from(["drive", "rest", "charge", "pulses"]),
    }
)


def load_a(use, rng, count, period_s):
    """Give the current of each scan [A]: what a vehicle, a charger or an impatient tester makes of it."""
    time_s = np.arange(count) * period_s
    if use == "rest":
        return np.zeros(count)
    if use == "charge":
        return np.where(time_s < 40.0, 4.0, 0.0)
    if use == "pulses":
        return -18.0 * ((time_s // 5.0) % 2)
    holds = np.repeat(rng.uniform(-18.0, 6.0, count), max(1, round(0.7 / period_s)))[:count]
    return np.convolve(
        holds, np.full(max(1, round(0.2 / period_s)), 1.0 / max(1, round(0.2 / period_s))), "same"
    )


@pytest.fixture(scope="module")
def packs(kit):
    from openbms_core.protection import Protection

    made = {}
    sensors = [{"name": "t{i}", "location": "cell", "count": SENSORS, "cells_each": 2}]
    last = {"cell_voltage_v": CELLS - 1, "redundant_cell_voltage_v": CELLS - 1, "cell_balancing": CELLS - 1,
            "temperature_degc": SENSORS - 1}  # fmt: skip
    signals = [
        {**entry, "repeat": {"i": [0, last[entry["to"]]]}} if entry["to"] in last else entry
        for entry in kit.SMALL["device"]["signals"]
    ]
    for period_s in (0.02, 0.1, 0.5):
        made[period_s] = kit.pack(
            topology={"cells_in_series": CELLS, "temperature_sensors": sensors},
            device={"signals": signals},
            measurement={"scan_period_s": period_s},
            protection={
                **{name: Protection.model_fields[name].default for name in WIDE},
                "standstill_charge_ah": 0.06,
            },
        ).file
    return made


def scans(pack, of):
    """Give the scans of a healthy pack."""
    rng, period_s = np.random.default_rng(of["seed"]), of["period_s"]
    count = round(SECONDS / period_s)
    amps = load_a(of["use"], rng, count + 2, period_s)
    ohm = of["ohm"] * rng.uniform(0.8, 1.2, CELLS)
    offset = np.clip(rng.normal(0.0, 1.0, CELLS), -2, 2) * of["spread_v"]
    slow = np.zeros(CELLS)  # polarisation
    charge_ah, heat_k = 0.0, 0.0
    late = of["skew"] * (np.arange(CELLS) // 4) / 3.0  # of a scan, by front end
    for k in range(count):
        flows = (1.0 - late) * amps[k] + late * amps[max(k - 1, 0)]
        slow += (0.6 * ohm * flows - slow) * min(1.0, period_s / 8.0)
        charge_ah += amps[k] * period_s / 3600.0
        heat_k += (0.02 * amps[k] ** 2 * of["ohm"] - 0.002 * heat_k) * period_s
        volts = 3.6 + offset + 0.7 * charge_ah / 3.0 + ohm * flows + slow
        volts = volts + of["noise_v"] * rng.standard_normal(CELLS)
        degc = 20.0 + heat_k * np.linspace(0.6, 1.2, SENSORS) + 0.03 * rng.standard_normal(SENSORS)
        m = PackMeasurement.empty(CELLS, SENSORS, 1, actuators=4, scan_number=k, scan_duration_s=period_s)
        m.cell_voltages_v = np.round(volts / of["resolution_v"]) * of["resolution_v"]
        m.redundant_cell_voltages_v = volts + 0.002 * rng.standard_normal(CELLS)
        m.temperatures_degc = np.round(degc / of["resolution_k"]) * of["resolution_k"]
        current = np.array([np.round(amps[k] / of["resolution_a"]) * of["resolution_a"]])
        m.string_currents_a = m.string_current_minimum_a = m.string_current_maximum_a = current
        m.redundant_string_currents_a = np.array([amps[max(k - 1, 0)]])
        m.string_voltages_v = np.array(
            [(3.6 + offset + 0.7 * charge_ah / 3.0 + ohm * amps[k] + slow).sum() * 1.001]
        )
        for name in ("cell_voltage", "temperature", "string_current", "string_voltage"):
            getattr(m, f"{name}_validity")[:] = 0
        m.redundant_cell_voltage_validity = np.zeros(CELLS, np.uint8)
        m.redundant_string_current_validity = np.zeros(1, np.uint8)
        m.cell_voltage_ages_s = np.full(CELLS, 0.5 * period_s)
        m.cell_balancing[:] = 0
        yield m


@settings(max_examples=7, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(of=healthy)
def test_a_healthy_pack_never_trips(packs, of):
    pack = packs[of["period_s"]]
    rows = [row for row in fault_rows(pack) if row in PLAUSIBILITY_ROWS]
    assert len(rows) == 11  # the small pack reports no extremes of its own
    checks, step = Checks(pack, rows), np.full(len(rows), of["period_s"])
    manager = FaultManager(rows, checks.limit.tolist())
    for k, m in enumerate(scans(pack, of)):
        manager.step(checks.evaluate(m, NOW, of["period_s"]), step, k * of["period_s"], k * of["period_s"])
        active = {entry.row.id for entry in manager.entries() if entry.state != FaultState.PENDING}
        assert not active, (k * of["period_s"], [(e.row.id, e.value, e.index) for e in manager.entries()])
