"""What is on the vehicle's bus, judged by a VCU with its own checksum and cantools."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vcu import GATEWAY, Vcu

from openbms_core.config_file import ConfigError
from openbms_core.types import (
    UNKNOWN,
    BmsStatus,
    FinalLimits,
    PackMeasurement,
    State,
    StateOfCharge,
    Validity,
)
from openbms_drivers.frame import Frame
from openbms_drivers.gateway.peer import Peer
from openbms_drivers.vehicle.crash import CrashLatch
from openbms_drivers.vehicle.inputs import read_inputs, stop_said, wanted_state
from openbms_drivers.vehicle.outputs import OUTPUT_VALUES, REASON_CODES, VehicleOutputs, fault_group
from openbms_drivers.vehicle.vehicle_file import load_vehicle

T = 1000.0


def limits(**values: Any) -> FinalLimits:
    given: dict[str, Any] = {
        "charge_current_a": 25.3, "discharge_current_a": 180.0, "charge_power_w": 9_000.0,
        "discharge_power_w": 61_000.0, "charge_reason": "temperature_low",
        "discharge_reason": "estimator:cell", "explanation": "", "limp_home": False,
        "shutdown_in_s": math.nan, "valid_for_s": 0.5,
    }  # fmt: skip
    return FinalLimits(**{**given, **values})


def status(state: State = State.DRIVE, **values: Any) -> BmsStatus:
    given: dict[str, Any] = {
        "state": state, "previous_state": State.STANDBY, "time_in_state_s": 1.0, "requested_state": state,
        "reason": "", "explanation": "", "contactor_command": np.array([1, 1, 0], np.uint8),
        "contactors_closed": True, "zero_current_requested": False, "opening_deadline_s": math.nan,
        "charge_allowed": True, "discharge_allowed": True, "balancing_allowed": True, "heating_allowed": True,
        "cooling_required": False, "inhibits": [], "inhibit_texts": [], "start_count": 1, "valid_for_s": 0.5,
    }  # fmt: skip
    return BmsStatus(**{**given, **values})


def charge(soc: float = 0.734) -> StateOfCharge:
    empty = np.empty(0)
    return StateOfCharge(
        T, 1, soc, 0.01, soc - 0.01, empty, empty, empty, empty, 90.0, 1.0, 31_230.0, 300.0, empty, empty,
        empty, "ekf_2rc", 2, "",
    )  # fmt: skip


def scan(**values: Any) -> PackMeasurement:
    made = PackMeasurement.empty(4, 2, 1, stamp_s=T)
    made.cell_voltages_v[:] = (3.61, 3.59, 3.7, 3.65)
    made.cell_voltage_validity[:] = Validity.VALID
    made.temperatures_degc[:] = (-12.0, 31.0)
    made.temperature_validity[:] = Validity.VALID
    made.string_currents_a[:] = -120.4
    made.string_voltages_v[:] = 351.2
    made.link_voltage_v = 350.9
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Bench:
    """Gateway and VCU, frame by frame."""

    def __init__(self) -> None:
        self.gateway = load_vehicle(GATEWAY)
        self.outputs = VehicleOutputs()
        self.peer = Peer(self.gateway, "virtual:x", self.outputs.values, caught=("crash",))
        self.vcu = Vcu()

    def tell(self, now_s: float) -> dict[str, dict[str, Any]]:
        for frame in self.peer.frames_due(now_s):
            self.vcu.hear(frame.identifier, frame.data)
        return self.vcu.heard

    def say(self, now_s: float) -> None:
        for frame in self.vcu.frames(now_s):
            self.peer.receive(frame)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_everything_arrives(bench: Bench) -> None:
    bench.outputs.set_limits(limits(), T)
    bench.outputs.set_state(status(), T)
    bench.outputs.set_soc(charge(), T)
    bench.outputs.set_scan(scan(), T)
    bench.outputs.set_faults([("CELL_OVER_VOLTAGE_OPERATING", 0, 1), ("LOW_INSULATION_RECOMMENDED", 1, 2)], T)
    heard = bench.tell(T)
    assert heard["Bms_Limits"]["Charge_Current"] == pytest.approx(25.3)
    assert heard["Bms_Limits"]["Discharge_Current"] == pytest.approx(180.0)
    assert heard["Bms_Limits"]["Charge_Reason"] == REASON_CODES["temperature_low"]
    assert heard["Bms_Limits"]["Discharge_Reason"] == REASON_CODES["estimator"]
    assert (heard["Bms_Limits"]["Limits_Expired"], heard["Bms_Limits"]["Limp_Home"]) == (0, 0)
    assert heard["Bms_Power"]["Discharge_Power"] == pytest.approx(61_000.0)
    assert heard["Bms_State"]["State"] == State.DRIVE
    assert heard["Bms_State"]["Fault_Level"] == 2
    assert (heard["Bms_State"]["Charge_Allowed"], heard["Bms_State"]["Zero_Current_Requested"]) == (1, 0)
    assert heard["Bms_Measurement"]["Voltage"] == pytest.approx(351.2)
    assert heard["Bms_Measurement"]["Current"] == pytest.approx(-120.4), "positive current charges"
    assert heard["Bms_Energy"]["Soc"] == pytest.approx(73.4)
    assert heard["Bms_Energy"]["Remaining_Energy"] == pytest.approx(31_230.0)
    assert heard["Bms_Faults"]["Cell_Voltage"] == 1
    assert (heard["Bms_Faults"]["Insulation"], heard["Bms_Faults"]["Fault_Count"]) == (2, 2)
    assert heard["Bms_Cells"]["Cell_Voltage_Min"] == pytest.approx(3.59)
    assert heard["Bms_Cells"]["Temperature_Min"] == -12


def test_what_is_unknown_has_its_code_and_never_a_number(bench: Bench) -> None:
    raw: dict[str, dict[str, Any]] = {}
    for frame in bench.peer.frames_due(T):
        message = bench.vcu.database.get_message_by_frame_id(frame.identifier)
        raw[message.name] = message.decode(frame.data, decode_choices=False, scaling=False)
    assert len(raw) == 7
    assert raw["Bms_Limits"]["Charge_Current"] == raw["Bms_Limits"]["Discharge_Current"] == 0
    assert (raw["Bms_Limits"]["Limits_Expired"], raw["Bms_Power"]["Limits_Expired"]) == (1, 1)
    assert raw["Bms_Limits"]["Charge_Reason"] == raw["Bms_Limits"]["Discharge_Reason"] == 15
    assert (raw["Bms_Power"]["Charge_Power"], raw["Bms_Power"]["Discharge_Power"]) == (0, 0)
    assert (raw["Bms_State"]["State"], raw["Bms_State"]["State_Expired"]) == (15, 1)
    assert raw["Bms_State"]["Zero_Current_Requested"] == 1
    assert (raw["Bms_State"]["Charge_Allowed"], raw["Bms_State"]["Discharge_Allowed"]) == (0, 0)
    assert raw["Bms_Measurement"]["Voltage"] == 65535
    assert raw["Bms_Measurement"]["Current"] == -32768
    assert raw["Bms_Energy"]["Soc"] == 1023
    assert {raw["Bms_Faults"][name] for name in ("Cell_Voltage", "Runaway", "System")} == {7}
    assert raw["Bms_Cells"]["Temperature_Max"] == 255


def test_limits_and_state_expire_by_their_own_time(bench: Bench) -> None:
    bench.outputs.set_limits(limits(valid_for_s=0.3), T)
    bench.outputs.set_state(status(valid_for_s=0.3), T)
    assert bench.tell(T + 0.29)["Bms_Limits"]["Discharge_Current"] == pytest.approx(180.0)
    heard = bench.tell(T + 0.31)
    assert (heard["Bms_Limits"]["Discharge_Current"], heard["Bms_Limits"]["Limits_Expired"]) == (0, 1)
    assert (heard["Bms_State"]["State_Expired"], heard["Bms_State"]["Zero_Current_Requested"]) == (1, 1)


def test_limits_that_claim_to_be_valid_for_ever_are_not_believed(bench: Bench) -> None:
    bench.outputs.set_limits(limits(valid_for_s=3600.0), T)
    assert bench.tell(T + 0.6)["Bms_Limits"]["Limits_Expired"] == 1
    for nonsense in (math.nan, 0.0, -1.0):
        bench.outputs.set_limits(limits(valid_for_s=nonsense), T + 1.0)
        assert bench.tell(T + 1.0)["Bms_Limits"]["Limits_Expired"] == 1


@pytest.mark.parametrize("value", [math.nan, -5.0])
def test_a_limit_that_is_no_number_is_zero(bench: Bench, value: float) -> None:
    bench.outputs.set_limits(limits(charge_current_a=value, discharge_power_w=value), T)
    heard = bench.tell(T)
    assert (heard["Bms_Limits"]["Charge_Current"], heard["Bms_Power"]["Discharge_Power"]) == (0, 0)


def test_a_value_beyond_its_signal_is_the_largest_one_not_unknown(bench: Bench) -> None:
    bench.outputs.set_scan(scan(string_voltages_v=np.array([9_999.0])), T)
    assert bench.tell(T)["Bms_Measurement"]["Voltage"] == pytest.approx(6553.4)


def test_a_cell_that_is_missing_makes_the_extremes_unknown(bench: Bench) -> None:
    broken = scan()
    broken.cell_voltages_v[1], broken.cell_voltage_validity[1] = math.nan, Validity.STALE
    bench.outputs.set_scan(broken, T)
    assert bench.tell(T)["Bms_Cells"]["Cell_Voltage_Min"] == pytest.approx(8.191), "the code for unknown"


def test_frames_keep_their_periods_and_counters(bench: Bench) -> None:
    counts: dict[int, int] = {}
    for step in range(1001):
        for frame in bench.peer.frames_due(T + 0.001 * step):
            bench.vcu.hear(frame.identifier, frame.data)
            counts[frame.identifier] = counts.get(frame.identifier, 0) + 1
    expected = {784: 101, 785: 101, 786: 101, 787: 51, 788: 51, 789: 51, 790: 11}
    assert counts == pytest.approx(expected, abs=1)


def test_no_burst_after_a_stall(bench: Bench) -> None:
    bench.tell(T)
    assert len(bench.peer.frames_due(T + 5.0)) == 7
    assert bench.peer.frames_due(T + 5.005) == []


def test_what_the_vehicle_says(bench: Bench) -> None:
    bench.vcu.request |= {"Request": 2}
    bench.vcu.charging |= {"Plug": 1, "Pilot_Duty": 50.0}
    bench.say(T)
    readings = bench.peer.readings(T)
    said = read_inputs(readings, CrashLatch(), 0.3)
    assert (said.ignition, said.interlock, said.emergency_stop, said.charging_plug) == (1, 1, 0, 1)
    assert said.wanted_state == State.CHARGE
    assert said.pilot_current_a == pytest.approx(30.0)
    assert said.reason == ""


@pytest.mark.parametrize(
    ("code", "wanted"),
    [(0, State.STANDBY), (1, State.DRIVE), (2, State.CHARGE), (3, State.CONNECTED), (5, None), (7, None)],
)
def test_each_request(bench: Bench, code: int, wanted: State | None) -> None:
    bench.vcu.request["Request"] = code
    bench.say(T)
    assert wanted_state(bench.peer.readings(T))[0] == wanted


def test_a_request_to_drive_with_the_key_off_is_none(bench: Bench) -> None:
    bench.vcu.request |= {"Request": 1, "Ignition": 0}
    bench.say(T)
    assert wanted_state(bench.peer.readings(T))[0] == State.STANDBY


def test_what_the_vehicle_said_expires(bench: Bench) -> None:
    bench.vcu.request["Request"] = 1
    bench.say(T)
    assert wanted_state(bench.peer.readings(T + 0.19))[0] == State.DRIVE
    readings = bench.peer.readings(T + 0.21)
    assert wanted_state(readings)[0] is None
    said = read_inputs(readings, CrashLatch(), 0.3)
    assert {said.ignition, said.interlock, said.emergency_stop, said.wanted_state} == {UNKNOWN}
    assert "ignition STALE" in said.reason


def test_a_frame_with_a_wrong_checksum_or_a_stuck_counter_says_nothing(bench: Bench) -> None:
    bench.vcu.request["Crash"] = 1
    frame = bench.vcu.frames(T)[0]
    bench.peer.receive(frame._replace(data=frame.data[:-1] + bytes((frame.data[-1] ^ 1,))))
    assert stop_said(bench.peer.readings(T), CrashLatch()).now is False
    bench.vcu.request["Crash"] = 0
    frozen = bench.vcu.frames(T)[0]
    for step in range(60):
        bench.peer.receive(frozen._replace(monotonic_s=T + 0.02 * step))
    assert read_inputs(bench.peer.readings(T + 1.2), CrashLatch(), 0.3).ignition == UNKNOWN


def test_a_crash_that_the_next_frame_takes_back_before_anybody_looks_is_held(bench: Bench) -> None:
    latch = CrashLatch()
    for crash, at_s in ((0, T), (1, T + 0.01), (0, T + 0.02)):
        bench.vcu.request["Crash"] = crash
        bench.say(at_s)
    assert bench.peer.caught_since() == {"crash"}
    assert bench.peer.caught_since() == set(), "told once"
    readings = bench.peer.readings(T + 0.02)
    assert readings.value("crash") == 0.0
    assert stop_said(readings, latch, crash_seen=True) == (True, True)
    assert latch.latched


def test_a_crash_of_one_frame_is_held(bench: Bench) -> None:
    latch = CrashLatch()
    bench.vcu.request["Crash"] = 1
    bench.say(T)
    assert stop_said(bench.peer.readings(T), latch) == (True, True)
    bench.vcu.request["Crash"] = 0
    bench.say(T + 0.02)
    readings = bench.peer.readings(T + 0.02)
    assert stop_said(readings, latch) == (True, False)
    said = read_inputs(readings, latch, 0.3)
    assert (said.emergency_stop, said.crash_latched) == (1, True)
    assert "crash is held" in said.reason


@pytest.mark.parametrize(
    ("stop", "crash", "expected"), [(0, 0, 0), (1, 0, 1), (1, 3, 1), (3, 0, UNKNOWN), (0, 3, UNKNOWN)]
)
def test_a_stop_is_released_only_where_both_say_so(
    bench: Bench, stop: int, crash: int, expected: int
) -> None:
    bench.vcu.request |= {"Emergency_Stop": stop, "Crash": crash}
    bench.say(T)
    assert read_inputs(bench.peer.readings(T), CrashLatch(), 0.3).emergency_stop == expected


def test_random_frames_do_not_end_it(bench: Bench) -> None:
    random = np.random.default_rng(1)
    for step in range(3000):
        frame = bench.vcu.frames(T)[step % 2]
        length = int(random.integers(0, 9))
        bench.peer.receive(frame._replace(data=random.bytes(length), monotonic_s=T + 0.01 * step))
    read_inputs(bench.peer.readings(T + 30.0), CrashLatch(), 0.3)
    assert wanted_state(bench.peer.readings(T + 40.0))[0] is None


def test_every_fault_of_the_table_has_a_group() -> None:
    from openbms_core.faults import FAULT_NAMES

    groups = {name: fault_group(name) for name in FAULT_NAMES}
    assert groups["CELL_OVER_VOLTAGE"] == "cell_voltage"
    assert groups["THERMAL_RUNAWAY_ALARM"] == "runaway"
    assert groups["DRIVER_LOST"] == "system"
    assert {f"fault_{group}" for group in groups.values()} <= OUTPUT_VALUES


OWN_DBC = """VERSION ""

