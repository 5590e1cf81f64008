"""Actuators frame by frame: an Elcon charger, our own frames, somebody else's, and who does not obey."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pytest
from actuation_words import command, limits, status, thermal
from elcon_charger import REQUEST, ElconCharger
from vcu import crc8_j1850, with_id

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack
from openbms_core.resources import find_resource
from openbms_drivers.actuators.actuator_file import load_actuators
from openbms_drivers.actuators.control import ActuatorControl
from openbms_drivers.actuators.feedback import joined
from openbms_drivers.actuators.unit import ActuatorUnit
from openbms_drivers.frame import EXTENDED, Frame

T = 500.0
ELCON = "package://openbms_drivers/devices/elcon/actuators.yaml"
OWN = "package://openbms_drivers/devices/actuators/actuators.yaml"


class Bench:
    """A unit, what it is told, and the clock."""

    def __init__(self, pack: LoadedPack, reference: str) -> None:
        self.control = ActuatorControl(pack.file)
        self.unit = ActuatorUnit(load_actuators(reference), "virtual:x", self.control)
        self.now_s = T

    def renew(self, **values: Any) -> None:
        self.control.set_state(values.get("state", status()), self.now_s)
        self.control.set_limits(values.get("limits", limits()), self.now_s)
        self.control.set_charge(values.get("charge", command()), self.now_s)
        self.control.set_thermal(values.get("thermal", thermal()), self.now_s)

    def sent(self) -> list[Frame]:
        return self.unit.peer.frames_due(self.now_s)


class ChargerBench(Bench):
    def __init__(self, pack: LoadedPack) -> None:
        super().__init__(pack, ELCON)
        self.charger = ElconCharger()
        self._said_s = -math.inf

    def run(self, seconds: float, *, renewed: bool = True, heard: bool = True, **values: Any) -> None:
        """Run both, in steps of 10 ms."""
        for _ in range(round(seconds / 0.01)):
            self.now_s += 0.01
            if renewed:
                self.renew(**values)
            for frame in self.sent():
                self.charger.hear(
                    frame.identifier, frame.data, self.now_s, extended=bool(frame.flags & EXTENDED)
                )
            if heard and self.now_s - self._said_s >= 1.0:
                self._said_s = self.now_s
                self.unit.peer.receive(self.charger.frame(self.now_s))
            self.unit.report(self.now_s)

    def problems(self) -> list[str]:
        return [problem.text for problem in self.unit.report(self.now_s).problems]


@pytest.fixture
def elcon(demo_pack: LoadedPack) -> ChargerBench:
    return ChargerBench(demo_pack)


def test_the_request_of_the_makers_table(elcon: ChargerBench) -> None:
    """The maker's own example: 98 V and 16 A are 03D4 00A0."""
    elcon.renew(charge=command(voltage_v=98.0, current_a=16.0), limits=limits(charge_current_a=20.0))
    (frame,) = elcon.sent()
    assert frame.identifier == 0x1806E5F4 and frame.flags == EXTENDED
    assert frame.data == bytes.fromhex("03D4 00A0 0000 0000")


def test_a_stop_says_stop_since_a_frame_of_zeros_would_let_it_charge(elcon: ChargerBench) -> None:
    (frame,) = elcon.sent()
    assert frame.data == bytes.fromhex("0000 0000 0100 0000")


def test_a_frame_every_second_and_a_stop_at_once(elcon: ChargerBench) -> None:
    elcon.run(10.0)
    assert elcon.charger.requests == pytest.approx(10, abs=1)
    assert elcon.charger.output_a(elcon.now_s) == pytest.approx(3.0)
    before = elcon.charger.requests
    elcon.run(0.06, state=status(zero_current_requested=True))
    assert elcon.charger.requests == before + 1, "not at the end of its second"
    assert elcon.charger.output_a(elcon.now_s) == 0.0


def test_a_limit_that_falls_is_sent_at_once_one_that_rises_with_the_period(elcon: ChargerBench) -> None:
    elcon.run(1.5)
    elcon.run(0.06, limits=limits(charge_current_a=1.0))
    assert elcon.charger.current_a == pytest.approx(1.0)
    elcon.run(0.3)
    assert elcon.charger.current_a == pytest.approx(1.0)
    elcon.run(0.8)
    assert elcon.charger.current_a == pytest.approx(3.0)


