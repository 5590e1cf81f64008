"""A vehicle and a charger on buses of their own: what they say and hear through every process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bms_system import NAMESPACE, BmsSystem, contactors_closed, contactors_open, fault_ids
from elcon_charger import ElconCharger
from on_bus import OnBus
from processes import wait_until
from vcu import Vcu

from openbms_core.resources import find_config
from openbms_core.types import State
from openbms_msgs.msg import ChargeCommand

PATIENCE_S = 30.0
SWITCHES = ("interlock", "emergency_stop", "ignition", "charging_plug")
DRIVE, CHARGE = 1, 2


def gateway_system(folder: Path) -> tuple[Path, Path]:
    """Write the demonstration with a vehicle and a charger: key, stop and plug come from the vehicle."""
    folder.mkdir(parents=True, exist_ok=True)
    pack = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    pack["gateway_inputs"] = list(SWITCHES)
    pack["device"]["signals"] = [e for e in pack["device"]["signals"] if e["to"] not in SWITCHES]
    (folder / "pack.yaml").write_text(yaml.safe_dump(pack, sort_keys=False))
    system = yaml.safe_load(find_config("systems", "demo").read_text(encoding="utf-8"))
    vehicle = yaml.safe_load(find_config("systems", "vehicle").read_text(encoding="utf-8"))
    system["processes"]["gateway"] = vehicle["processes"]["gateway"]
    for name in vehicle["processes"]["gateway"]["nodes"]:
        system["nodes"][name] = vehicle["nodes"][name]
    (folder / "system.yaml").write_text(yaml.safe_dump(system, sort_keys=False))
    return folder / "system.yaml", folder / "pack.yaml"


class World:
    """The system, a VCU on can1 and a charger on can2."""

    def __init__(self, folder: Path) -> None:
        system, pack = gateway_system(folder / "files")
        parameters: dict[str, dict[str, Any]] = {
            "vehicle_gateway": {
                "vehicle_channel": "can1",
                "crash_file": str(folder / "crash"),
                "real_time_priority": 0,  # the others of the demonstration have none either
            },
            "actuator_driver": {
                "actuators": ["package://openbms_drivers/devices/elcon/actuators.yaml"],
                "actuator_channels": ["can2"],
            },
        }
        self.system = BmsSystem(folder / "system", parameters, pack=str(pack), system=system)
        self.vcu, self.charger = Vcu(), ElconCharger()
        self.members: list[OnBus] = []
        node = self.system.plan.parameters["gateway"]["/**/vehicle_gateway"]["ros__parameters"]
        self._port = int(node["can_port"])

    def start(self) -> None:
        """Bring everything up; the vehicle's key is on, and it asks for nothing."""
        self.system.start("sim", "driver", "safety", "bms", "gateway")
        self.system.wait("measurement", timeout_s=60, since=0.0)
        self.members = [
            OnBus(self._port, "can1", self.vcu.frames, lambda i, data, *_: self.vcu.hear(i, data)),
            OnBus(
                self._port,
                "can2",
                lambda now_s: [self.charger.frame(now_s)],
                lambda i, data, now_s, extended: self.charger.hear(i, data, now_s, extended=extended),
                period_s=0.5,
            ),
        ]
        self.system.wait("power_limits", timeout_s=60, since=0.0)
        self.hears("Bms_State", lambda said: said["State"] == State.STANDBY)

    def hears(self, message: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the vehicle hears this."""

        def heard() -> bool:
            for member in self.members:
                if member.failure is not None:
                    raise member.failure
            return message in self.vcu.heard and condition(self.vcu.heard[message])

        try:
            wait_until(heard, PATIENCE_S, message)
        except TimeoutError as error:
            said = f"{error}: {self.vcu.heard.get(message)}\n{self.system.output()}"
            raise TimeoutError(said) from None
        return self.vcu.heard[message]

    def reach(self, request: int, state: State) -> None:
        """Let the vehicle ask for a state, anew where a busy computer made the pack miss a scan meanwhile."""
        for _ in range(4):
            self.vcu.request["Request"] = 0
            self.hears("Bms_State", lambda said: said["Request_Answer"] == 0)
            if self.vcu.heard["Bms_State"]["State"] == State.FAULT:
                self.system.clear_faults()
                continue
            self.vcu.request["Request"] = request
            self.hears(
                "Bms_State",
                lambda said: said["State"] in (state, State.FAULT) or said["Request_Answer"] in (3, 4),
            )
            with contextlib.suppress(TimeoutError):
                self.hears("Bms_State", lambda said: said["State"] == state)
                return
        self.hears("Bms_State", lambda said: said["State"] == state)

    def charges(self) -> None:
        """Wait until the charger delivers."""
        try:
            wait_until(lambda: self.charger.output_a(time.monotonic()) > 0.0, PATIENCE_S, "current")
        except TimeoutError as error:
            said = [str(self.system.last(topic)) for topic in ("actuator_feedback", "limits", "state")]
            raise TimeoutError("\n".join([str(error), *said, self.system.output()])) from None

    def close(self) -> None:
        for member in self.members:
            member.stop()
        self.system.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_vehicle_drives_falls_silent_and_crashes(world: World) -> None:
    """Its request closes, its silence opens, its crash opens and is held until the key was off and on."""
    system, vcu = world.system, world.vcu
    world.start()
    assert set(vcu.heard) == {
        "Bms_Limits", "Bms_Power", "Bms_State", "Bms_Measurement", "Bms_Energy", "Bms_Faults", "Bms_Cells",
    }  # fmt: skip
    world.reach(DRIVE, State.DRIVE)
    world.hears("Bms_State", lambda said: said["Contactors_Closed"] == 1)
    system.wait("twin_truth", contactors_closed)
    assert 300.0 < world.hears("Bms_Measurement", lambda said: True)["Voltage"] < 410.0
    assert 20.0 < world.hears("Bms_Energy", lambda said: said["Soc"] < 101.0)["Soc"] < 90.0
    world.hears("Bms_Limits", lambda said: said["Discharge_Current"] > 0 and said["Limits_Expired"] == 0)

    # it falls silent: its old request is none
    moment = time.monotonic()
    world.members[0].talks = False
    opened = system.received_at("twin_truth", contactors_open, moment)
    zero = system.received_at("state", lambda state: state.zero_current_requested, moment)
    assert zero <= opened, "zero current is asked for first"
    # it comes back with the same request: nothing closes
    world.members[0].talks = True
    world.hears("Bms_State", lambda said: said["Request_Answer"] == 4)
    system.wait("twin_truth", contactors_open)

    # what the silence left in the fault record must be cleared by a person
    wait_until(
        lambda: system.clear_faults().accepted and system.wait("state").state == State.STANDBY,
        PATIENCE_S,
        "STANDBY after clearing",
    )
    world.reach(DRIVE, State.DRIVE)
    moment = time.monotonic()
    vcu.request["Crash"] = 1
    system.wait("vehicle_inputs", lambda inputs: inputs.crash_latched, since=moment)
    vcu.request["Crash"] = 0
    system.wait("twin_truth", contactors_open, since=moment)
    system.wait(
        "faults", lambda faults: any("EMERGENCY_STOP" in one for one in fault_ids(faults)), since=moment
    )
    world.hears("Bms_State", lambda said: said["Crash_Latched"] == 1)
    assert system.wait("vehicle_inputs").emergency_stop == 1, "held after its signal has gone"
    vcu.request["Request"] = 0
    vcu.request["Ignition"] = 0
    system.wait("vehicle_inputs", lambda inputs: inputs.ignition == 0)
    vcu.request["Ignition"] = 1
    system.wait("vehicle_inputs", lambda inputs: inputs.emergency_stop == 0)

    # its interlock loop breaks, and a charging station offers 30 A
    moment = time.monotonic()
    vcu.request["Interlock"] = 0
    system.wait("faults", lambda faults: any("INTERLOCK" in one for one in fault_ids(faults)), since=moment)
    vcu.charging |= {"Plug": 1, "Pilot_Duty": 50.0}
    inputs = system.wait("vehicle_inputs", lambda inputs: inputs.charging_plug == 1)
    assert inputs.pilot_current == 30.0 and inputs.interlock == 0


def test_a_charger_obeys_state_limits_and_command_and_ends_with_the_process(world: World) -> None:
    """It charges as commanded within the limits; without command, and without the process, it stops."""
    system, vcu, charger = world.system, world.vcu, world.charger
    world.start()
    assert charger.control == 1 or charger.heard_s is None, "nobody asked for anything"
    vcu.charging["Plug"] = 1
    world.reach(CHARGE, State.CHARGE)
    publisher = system.node.create_publisher(ChargeCommand, f"{NAMESPACE}/charge_command", 10)
    command = ChargeCommand(enable=True, voltage=400.0, current=100.0, reason="test")
    command.valid_for.nanosec = 800_000_000
    timer = system.node.create_timer(0.1, lambda: publisher.publish(command))
    world.charges()
    feedback = system.wait("actuator_feedback", lambda said: said.charger_current > 0.0)
    assert feedback.reason == "limits" and feedback.charger_enabled
    largest_a = max(limits.charge_current for _, limits in system.messages["limits"])
    assert charger.current_a <= largest_a < 100.0

    system.node.destroy_timer(timer)
    wait_until(lambda: charger.control == 1, PATIENCE_S, "an old command is none")
    assert charger.output_a(time.monotonic()) == 0.0
    assert system.wait("actuator_feedback", lambda said: not said.charger_enabled).reason == "expired"

    timer = system.node.create_timer(0.1, lambda: publisher.publish(command))
    world.charges()
    system.kill("gateway")
    heard_s = charger.heard_s
    # what is on its way arrives; after it nothing comes, and the charger's own 5 s run
    wait_until(lambda: time.monotonic() - (heard_s or 0.0) > 1.5, 10.0, "a second and a half without a frame")
    assert charger.heard_s is not None and charger.heard_s - (heard_s or 0.0) < 0.5
    assert charger.output_a(charger.heard_s + 5.01) == 0.0
    system.node.destroy_timer(timer)