BS_:

BU_: BMS VCU

BO_ 2566844672 Status: 8 BMS
 SG_ Amps : 7|16@0- (0.5,100) [0|0] "A" VCU
 SG_ Percent : 23|8@0+ (0.4,0) [0|0] "%" VCU

BO_ 2566845184 Wish: 3 VCU
 SG_ Key : 0|1@1+ (1,0) [0|0] "" BMS
 SG_ Go : 9|2@0+ (1,0) [0|0] "" BMS
"""

OWN_MAP = """schema_version: 1
name: somebody_elses
device:
  dbc: vcu.dbc
  signals:
    - {to: ignition, message: Wish, signal: Key}
    - {to: wants_drive, message: Wish, signal: Go, true_when: [2]}
  commands:
    - message: Status
      period_s: 0.02
      signals:
        - {signal: Amps, source: current_a, scale: -1.0, unknown_raw: 0x7FFF}
        - {signal: Percent, source: displayed_soc, scale: 100.0}
"""


def write(folder: Path, text: str = OWN_MAP) -> str:
    (folder / "vcu.dbc").write_text(OWN_DBC)
    (folder / "map.yaml").write_text(text)
    return str(folder / "map.yaml")


def test_a_vcu_of_somebody_else_by_its_own_dbc_with_the_other_sign(tmp_path: Path) -> None:
    outputs = VehicleOutputs()
    gateway = load_vehicle(write(tmp_path))
    peer = Peer(gateway, "virtual:x", outputs.values)
    outputs.set_scan(scan(), T)
    assert peer.frames_due(T) == [], "the state of charge is unknown and has no code: nothing is sent"
    assert peer.sender.withheld == {"Status": "displayed_soc"}
    outputs.set_soc(charge(0.61), T)
    (frame,) = peer.frames_due(T + 0.02)
    assert frame.flags == 1 and frame.identifier == 2566844672 & 0x1FFFFFFF
    # -120.4 A charging is 120.4 A of discharge: (120.4 - 100) / 0.5 = 41; 60 % / 0.4 = 150
    assert frame.data == bytes((0, 41, 150, 0, 0, 0, 0, 0))
    peer.receive(frame._replace(identifier=2566845184 & 0x1FFFFFFF, data=bytes((1, 2, 0))))
    assert wanted_state(peer.readings(T + 0.02))[0] == State.DRIVE


TRUCK_DBC = """VERSION ""