@pytest.mark.parametrize("limit_a", [2.999, 2.95, 0.15, 1e-3])
def test_what_is_sent_is_never_above_the_limit(elcon: ChargerBench, limit_a: float) -> None:
    elcon.run(0.1, limits=limits(charge_current_a=limit_a))
    assert limit_a - 0.1 < elcon.charger.current_a <= limit_a


def test_stale_commands_and_stale_limits_stop_it(elcon: ChargerBench) -> None:
    for kept in ("charge", "limits", "state"):
        elcon.run(1.5)
        assert elcon.charger.output_a(elcon.now_s) > 0.0
        for _ in range(110):
            elcon.now_s += 0.01
            for name, value in (("charge", command()), ("limits", limits()), ("state", status())):
                if name != kept:
                    getattr(elcon.control, f"set_{name}")(value, elcon.now_s)
            for frame in elcon.sent():
                elcon.charger.hear(frame.identifier, frame.data, elcon.now_s)
        assert elcon.charger.output_a(elcon.now_s) == 0.0, f"{kept} was not renewed"


def test_without_frames_it_stops_by_itself(elcon: ChargerBench) -> None:
    elcon.run(2.0)
    assert elcon.charger.output_a(elcon.now_s + 4.0) > 0.0
    assert elcon.charger.output_a(elcon.now_s + 5.1) == 0.0


def test_what_it_reports(elcon: ChargerBench) -> None:
    elcon.run(3.0)
    report = elcon.unit.report(elcon.now_s)
    assert (report.charger_voltage_v, report.charger_current_a) == (pytest.approx(350.0), pytest.approx(3.0))
    assert elcon.problems() == []
    feedback = joined([report], 0.5)
    assert feedback.charger_enabled and feedback.charger_current_commanded_a == pytest.approx(3.0)
    assert feedback.reason == "charge_command"


def test_a_charger_that_falls_silent_is_said(elcon: ChargerBench) -> None:
    elcon.run(3.0)
    elcon.run(12.0, heard=False)
    report = elcon.unit.report(elcon.now_s)
    assert math.isnan(report.charger_current_a), "an old value is none"
    assert elcon.problems() == ["The charger is not heard."]


def test_a_charger_that_does_not_stop_is_said(elcon: ChargerBench) -> None:
    elcon.run(3.0)
    elcon.charger.stuck_a = 3.0
    elcon.run(4.0, charge=command(enable=False))
    assert elcon.problems() == [], "it may need some seconds"
    elcon.run(5.0, charge=command(enable=False))
    (problem,) = elcon.unit.report(elcon.now_s).problems
    assert problem.severe and "delivers 3.0 A though it is told 0.0 A" in problem.text


@pytest.mark.parametrize(
    ("bits", "named"),
    [
        (0x01, "hardware failure"),
        (0x02, "over temperature"),
        (0x04, "wrong mains voltage"),
        (0x08, "no battery seen"),
    ],
)
def test_each_failure_that_it_reports_stops_it_and_is_named(
    elcon: ChargerBench, bits: int, named: str
) -> None:
    elcon.run(2.0)
    elcon.charger.status = bits
    elcon.run(2.0)
    assert elcon.charger.output_a(elcon.now_s) == 0.0
    assert elcon.problems() == [f"The charger reports {named}."]
    elcon.charger.status = 0
    elcon.run(3.0)
    assert elcon.charger.output_a(elcon.now_s) > 0.0, "it has gone"


def test_the_last_frame_says_stop(elcon: ChargerBench) -> None:
    elcon.run(2.0)
    (frame,) = elcon.unit.farewell(elcon.now_s)
    assert frame.data == bytes.fromhex("0000 0000 0100 0000")


# ---- heater, pump, fan, chiller


class Devices:
    """What is on the other end of our own frames: cantools and a checksum of its own."""

    def __init__(self) -> None:
        path = find_resource(OWN.replace("actuators.yaml", "actuators.dbc"), Path("x"))
        self.database = cantools.database.load_file(path)
        self.count = 0

    def read(self, frame: Frame) -> dict[str, Any]:
        assert crc8_j1850(frame.data[:7] + with_id(frame.identifier)) == frame.data[7]
        return dict(
            self.database.get_message_by_frame_id(frame.identifier).decode(frame.data, decode_choices=False)
        )

    def say(self, name: str, now_s: float, **values: float) -> Frame:
        self.count += 1
        message = self.database.get_message_by_name(name)
        empty = {signal.name: 0 for signal in message.signals}
        data = bytearray(
            message.encode({**empty, **values, "Counter": self.count % 16}, strict=False, padding=False)
        )
        data[7] = crc8_j1850(bytes(data[:7]) + with_id(message.frame_id))
        return Frame(message.frame_id, bytes(data), 0, now_s, now_s)


