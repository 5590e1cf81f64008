"""Packs for the tests of the aggregation: each says what it is told to say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from openbms_control.aggregation.pack_view import CLOSED_STATES, PackFacts, PackView, SaidFault
from openbms_core.types import BmsStatus, FinalLimits, PackMeasurement, State, StateOfCharge, StateOfHealth

CELLS = 4
FACTS = PackFacts(
    name="p0", serial="S0", strings=1, cells_in_series=CELLS, cells=CELLS, sensors=2, actuators=0,
    capacity_ah=100.0, nominal_v=12.8, chemistry="lfp", break_current_a=30.0, join_window_v=1.0,
    has_precharge=True, takes_requests=True, link_measured=True, model_resistance_ohm=0.01,
)  # fmt: skip


def facts(count: int, **changes: Any) -> list[PackFacts]:
    return [replace(FACTS, name=f"p{n}", serial=f"S{n}", **changes) for n in range(count)]


def status(state: State = State.CONNECTED, **changes: Any) -> BmsStatus:
    closed = state in CLOSED_STATES
    values: dict[str, Any] = {
        "state": state, "previous_state": State.STANDBY, "time_in_state_s": 1.0, "requested_state": state,
        "reason": "requested" if closed else "ready", "explanation": "",
        "contactor_command": np.array([closed, closed, 0], np.uint8), "contactors_closed": closed,
        "zero_current_requested": state == State.OPENING, "opening_deadline_s": math.nan,
        "charge_allowed": closed, "discharge_allowed": closed, "balancing_allowed": True,
        "heating_allowed": True, "cooling_required": False, "inhibits": [], "inhibit_texts": [],
        "start_count": 1, "valid_for_s": 0.5,
    }  # fmt: skip
    return BmsStatus(**{**values, **changes})


def limits(charge_a: float = 50.0, discharge_a: float = 100.0, **changes: Any) -> FinalLimits:
    values: dict[str, Any] = {
        "charge_current_a": charge_a, "discharge_current_a": discharge_a, "charge_power_w": 1e6,
        "discharge_power_w": 1e6, "charge_reason": "current_rating", "discharge_reason": "current_rating",
        "explanation": "", "limp_home": False, "shutdown_in_s": math.nan, "valid_for_s": 0.5,
    }  # fmt: skip
    return FinalLimits(**{**values, **changes})


def scan(
    current_a: float = 0.0,
    voltage_v: float = 13.2,
    link_v: float | None = None,
    closed: int = 1,
    one: Any = FACTS,
) -> PackMeasurement:
    m = PackMeasurement.empty(one.cells, one.sensors, one.strings, bus_state=0, scan_number=1)
    m.cell_voltages_v[:], m.cell_voltage_validity[:] = voltage_v / one.cells, 0
    m.string_currents_a[:], m.string_current_validity[:] = current_a, 0
    m.string_voltages_v[:], m.string_voltage_validity[:] = voltage_v, 0
    m.link_voltage_v, m.link_voltage_validity = (voltage_v if link_v is None else link_v), 0
    m.contactor_feedback[:] = [closed, closed, 0] * one.strings
    return m


def soc(
    value: float = 0.5, std: float = 0.02, ah: float = 50.0, wh: float = 640.0, **changes: Any
) -> StateOfCharge:
    values: dict[str, Any] = {
        "stamp_s": 1.0, "scan_number": 1, "soc": value, "soc_std": std, "displayed_soc": value,
        "cell_soc": np.full(CELLS, value), "cell_soc_std": np.full(CELLS, std),

        "string_soc": np.array([value]), "string_soc_std": np.array([std]),
        "remaining_charge_ah": ah, "remaining_charge_std_ah": 2.0,
        "remaining_energy_wh": wh, "remaining_energy_std_wh": 20.0, "current_bias_a": np.zeros(1),
        "current_bias_std_a": np.ones(1), "voltage_innovation_v": np.zeros(CELLS), "method": "ekf_2rc",
        "quality": 2, "quality_reason": "",
    }  # fmt: skip
    return StateOfCharge(**{**values, **changes})


def soh(value: float = 0.9, resistance_ohm: float = math.nan, **changes: Any) -> StateOfHealth:
    cells = np.full(CELLS, 1.0)
    names = ("cell_capacity_std_ah", "cell_resistance_ohm", "cell_resistance_std_ohm")
    names += ("cell_resistance_10s_std_ohm", "cell_resistance_ratio", "incremental_peak_voltage_v")
    values: dict[str, Any] = {
        "stamp_s": 1.0, "scan_number": 1, "soh": value, "soh_std": 0.02, "rated_capacity_ah": 100.0,
        "usable_capacity_now_ah": 98.0 * value, "usable_capacity_balanced_ah": 100.0 * value,
        "weakest_cell": 1, "weakest_probability": 0.5, "cell_capacity_ah": 100.0 * value * cells,
        "cell_capacity_pairs": np.zeros(CELLS, np.uint32), "incremental_peak": cells,
        "cell_resistance_10s_ohm": cells * resistance_ohm / CELLS, "charge_in_ah": 10.0, "charge_out_ah": 9.0,
        "energy_in_wh": 130.0, "energy_out_wh": 115.0, "equivalent_full_cycles": 3.0,
        "temperature_edges_degc": np.zeros(0), "soc_edges": np.zeros(0), "time_at_s": np.zeros(0),
        "quality": 2, "quality_reason": "",
    } | {name: cells.copy() for name in names}  # fmt: skip
    return StateOfHealth(**{**values, **changes})


def fault(name: str, level: int = 2, state: int = 1) -> SaidFault:
    return SaidFault(name, level, state, 1.0, 2.0, 1, 5.0, 4.0, "V", 3, False, "words")


def view(own: PackFacts = FACTS, state: State | None = State.CONNECTED, **changes: Any) -> PackView:
    """Give a pack that says everything; ``state`` None: its safety monitor is not heard."""
    closed = state in CLOSED_STATES
    current = changes.pop("current_a", 0.0)
    voltage, link = changes.pop("voltage_v", 13.2), changes.pop("link_v", None)
    given: dict[str, Any] = {
        "status": None if state is None else status(state),
        "limits": None if state is None else limits() if closed else limits(0.0, 0.0),
        "limits_left_s": 0.5,
        "scan": scan(current, voltage, link, int(closed), own),
        "soc": soc(),
        "faults": (),
    }
    return PackView(facts=own, **{**given, **changes})
