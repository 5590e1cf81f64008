"""A 16s LFP battery for the tests of inverter gateways: every input, as it comes from the topics."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from openbms_core.types import (
    BmsStatus,
    FinalLimits,
    PackMeasurement,
    State,
    StateOfCharge,
    StateOfHealth,
    Validity,
)
from openbms_drivers.devices.inverter_lv.battery import BatteryFacts
from openbms_drivers.devices.inverter_lv.gateway import InverterGateway
from openbms_drivers.frame import Frame

FACTS = BatteryFacts(
    serial="HOME-2026-0001",
    name="home_16s_lfp",
    manufacturer="OpenBMS",
    strings=1,
    cells_in_series=16,
    rated_capacity_ah=280.0,
    cell_maximum_v=(3.45, 3.55),
    cell_minimum_v=(3.0, 2.8),
    charge_current_max_a=140.0,
    discharge_current_max_a=200.0,
    at_cell=np.array([True, True, False]),
)
STAMP_S = 1_700_000_000.0
INPUTS = ("limits", "state", "measurement", "soc", "soh", "faults")


def limits(charge_a: float = 100.0, discharge_a: float = 150.0, **values: Any) -> FinalLimits:
    """Give limits; powers that do not bind unless given."""
    given = {"charge_power_w": 1e5, "discharge_power_w": 1e5, "valid_for_s": 0.5} | values
    return FinalLimits(
        charge_a, discharge_a, given["charge_power_w"], given["discharge_power_w"], "", "", "", False, np.nan,
        given["valid_for_s"],
    )  # fmt: skip


def status(state: State = State.CONNECTED, **values: Any) -> BmsStatus:
    """Give a state with closed contactors where it has them."""
    closed = state in (State.DRIVE, State.CHARGE, State.CONNECTED, State.OPENING)
    given: dict[str, Any] = {
        "contactor_command": np.array([1, 1, 0] if closed else [0, 0, 0], np.uint8),
        "contactors_closed": closed,
        "zero_current_requested": state == State.OPENING,
        "charge_allowed": state in (State.DRIVE, State.CHARGE, State.CONNECTED),
        "discharge_allowed": state in (State.DRIVE, State.CHARGE, State.CONNECTED),
    } | values
    return BmsStatus(
        state=state, previous_state=State.STANDBY, time_in_state_s=10.0, requested_state=State.CONNECTED,
        reason="requested", explanation="", opening_deadline_s=np.nan, balancing_allowed=True,
        heating_allowed=True, cooling_required=False, inhibits=[], inhibit_texts=[], start_count=1,
        valid_for_s=0.5, **given,
    )  # fmt: skip


def measurement(voltage_v: float = 53.12, current_a: float = -27.0) -> PackMeasurement:
    """Give a scan; cell 3 is the lowest, cell 12 the highest."""
    scan = PackMeasurement.empty(16, 3, 1)
    scan.cell_voltages_v[:] = voltage_v / 16.0
    scan.cell_voltages_v[3] -= 0.011
    scan.cell_voltages_v[12] += 0.011
    scan.temperatures_degc[:] = (21.0, 25.0, 60.0)
    scan.string_voltages_v[:] = voltage_v
    scan.string_currents_a[:] = current_a
    for name in ("cell_voltage", "temperature", "string_voltage", "string_current"):
        getattr(scan, f"{name}_validity")[:] = Validity.VALID
    return scan


def charge(soc: float = 0.6543) -> StateOfCharge:
    """Give a state of charge."""
    none = np.array([np.nan])
    return StateOfCharge(
        STAMP_S,
        1,
        soc,
        0.01,
        soc,
        none,
        none,
        none,
        none,
        180.0,
        2.0,
        9000.0,
        100.0,
        none,
        none,
        none,
        "ekf",
        1,
        "",
    )


def health(soh: float = 0.983) -> StateOfHealth:
    """Give a state of health."""
    empty = {
        "NDArray[np.uint32]": np.zeros(1, np.uint32),
        "float": np.nan,
        "int": 0,
        "str": "",
        "list[str]": [],
        "bool": False,
    }
    values: dict[str, Any] = {
        field.name: empty.get(str(field.type), np.array([np.nan])) for field in fields(StateOfHealth)
    }
    values |= {"stamp_s": STAMP_S, "soh": soh, "energy_in_wh": 1_234_500.0, "energy_out_wh": 1_100_000.0}
    return StateOfHealth(**values)


def inputs(**given: Any) -> dict[str, Any]:
    """Give every input, or what is given in its place (None: it stays away)."""
    usual: dict[str, Any] = {
        "limits": limits(), "state": status(), "measurement": measurement(), "soc": charge(), "soh": health(),
        "faults": [],
    }  # fmt: skip
    return {name: value for name, value in (usual | given).items() if value is not None}


def feed(gateway: InverterGateway, now_s: float, **given: Any) -> None:
    """Bring every input, or what is given in its place (None: it stays away)."""
    for name, value in inputs(**given).items():
        gateway.take(name, value, now_s)  # type: ignore[arg-type]


def run(
    gateway: InverterGateway, start_s: float, end_s: float, step_s: float = 0.01, **given: Any
) -> list[Frame]:
    """Let the gateway live from ``start_s`` to ``end_s`` with inputs at 10 Hz; give what it sent."""
    frames: list[Frame] = []
    brought = inputs(**given)
    for turn in range(round((end_s - start_s) / step_s)):
        now_s = start_s + turn * step_s
        if turn % max(1, round(0.1 / step_s)) == 0:
            for name, value in brought.items():
                gateway.take(name, value, now_s)  # type: ignore[arg-type]
        frames += gateway.frames_due(now_s, STAMP_S + now_s)
    return frames


def newest(frames: list[Frame]) -> dict[int, bytes]:
    """Give the last data of each identifier."""
    return {frame.identifier: frame.data for frame in frames}