BS_:

BU_: BMS VCU

BO_ 2566848529 BMS_Offer: 8 BMS
 SG_ MaxDischarge : 7|12@0+ (0.5,0) [0|2000] "A" VCU
 SG_ StateOfCharge : 11|12@0+ (0.05,0) [0|100] "%" VCU
 SG_ Alive : 51|4@0+ (1,0) [0|15] "" VCU
 SG_ Sum : 63|8@0+ (1,0) [0|255] "" VCU

BO_ 2566848530 VCU_Wish: 8 VCU
 SG_ Mode : 7|3@0+ (1,0) [0|7] "" BMS
 SG_ Key : 4|2@0+ (1,0) [0|3] "" BMS
 SG_ Airbag : 15|1@0+ (1,0) [0|1] "" BMS
 SG_ Alive : 51|4@0+ (1,0) [0|15] "" BMS
 SG_ Sum : 63|8@0+ (1,0) [0|255] "" BMS
"""
TRUCK_MAP = """schema_version: 1
name: truck
device:
  dbc: truck.dbc
  integrity:
    - {message: VCU_Wish, checksum: {signal: Sum, kind: sum}, counter: {signal: Alive, modulo: 16}}
  signals:
    - {to: wants_drive, message: VCU_Wish, signal: Mode, true_when: [5], not_available_raw: [7]}
    - {to: ignition, message: VCU_Wish, signal: Key, true_when: [2], not_available_raw: [3]}
    - {to: crash, message: VCU_Wish, signal: Airbag}
  commands:
    - message: BMS_Offer
      period_s: 0.01
      counter: {signal: Alive, modulo: 16}
      checksum: {signal: Sum, kind: sum}
      signals:
        - {signal: MaxDischarge, source: discharge_current_limit_a}
        - {signal: StateOfCharge, source: soc, scale: 100.0}
