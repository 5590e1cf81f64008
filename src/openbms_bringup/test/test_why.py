"""`openbms why`: what the real safety monitor says about real situations, in words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Header

from openbms_bringup.why import explain, meaning, text
from openbms_control.ros.fault_messages import faults_to_msg
from openbms_control.safety.monitor import SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.faults import FAULT_TABLE
from openbms_core.pack import load_pack
from openbms_core.resources import find_config
from openbms_core.ros.convert import limits_to_msg, state_to_msg
from openbms_core.types import BusState, PackMeasurement, State, Validity


class Bench:
    """The real monitor over scans that are made by hand."""

    def __init__(self) -> None:
        self.pack = load_pack(find_config("packs", "demo_96s_nmc"))
        self.monitor = SafetyMonitor(self.pack, FaultRecord(self.pack.file.serial))
        self.t_s = 0.0
        self.number = 0

    def scan(self, **values: Any) -> PackMeasurement:
        topology = self.pack.file.topology
        m = PackMeasurement.empty(
            topology.cell_count, len(topology.sensors), 1, actuators=len(topology.actuators),
            scan_number=self.number, stamp_s=1000.0 + self.t_s, scan_duration_s=0.1,
        )  # fmt: skip
        for name in vars(m):
            if name.endswith("_validity") and isinstance(getattr(m, name), np.ndarray):
                getattr(m, name)[:] = Validity.VALID
            elif name.endswith("_validity"):
                setattr(m, name, Validity.VALID)
        m.cell_voltages_v[:], m.temperatures_degc[:], m.string_voltages_v[:] = 3.7, 25.0, 96 * 3.7
        for array in (m.string_currents_a, m.string_current_minimum_a, m.string_current_maximum_a):
            array[:] = 0.0
        m.cell_voltage_ages_s[:] = m.temperature_ages_s[:] = m.string_charge_increments_ah[:] = 0.0
        m.contactor_feedback[:] = m.cell_balancing[:] = 0
        m.actuator_feedback[:] = 0.0
        m.link_voltage_v, m.insulation_resistance_ohm, m.supply_voltage_v = 0.0, 5e6, 13.5
        m.interlock, m.emergency_stop, m.ignition, m.charging_plug, m.smoke, m.gas = 1, 0, 1, 0, 0, 0
        m.pressure_pa, m.coolant_flow_m3_per_s, m.auxiliary_power_w = 101_325.0, 1e-4, 50.0
        m.bus_state = BusState.OK
        for name, value in values.items():
            setattr(m, name, value)
        self.number += 1
        return m

    def say(self, seconds: float = 2.0, **values: Any) -> dict[str, Any]:
        """Show the same for some seconds; give what `openbms why` would say."""
        for _ in range(max(int(seconds * 10), 1)):
            decision = self.monitor.step(self.scan(**values), self.t_s, 1000.0 + self.t_s)
            self.t_s += 0.1
        header = Header()
        report = explain(
            state_to_msg(decision.status, header),
            faults_to_msg(decision, header),
            limits_to_msg(decision.limits, header),
        )
        json.dumps(report, allow_nan=False)
        return report


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_in_standby_nobody_has_asked(bench: Bench) -> None:
    report = bench.say()
    assert report["state"] == "STANDBY"
    assert report["contactors"]["closed"] is False and report["contactors"]["may_close"] is True
    assert [why["code"] for why in report["contactors"]["why"]] == ["not_requested"]
    assert report["charge"]["allowed"] is False
    assert any(why["code"].startswith("state") and why["text"] for why in report["charge"]["why"])
    said = text(report)
    assert said.startswith("State: STANDBY (")
    assert "Contactors: open, because of" in said and "openbms request drive" in said
    assert "Charge: not now, because of" in said


def test_a_fault_says_what_to_do_and_how_it_clears(bench: Bench) -> None:
    bench.say()
    high = np.full(96, 3.7)
    high[5] = 4.6
    report = bench.say(cell_voltages_v=high)
    assert report["state"] == "FAULT" and report["contactors"]["may_close"] is False
    fault = next(fault for fault in report["faults"] if fault["id"] == "CELL_OVER_VOLTAGE_SAFETY")
    assert fault["level"] == "safety" and fault["state"] == "active"
    assert fault["index"] == 5 and fault["value"] == pytest.approx(4.6) and fault["unit"] == "V"
    for key in ("means", "does", "cure", "clears", "since"):
        assert fault[key], key
    assert "CELL_OVER_VOLTAGE_SAFETY" in {why["code"] for why in report["contactors"]["why"]}
    said = text(report)
    assert "CELL_OVER_VOLTAGE_SAFETY (safety): active since" in said
    assert "You: " in said and "Clears " in said and "index 5, 4.6 V" in said
    bench.say(3.0)
    assert "CELL_OVER_VOLTAGE_SAFETY (safety): latched" in text(bench.say())


def test_a_warning_that_blocks_closing_is_the_reason_it_is_open(bench: Bench) -> None:
    bench.say()
    report = bench.say(4.0, insulation_resistance_ohm=10e3)
    whys = {why["code"]: why["text"] for why in report["contactors"]["why"]}
    assert any(code.startswith("LOW_INSULATION") and words for code, words in whys.items())
    assert report["contactors"]["may_close"] is False


def test_what_runs_but_is_no_fault_yet_is_said_apart(bench: Bench) -> None:
    bench.say()
    high = np.full(96, 3.7)
    high[5] = 4.6
    report = bench.say(0.2, cell_voltages_v=high)
    assert "CELL_OVER_VOLTAGE_SAFETY" in {fault["id"] for fault in report["pending"]}
    assert "CELL_OVER_VOLTAGE_SAFETY" not in {fault["id"] for fault in report["faults"]}
    assert "Not yet faults" in text(report)


def test_on_the_way_to_closed_it_is_said_that_it_is_closing(bench: Bench) -> None:
    bench.say()
    assert bench.monitor.request(State.DRIVE, bench.t_s).accepted
    report = bench.say(0.1)
    assert report["state"] == "PRECHARGE" and report["requested"] == "DRIVE"
    assert text(report).startswith("State: PRECHARGE (requested)")


def test_a_key_that_is_off_forbids_driving_only(bench: Bench) -> None:
    report = bench.say(ignition=0)
    assert report["contactors"]["may_close"] is True
    assert [why["code"] for why in report["contactors"]["why_not_drive"]] == ["ignition"]
    assert "not for driving, because of\n    ignition: The ignition is off" in text(report)


def test_a_string_that_is_left_out_is_named_with_its_reason() -> None:
    from openbms_msgs.msg import BmsState, FaultArray, Limits

    state = BmsState(
        state=int(State.DRIVE),
        contactors_closed=True,
        inhibits=["string_1:voltage_difference", "close:SOMETHING"],
        inhibit_texts=["String 1 is not connected: its 351 V are 12 V off.", "Closing is refused."],
    )
    report = explain(state, FaultArray(), Limits())
    assert report["contactors"]["left_out"] == [
        {"string": 1, "code": "voltage_difference", "text": state.inhibit_texts[0]}
    ]
    said = text(report)
    assert "left out\n    voltage_difference: String 1 is not connected" in said
    assert "once open they may not close again, because of\n    SOMETHING: Closing is refused." in said


def test_every_fault_has_a_meaning_and_unknown_codes_are_given_as_they_are() -> None:
    for row in FAULT_TABLE:
        assert meaning(row.id) == row.means and meaning(f"fault:{row.id}") == row.means
    assert "STANDBY" in meaning("state:STANDBY")
    assert meaning("measurement_incomplete")
    assert meaning("something_new") == ""
