"""The nodes with real ROS 2: what they publish, in which order, what they serve, how they end."""

from __future__ import annotations

import json
import time
import uuid

import pytest
import yaml

rclpy = pytest.importorskip("rclpy")

from rclpy.parameter import Parameter  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from rclpy.task import Future  # noqa: E402

from openbms_control.ros.battery_state_node import BatteryStateNode  # noqa: E402
from openbms_control.ros.safety_monitor_node import SafetyMonitorNode  # noqa: E402
from openbms_core.config_file import ConfigError  # noqa: E402
from openbms_core.ros.convert import measurement_to_msg, power_limits_to_msg  # noqa: E402
from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402
from openbms_core.types import State  # noqa: E402
from openbms_msgs.msg import PackDescription  # noqa: E402
from openbms_msgs.srv import ClearFaults, RequestState  # noqa: E402


class Bench:
    """The nodes under test, and a node that plays driver and estimator."""

    def __init__(self, kit, folder):
        self.rig = kit.rig()  # makes the scans; its own monitor is not used
        self.pack_file = folder / "small.yaml"
        self.pack_file.write_text(yaml.safe_dump(json.loads(json.dumps(kit.SMALL))))
        self.kit, self.record = kit, folder / "state" / "faults.json"
        # tests that run side by side, or a message of the test before, must not be heard here
        self.namespace = f"/test_{uuid.uuid4().hex[:8]}"
        rclpy.init()
        self.executor = make_executor()
        self.driver = rclpy.create_node("stand_in", namespace=self.namespace)
        self.executor.add_node(self.driver)
        self.nodes, self.log, self.last = [], [], {}
        self.publishers = {
            name: self._publisher(name) for name in ("measurement", "power_limits", "pack_description")
        }
        for name in ("limits", "state", "contactor_command", "faults", "battery_state", "/battery_status"):
            row = topic_row(name)
            self.driver.create_subscription(
                interface_type(row.type),
                name,
                lambda message, name=name: self._heard(name, message),
                qos_profile(row),
            )
        self.requests = self.driver.create_client(RequestState, "request_state")
        self.clearing = self.driver.create_client(ClearFaults, "clear_faults")
        self.driver.create_timer(0.1, self._scan)
        self.scanning = True

    def _publisher(self, name):
        row = topic_row(name)
        return self.driver.create_publisher(interface_type(row.type), name, qos_profile(row))

    def _heard(self, name, message):
        self.log.append((name, message))
        self.last[name] = message

    def _scan(self):
        if not self.scanning:
            return
        rig = self.rig
        rig.scan, rig.stamp_s = rig.scan + 1, self.driver.get_clock().now().nanoseconds * 1e-9
        command = self.last.get("contactor_command")
        if command is not None:
            rig.feedback = [command.positive[0], command.negative[0], command.precharge[0]]
            if command.precharge[0]:
                rig.values["link_v"] = 14.8
        m = rig.measurement()
        self.publishers["measurement"].publish(measurement_to_msg(m, "TEST-1"))
        self.publishers["power_limits"].publish(power_limits_to_msg(self.kit.power_limits(), "TEST-1"))

    def start(self, kind, **parameters):
        parameters = {"pack": str(self.pack_file)} | parameters
        if kind is SafetyMonitorNode:
            parameters = {"record_file": str(self.record)} | parameters
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = kind(namespace=self.namespace, parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        node.start()
        return node

    def until(self, condition, within_s=10.0):
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, {
                name: str(message)[:300] for name, message in self.last.items()
            }
            self.executor.spin_until_future_complete(Future(), timeout_sec=0.02)

    def until_state(self, state, within_s=10.0):
        self.until(lambda: "state" in self.last and self.last["state"].state == state, within_s)

    def call(self, client, request):
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def request(self, state):
        return self.call(self.requests, RequestState.Request(state=int(state), requester="test"))

    def close(self):
        self.until_state(State.STANDBY)
        answer = self.request(State.DRIVE)
        assert answer.accepted, answer.reason
        self.until_state(State.DRIVE)

    def end(self):
        for node in self.nodes:
            node.stop()
            node.destroy_node()
        self.driver.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def bench(kit, tmp_path):
    bench = Bench(kit, tmp_path)
    yield bench
    bench.end()


def test_from_start_to_drive_to_a_fault_and_back(bench):
    bench.start(SafetyMonitorNode)
    bench.close()
    assert bench.last["limits"].discharge_current == 18.0
    assert list(bench.last["contactor_command"].positive) == [1]
    assert bench.last["state"].contactors_closed and bench.last["state"].start_count == 1
    bench.rig.values |= {"cells_v": [4.3, 3.7, 3.7, 3.7], "current_a": 6.0}
    bench.log.clear()
    bench.until_state(State.FAULT)
    bench.until(lambda: "CELL_OVER_VOLTAGE_SAFETY" in {fault.id for fault in bench.last["faults"].faults})
    messages = bench.log
    zero = next(n for n, (name, m) in enumerate(messages) if name == "limits" and m.charge_current == 0.0)
    asked = next(n for n, (name, m) in enumerate(messages) if name == "state" and m.zero_current_requested)
    opened = next(
        n for n, (name, m) in enumerate(messages) if name == "contactor_command" and m.positive[0] == 0
    )
    assert zero < opened and asked < opened
    assert not bench.request(State.DRIVE).accepted
    bench.rig.values |= {"cells_v": 3.7, "current_a": 0.0}
    latched = {
        "CELL_OVER_VOLTAGE_SAFETY",
        "OPENED_UNDER_LOAD",
    }  # 6 A are more than the contactors should break
    bench.until(lambda: {f.id for f in bench.last["faults"].faults if f.state == 2} == latched)
    answer = bench.call(bench.clearing, ClearFaults.Request(requester="test"))
    assert list(answer.cleared) == ["CELL_OVER_VOLTAGE_SAFETY"]
    assert list(answer.refused) == ["OPENED_UNDER_LOAD"] and "by its name only" in answer.reason
    bench.until_state(State.STANDBY)
    assert bench.request(State.PRECHARGE).accepted is False
    assert json.loads(bench.record.read_text())["start_count"] == 1


@pytest.mark.parametrize(
    "cause", [{"cells_v": [4.3, 3.7, 3.7, 3.7], "current_a": 6.0}, {"emergency_stop": 1}]
)
def test_the_command_goes_out_first_but_behind_the_request_for_zero_current_where_it_opens(bench, cause):
    node = bench.start(SafetyMonitorNode)
    sent = []
    for name in ("limits", "state", "command"):
        publisher = getattr(node, f"_{name}")
        publish = publisher.publish
        kind = publisher.msg_type
        publisher.publish = lambda m, name=name, publish=publish, kind=kind: (
            sent.append((name, deserialize_message(m, kind) if isinstance(m, bytes) else m)), publish(m)
        )  # fmt: skip
    bench.close()
    bench.rig.values |= cause
    bench.until_state(State.FAULT)
    decisions = [sent[n : n + 3] for n in range(0, len(sent) - 2, 3)]
    closed = False
    opening = None
    for decision in decisions:
        said = dict(decision)
        now_closed = bool(said["command"].positive[0])
        order = [name for name, _ in decision]
        if closed and not now_closed and opening is None:
            opening = said
            assert order == ["limits", "state", "command"]
        elif opening is None:
            assert order == ["command", "state", "limits"]
        closed = now_closed
    assert opening is not None
    asked = next(said for said in map(dict, decisions) if said["state"].zero_current_requested)
    assert asked["limits"].charge_current == asked["limits"].discharge_current == 0.0
    position = {id(message): n for n, (_, message) in enumerate(sent)}
    opened = position[id(opening["command"])]
    assert max(position[id(asked["state"])], position[id(asked["limits"])]) < opened


def test_a_monitor_that_may_not_close_grants_nothing(bench):
    bench.start(SafetyMonitorNode, may_close=False)
    bench.until_state(State.STANDBY)
    for target in (State.DRIVE, State.CHARGE, State.CONNECTED):
        answer = bench.request(target)
        assert not answer.accepted and "may_close" in answer.reason and answer.state == State.STANDBY
    assert bench.request(State.STANDBY).accepted
    assert all(not any(m.positive) for name, m in bench.log if name == "contactor_command")


def test_a_silent_driver_opens(bench):
    bench.start(SafetyMonitorNode)
    bench.close()
    bench.scanning = False
    silent_s = time.monotonic()
    bench.until(lambda: bench.last["contactor_command"].positive[0] == 0)
    assert time.monotonic() - silent_s < 1.5
    assert bench.last["state"].reason == "fault:DRIVER_LOST"


def test_deactivation_with_closed_contactors_opens_first_and_a_restart_begins_anew(bench):
    node = bench.start(SafetyMonitorNode)
    bench.close()
    bench.log.clear()
    node.trigger_deactivate()
    bench.until(lambda: not node.acting)
    states = [m.state for name, m in bench.log if name == "state"]
    assert State.OPENING in states and states[-1] == State.STANDBY
    assert not bench.request(State.DRIVE).accepted
    assert "not active" in bench.call(bench.clearing, ClearFaults.Request()).reason
    bench.last.clear()
    node.trigger_activate()
    bench.until_state(State.STANDBY)
    assert bench.last["state"].start_count == 2


def test_an_unreadable_record_and_one_that_cannot_be_written(bench):
    bench.record.parent.mkdir()
    bench.record.write_text("{")
    node = bench.start(SafetyMonitorNode)
    bench.until(lambda: "faults" in bench.last and any(f.state == 2 for f in bench.last["faults"].faults))
    assert bench.last["faults"].faults[0].id == "FAULT_RECORD_CORRUPT"
    blocked = bench.record.parent / "file"
    blocked.write_text("")
    node.record_path = blocked / "faults.json"
    bench.call(bench.clearing, ClearFaults.Request(requester="test"))
    bench.until(lambda: "FAULT_RECORD_NOT_WRITTEN" in {fault.id for fault in bench.last["faults"].faults})
    blocked.unlink()
    bench.until(lambda: not bench.last["faults"].faults)
    assert node.record_path.is_file()


def test_simulated_time_is_refused_on_a_real_bus(bench):
    with pytest.raises(ConfigError, match="use_sim_time is refused"):
        bench.start(SafetyMonitorNode, use_sim_time=True)


def test_a_pack_that_would_react_too_slowly_is_refused(bench):
    data = yaml.safe_load(bench.pack_file.read_text())
    data["faults"] = {"CELL_OVER_VOLTAGE": {"debounce_s": 9.0}}
    bench.pack_file.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match=r"small.yaml:\d+: faults.CELL_OVER_VOLTAGE: .*fault-tolerant time"):
        bench.start(SafetyMonitorNode)


