"""The main job and what ends it: every sentence over the real nodes, the real bus and the twin."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bms_system import BmsSystem, contactors_closed, contactors_open, fault_ids
from processes import wait_until

from openbms_core.types import State


def test_cold_start_to_drive_and_back(system: BmsSystem) -> None:
    """From nothing to DRIVE: cells arrive, are estimated, contactors close, the vehicle is served."""
    system.drive()
    measurement = system.wait("measurement")
    assert len(measurement.cell_voltages) == 96
    assert all(2.5 < voltage < 4.25 for voltage in measurement.cell_voltages)
    assert set(measurement.cell_voltage_validity) == {0}
    soc = system.wait("soc", lambda message: message.quality in (1, 2))
    truth = system.last("twin_truth")
    errors = [abs(a - b) for a, b in zip(soc.cell_soc, truth.cell_soc, strict=True)]
    assert max(errors) < 0.10, "the rest voltage of an NMC cell tells its state of charge within 10 %"
    states = [message.state for _, message in system.messages["state"]]
    assert State.PRECHARGE in states, "closing goes through precharge"
    battery = system.wait("/battery_status")
    assert battery.present and 0.0 < battery.percentage < 1.0 and len(battery.cell_voltage) == 96
    assert system.wait("limits").discharge_current > 0
    answer = system.request("standby")
    assert answer.accepted
    system.wait("twin_truth", contactors_open)
    system.wait("state", lambda message: message.state == State.STANDBY, since=0.0)


def test_over_voltage_opens_the_contactors(system: BmsSystem) -> None:
    """One cell reads above its safety limit: zero current is asked for first, then the contactors open."""
    system.drive()
    moment = system.inject({"fault": "cell_voltage_offset", "cell": 5, "offset_v": 0.9})
    zero = system.received_at("state", lambda message: message.zero_current_requested, moment)
    opened = system.received_at("twin_truth", contactors_open, moment)
    assert zero <= opened, "zero current is requested before the contactors open"
    faults = system.wait("faults", lambda m: "CELL_OVER_VOLTAGE_SAFETY" in fault_ids(m), since=moment)
    fault = next(fault for fault in faults.faults if fault.id == "CELL_OVER_VOLTAGE_SAFETY")
    assert fault.index == 5 and fault.value > fault.limit
    system.wait("state", lambda message: message.state == State.FAULT, since=moment)
    # the value comes back: the latched fault still holds, nothing closes by itself or on request
    system.inject()
    system.wait("faults", lambda m: "CELL_OVER_VOLTAGE_SAFETY" in fault_ids(m, 2), since=moment)
    assert not system.request("drive").accepted
    assert system.clear_faults("CELL_OVER_VOLTAGE_SAFETY").accepted
    # a jump that stood for a second may have latched as well, and a moment later
    wait_until(
        lambda: system.clear_faults().accepted and system.wait("state").state == State.STANDBY,
        20,
        "STANDBY after clearing",
    )


def test_driver_killed_device_opens_and_monitor_says_so(system: BmsSystem) -> None:
    """kill -9 of the driver: the heartbeat is gone, the device opens by itself, the monitor says
    DRIVER_LOST."""
    system.drive()
    moment = system.kill("driver")
    truth = system.wait("twin_truth", contactors_open, since=moment)
    assert truth.device_trip, "the device opened by itself"
    system.wait("faults", lambda message: "DRIVER_LOST" in fault_ids(message), since=moment)
    system.wait("state", lambda message: message.state in (State.FAULT, State.OPENING), since=moment)
    # a new driver does not close anything
    system.start("driver")
    system.wait("measurement", timeout_s=15)
    assert contactors_open(system.wait("twin_truth"))


def test_monitor_killed_after_a_fault_the_record_stays(system: BmsSystem) -> None:
    """kill -9 of the monitor after a fault: at its next start it is on record and still forbids closing."""
    system.drive()
    moment = system.inject({"fault": "cell_voltage_offset", "cell": 7, "offset_v": 0.9})
    system.wait("faults", lambda m: "CELL_OVER_VOLTAGE_SAFETY" in fault_ids(m), since=moment)
    system.wait("twin_truth", contactors_open, since=moment)
    record = system.folder / "faults.json"
    wait_until(
        lambda: record.exists() and "CELL_OVER_VOLTAGE_SAFETY" in record.read_text(), 5, "record on disk"
    )
    system.kill("safety")
    system.inject()
    system.start("safety")
    restarted = system.wait("faults", lambda m: any(f.from_record for f in m.faults))
    assert "CELL_OVER_VOLTAGE_SAFETY" in fault_ids(restarted)
    state = system.wait("state", lambda m: m.start_count == 2 and m.state != State.INIT)
    assert state.state == State.FAULT, "what was latched stays latched"
    assert not system.request("drive").accepted
    assert contactors_open(system.wait("twin_truth"))


def test_monitor_killed_while_driving_opens_by_expiry(system: BmsSystem) -> None:
    """kill -9 of the monitor while driving: its commands expire; then STANDBY, its death on record."""
    system.drive()
    moment = system.kill("safety")
    opened = system.received_at("twin_truth", contactors_open, moment)
    assert opened - moment < system.plan.pack.contactors.command_valid_for_s + 1.5
    system.start("safety")
    state = system.wait("state", lambda message: message.start_count == 2 and message.state != State.INIT)
    assert state.state == State.STANDBY, (state.reason, state.explanation, system.output())
    system.wait("faults", lambda m: "MONITOR_DIED" in fault_ids(m))
    system.wait("measurement", timeout_s=5)
    assert contactors_open(system.wait("twin_truth")), "nothing closes unasked"
    system.request_until_accepted("drive")


def test_silent_bus_opens_and_is_said(system: BmsSystem) -> None:
    """Every frame stops: nothing old is shown as new, the contactors open, the bus is named as the cause."""
    system.drive()
    moment = system.inject({"fault": "silent_bus"})
    system.wait("twin_truth", contactors_open, since=moment)
    measurement = system.wait("measurement", lambda message: message.bus_state != 0, since=moment)
    assert measurement.bus_message
    later = system.wait("measurement", lambda m: all(math.isnan(v) for v in m.cell_voltages), since=moment)
    assert 0 not in set(later.cell_voltage_validity)
    system.wait("faults", lambda message: "BUS_LOST" in fault_ids(message), since=moment)


def test_estimators_killed_limp_home_contactors_stay(system: BmsSystem) -> None:
    """kill -9 of the estimators: the limits go to limp-home, nobody opens anything."""
    system.drive()
    before = system.wait("limits", lambda message: not message.limp_home)
    moment = system.kill("bms")
    limits = system.wait("limits", lambda message: message.limp_home, since=moment)
    limp_home = system.plan.pack.limits.limp_home
    assert limits.discharge_current <= limp_home.discharge_current_a + 1e-6
    assert limits.discharge_current <= before.discharge_current
    assert limits.charge_current <= limp_home.charge_current_a + 1e-6
    system.wait("faults", lambda message: "ESTIMATOR_LOST" in fault_ids(message), since=moment)
    assert contactors_closed(system.wait("twin_truth"))
    system.start("bms")
    system.wait("limits", lambda message: not message.limp_home, 15)
    assert contactors_closed(system.wait("twin_truth"))


def test_recorder_killed_bag_is_readable(system: BmsSystem) -> None:
    """kill -9 of the recorder: at its next start the bag is recovered and holds all but the last second."""
    from rosbags.highlevel import AnyReader

    from openbms_recorder.recovery import recover

    system.start("sim", "driver", "safety", "bms", "data")
    first = system.wait("measurement", timeout_s=30)
    system.wait("measurement", lambda message: message.scan_number >= first.scan_number + 50, 15)
    killed_at = system.last("measurement").scan_number
    system.kill("data")
    bags = [path.parent for path in Path(system.folder / "bags").rglob("metadata.yaml")]
    assert len(bags) == 1
    recover(bags[0])
    with AnyReader(bags) as reader:
        connections = [c for c in reader.connections if c.topic == "/bms/measurement"]
        scans = [reader.deserialize(raw, c.msgtype).scan_number for c, _, raw in reader.messages(connections)]
        assert any(connection.topic == "/bms/pack_description" for connection in reader.connections)
    assert scans == sorted(scans)
    assert scans[-1] >= killed_at - 15, "at most the last second is lost"


def test_ctrl_c_while_driving_opens_first(system: BmsSystem) -> None:
    """SIGINT to everything at once with contactors closed: zero current, open, then everybody ends
    cleanly."""
    system.drive()
    moment = time.monotonic()
    codes = system.interrupt("sim", "driver", "safety", "bms")
    assert set(codes.values()) == {0}, system.output()
    assert time.monotonic() - moment < system.plan.stop_deadline_s
    states = [(t, m) for t, m in system.messages["state"] if t >= moment]
    assert any(message.zero_current_requested for _, message in states)
    assert contactors_open(system.last("twin_truth"))
    assert "device" not in (system.last("twin_truth").device_trip or ""), (
        "the monitor opened, not the heartbeat"
    )
    assert "Traceback" not in system.output()


def test_driver_told_to_stop_while_driving_opens_first(system: BmsSystem) -> None:
    """SIGINT to the driver alone: it has the monitor open at zero current before the heartbeat ends."""
    system.drive()
    moment = time.monotonic()
    assert system.interrupt("driver") == {"driver": 0}, system.output()
    truth = system.wait("twin_truth", contactors_open, since=moment)
    states = [message for t, message in system.messages["state"] if t >= moment]
    assert any(message.zero_current_requested for message in states)
    assert not truth.device_trip, "the monitor opened, not the heartbeat"


def test_ctrl_c_in_standby_ends_within_three_seconds(system: BmsSystem) -> None:
    """SIGINT to everything at once in STANDBY."""
    names = ("sim", "driver", "safety", "bms", "data", "ui")
    system.start(*names)
    system.wait("state", lambda message: message.state == State.STANDBY, 30, since=0.0)
    system.wait("soc", since=0.0)
    moment = time.monotonic()
    codes = system.interrupt(*names)
    assert time.monotonic() - moment < 3.0
    assert set(codes.values()) == {0}, system.output()
    assert "Traceback" not in system.output()


def test_replayed_cell_over_can_is_estimated(new_system: Callable[..., Any]) -> None:
    """A recorded test of a real cell drives the frames: the estimate follows the cell's measured
    amp-hours."""
    system = new_system(twin={"source": "replay", "request_on_start": "drive"})
    system.start("sim", "driver", "safety", "bms")
    system.wait("state", lambda message: message.state == State.DRIVE, 40, since=0.0)
    truth = system.wait("twin_truth", lambda message: message.test_time > 8.0, 60)
    soc = system.wait("soc")
    assert truth.source == "replay"
    assert abs(soc.cell_soc[0] - truth.cell_soc[0]) < 0.03
    assert math.isnan(truth.cell_soc[1]), "there is no truth for the other cells, so none is given"