"""


def test_a_truck_with_29_bit_big_endian_frames_and_a_plain_sum(tmp_path: Path) -> None:
    (tmp_path / "truck.dbc").write_text(TRUCK_DBC)
    (tmp_path / "truck.yaml").write_text(TRUCK_MAP)
    outputs = VehicleOutputs()
    peer = Peer(load_vehicle(str(tmp_path / "truck.yaml")), "virtual:x", outputs.values)
    outputs.set_limits(limits(discharge_current_a=180.3), T)
    outputs.set_soc(charge(0.7343), T)
    for count in range(3):
        (frame,) = peer.frames_due(T + 0.01 * count)
        assert (frame.identifier, frame.flags) == (2566848529 & 0x1FFFFFFF, 1)
        # 180.0 A in halves and 73.45 % in twentieths, twelve bits each from the left
        first = (360 << 12 | 1469).to_bytes(3, "big")
        assert frame.data[:7] == first + bytes((0, 0, 0, count))
        assert frame.data[7] == sum(frame.data[:7]) & 0xFF

    def wish(mode: int, key: int, airbag: int, count: int) -> Frame:
        plain = bytes((mode << 5 | key << 3, airbag << 7, 0, 0, 0, 0, count))
        return Frame(2566848530 & 0x1FFFFFFF, plain + bytes((sum(plain) & 0xFF,)), 1, T, T)

    peer.receive(wish(5, 2, 0, 1))
    assert wanted_state(peer.readings(T))[0] == State.DRIVE
    broken = wish(0, 2, 1, 2)
    peer.receive(broken._replace(data=broken.data[:7] + bytes((broken.data[7] ^ 0x80,))))
    assert not stop_said(peer.readings(T), CrashLatch()).now, "its sum is wrong"
    peer.receive(wish(0, 2, 1, 3))
    assert stop_said(peer.readings(T), CrashLatch()).now
    peer.receive(wish(7, 3, 0, 4))
    assert wanted_state(peer.readings(T))[0] is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("to: ignition", "to: ignitoin", "takes no 'ignitoin'"),
        ("source: current_a", "source: curent_a", "which this gateway does not have"),
        ("signal: Key}", "signal: Kee}", "Did you mean 'Key'?"),
        ("message: Status", "message: State", "has no message 'State'"),
        ("dbc: vcu.dbc", "dbc: other.dbc", "no such file"),
        ("period_s: 0.02", "period: 0.02", "unknown key"),
        ("name: somebody_elses", "name: x\nsettings: {vehicle_lost_after_s: soon}", "vehicle_lost_after_s"),
        ("name: somebody_elses", "name: x\nsettings: {lost_after_s: 1.0}", "unknown key"),
        ("unknown_raw: 0x7FFF", "unknown_raw: 0xFFFF", "unknown_raw 65535 is not within -32768 to 32767"),
        ("signal: Percent,", "signal: Amps,", "Amps is filled twice"),
        ("message: Status", "message: Wish", "is read as well"),
        (
            "period_s: 0.02\n",
            "period_s: 0.02\n      counter: {signal: Percent, modulo: 512}\n",
            "does not fit in the 8 bit",
        ),
    ],
)
def test_errors_name_file_line_and_cure(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write(tmp_path, OWN_MAP.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        Peer(load_vehicle(path), "x", VehicleOutputs().values)
    assert said in str(caught.value)
    assert f"{path}:" in str(caught.value)