def test_the_record_lies_in_the_state_folder_of_the_user(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    bench.start(SafetyMonitorNode, record_file="")
    path = tmp_path / "xdg" / "openbms" / "TEST-1" / "faults.json"
    bench.until(path.exists)


def test_battery_state_on_all_three_topics(bench):
    monitor = bench.start(SafetyMonitorNode)
    bench.start(BatteryStateNode)
    bench.publishers["pack_description"].publish(
        PackDescription(
            serial="TEST-1", chemistry="lfp", string_count=1, rated_capacity=3.0,
            temperature_sensor_locations=[0, 0, 0, 2], cell_temperature_sensor=[0, 0, 1, 1],
            config_hash=monitor.pack.config_hash,
        )
    )  # fmt: skip
    bench.until(
        lambda: "battery_state" in bench.last and bench.last["battery_state"].power_supply_technology == 4
    )
    bench.until(lambda: bench.last["battery_state"].power_supply_status == 3)
    message = bench.last["battery_state"]
    assert message.voltage == pytest.approx(14.8) and message.current == 0.0 and message.present
    assert message.design_capacity == 3.0 and message.percentage != message.percentage
    assert (
        message.location == bench.namespace.strip("/")
        and message.serial_number == message.header.frame_id == "TEST-1"
    )
    assert len(message.cell_voltage) == len(message.cell_temperature) == 4
    assert message.power_supply_health == 1
    bench.until(lambda: "/battery_status" in bench.last)
    bench.scanning = False
    bench.until(lambda: not bench.last["battery_state"].present)
    message = bench.last["battery_state"]
    assert message.voltage != message.voltage and message.power_supply_status == 0


def test_the_global_topics_can_be_left_to_the_aggregator(bench):
    node = bench.start(BatteryStateNode, publish_global=False)
    bench.until(lambda: "battery_state" in bench.last)
    topics = {publisher.topic_name for publisher in node.publishers}
    assert f"{bench.namespace}/battery_state" in topics and not topics & {"/battery_state", "/battery_status"}