@pytest.fixture
def own(demo_pack: LoadedPack) -> Bench:
    return Bench(demo_pack, OWN)


def test_duties_on_the_bus(own: Bench) -> None:
    devices = Devices()
    (frame,) = own.sent()
    first = devices.read(frame)
    assert (first["Heater_Duty"], first["Pump_Duty"], first["Fan_Duty"], first["Chiller_Duty"]) == (
        0.0, 100.0, 100.0, 0.0,
    ), "nobody commands: the safe values of the pack file"  # fmt: skip
    assert (first["Heater_On"], first["Pump_On"]) == (0, 1)
    own.now_s += 0.1
    own.renew()
    (frame,) = own.sent()
    told = devices.read(frame)
    assert (told["Heater_Duty"], told["Pump_Duty"], told["Fan_Duty"], told["Chiller_Duty"]) == (
        60.0, 30.0, 20.0, 10.0,
    )  # fmt: skip
    assert told["Counter"] == (first["Counter"] + 1) % 16


def test_feedback_in_parts_of_full_scale(own: Bench) -> None:
    devices = Devices()
    own.renew()
    for name, values in (
        ("Heater_Status", {"Duty": 55.0, "Power": 2_000.0}),
        ("Pump_Status", {"Speed": 1_500.0}),
        ("Fan_Status", {"Speed": 3_000.0}),
        ("Chiller_Status", {"Running": 1, "Power": 800.0}),
    ):
        own.unit.peer.receive(devices.say(name, own.now_s, **values))
    feedback = joined([own.unit.report(own.now_s)], 0.5)
    assert feedback.names == ["heater", "pump", "fan", "chiller"]
    np.testing.assert_allclose(feedback.commanded, [0.6, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(feedback.feedback, [0.55, 0.3, 1.0, 0.1], atol=1e-3)
    assert feedback.auxiliary_power_w == pytest.approx(2_800.0)
    assert np.isnan(joined([own.unit.report(own.now_s + 1.0)], 0.5).feedback).all(), "old ones are none"


CASES = [
    ("stuck on", {"Duty": 80.0}, {"heater": 0.0}, "it does not stop", True),
    ("does not obey", {"Duty": 0.0}, {"heater": 0.8}, "it does not obey", False),
    ("fault", {"Duty": 60.0, "Fault": 1}, {}, "reports a failure", False),
    ("unknown", {"Duty": 127.5}, {}, "not heard", False),
    ("obeys", {"Duty": 60.0}, {}, "", False),
]


@pytest.mark.parametrize(("name", "said", "told", "expected", "severe"), CASES, ids=[c[0] for c in CASES])
def test_who_does_not_obey_is_said_after_its_time(
    own: Bench, name: str, said: dict[str, float], told: dict[str, float], expected: str, severe: bool
) -> None:
    devices = Devices()
    found: list[tuple[float, Any]] = []
    for step in range(50):
        own.now_s = T + 0.1 * step
        own.renew(thermal=thermal(**{"pump": 0.0, "fan": 0.0, "chiller": 0.0, **told}))
        own.unit.peer.receive(devices.say("Heater_Status", own.now_s, **said))
        for quiet in ("Pump_Status", "Fan_Status", "Chiller_Status"):
            own.unit.peer.receive(devices.say(quiet, own.now_s))
        found += [(own.now_s - T, problem) for problem in own.unit.report(own.now_s).problems]
    if not expected:
        assert found == []
        return
    assert all(expected in problem.text and problem.severe is severe for _, problem in found), found
    assert found
    assert found[0][0] == pytest.approx(0.0 if name == "fault" else 3.0, abs=0.2)


# ---- somebody else's frames

FOREIGN_DBC = """VERSION ""

BS_:

BU_: BMS ACT

BO_ 2566848512 Cooling: 4 BMS
 SG_ Rpm : 7|16@0+ (0.5,0) [0|0] "1/min" ACT
 SG_ Valve : 16|1@1+ (1,0) [0|0] "" ACT

BO_ 2566848513 Cooling_State: 2 ACT
 SG_ Turning : 0|1@1+ (1,0) [0|0] "" BMS
"""
FOREIGN_MAP = """schema_version: 1
name: coolers
actuators: {pump: {}, fan_1: {}, fan_2: {}}
device:
  dbc: coolers.dbc
  signals:
    - {to: pump_running, message: Cooling_State, signal: Turning}
  commands:
    - message: Cooling
      period_s: 0.1
      signals:
        - {signal: Rpm, source: pump, scale: 4800.0}
        - {signal: Valve, source: fan_1_on}
        - {signal: Valve2, source: fan_2_on}
"""


def write(folder: Path, text: str) -> str:
    (folder / "coolers.dbc").write_text(
        FOREIGN_DBC.replace(" SG_ Valve :", ' SG_ Valve2 : 17|1@1+ (1,0) [0|0] "" ACT\n SG_ Valve :')
    )
    (folder / "coolers.yaml").write_text(text)
    return str(folder / "coolers.yaml")


def test_rpm_and_switches_by_another_dbc(demo_pack: LoadedPack, tmp_path: Path) -> None:
    bench = Bench(demo_pack, write(tmp_path, FOREIGN_MAP))
    bench.renew(thermal=thermal(pump=0.25, fan=0.4))
    (frame,) = bench.sent()
    assert frame.identifier == 2566848512 & 0x1FFFFFFF and frame.flags == EXTENDED
    assert frame.data == (2 * 1200).to_bytes(2, "big") + bytes((3, 0))
    state = Frame(2566848513 & 0x1FFFFFFF, b"\x01\x00", EXTENDED, bench.now_s)
    bench.unit.peer.receive(state)
    assert bench.unit.report(bench.now_s).feedback[0] == 0.25, "it runs, so it runs as it was told"
    bench.renew(thermal=thermal(pump=0.0))
    assert bench.unit.report(bench.now_s).feedback[0] == 1.0, "it runs though it should not"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("fan_2: {}", "blower: {}", "begins with one of heater, pump, fan, chiller"),
        ("        - {signal: Valve2, source: fan_2_on}\n", "", "cannot be told anything"),
        ("source: fan_1_on", "source: fan_3_on", "does not have"),
        ("to: pump_running", "to: pomp_running", "takes no 'pomp_running'"),
        ("actuators: {pump: {}, fan_1: {}, fan_2: {}}\n", "", "neither an actuator nor a charger"),
        ("pump: {}", "pump: {tolerance: 0.0}", "tolerance"),
        ("pump: {}", "pump: {tolerances: 0.1}", "Did you mean 'tolerance'?"),
        ("name: coolers\n", "name: coolers\ncharger: {}\n", "nothing holds it to the pack's limits"),
    ],
)
def test_errors_name_file_line_and_cure(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in FOREIGN_MAP
    path = write(tmp_path, FOREIGN_MAP.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_actuators(path)
    assert said in str(caught.value)
    assert f"{path}:" in str(caught.value)


def test_two_chargers_share_one_limit(demo_pack: LoadedPack, tmp_path: Path) -> None:
    shipped = find_resource(ELCON, Path("x"))
    text = shipped.read_text(encoding="utf-8")
    block = text[text.index("    - message: Charge_Request") :]
    second = block.replace("Charge_Request", "Charge_Request_2")
    dbc = shipped.with_name("elcon.dbc").read_text(encoding="utf-8")
    start = dbc.index("BO_ 2550588916")
    request = dbc[start : dbc.index("BO_ 2566869221")]
    other = request.replace("2550588916", str(0x1806E7F4 | 1 << 31)).replace(
        "Charge_Request", "Charge_Request_2"
    )
    (tmp_path / "elcon.dbc").write_text(dbc.replace(request, request + other))
    path = tmp_path / "two.yaml"
    text = text.replace("package://openbms_drivers/devices/elcon/elcon.dbc", "elcon.dbc") + second
    path.write_text(text)
    with pytest.raises(ConfigError, match="Give count: 2"):
        load_actuators(str(path))
    path.write_text(text.replace("\ncharger:\n", "\ncharger:\n  count: 2\n"))
    bench = Bench(demo_pack, str(path))
    bench.renew()
    frames = {frame.identifier: frame.data for frame in bench.sent()}
    assert frames[REQUEST][2:4] == frames[0x1806E7F4][2:4] == bytes((0, 15)), "1.5 A each of 3 A"
