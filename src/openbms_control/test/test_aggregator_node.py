"""The aggregator with real ROS 2 and the real safety monitors of two packs on one simulated bus."""

from __future__ import annotations

import copy
import json
import time
import uuid

import pytest
import yaml

rclpy = pytest.importorskip("rclpy")

from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402

from openbms_control.ros.pack_aggregator_node import PackAggregatorNode  # noqa: E402
from openbms_control.ros.safety_monitor_node import SafetyMonitorNode  # noqa: E402
from openbms_core.config_file import ConfigError  # noqa: E402
from openbms_core.ros.convert import measurement_to_msg, power_limits_to_msg  # noqa: E402
from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402
from openbms_core.types import State  # noqa: E402
from openbms_msgs.srv import ClearFaults, RequestState  # noqa: E402

HEARD = ("limits", "state", "measurement", "soc", "faults", "battery_state")


class Rack:
    """Two packs: drivers played by the test, safety monitors and aggregator as they are."""

    def __init__(self, kit, folder, volts):
        data = copy.deepcopy(kit.SMALL)
        self.pack_file = folder / "small.yaml"
        self.pack_file.write_text(yaml.safe_dump(json.loads(json.dumps(data))))
        self.kit, self.folder = kit, folder
        self.namespace = f"/rack_{uuid.uuid4().hex[:8]}"
        rclpy.init()
        self.executor = make_executor()
        self.test = rclpy.create_node("test", namespace=self.namespace)
        self.executor.add_node(self.test)
        self.nodes, self.last, self.states = [], {}, []
        self.names = [f"p{n}" for n in range(len(volts))]
        self.rigs = {name: kit.rig() for name in self.names}
        self.current_a = dict.fromkeys(self.names, 0.0)
        self.driven = set(self.names)
        for name, cell_v in zip(self.names, volts, strict=True):
            self.rigs[name].values["cells_v"] = cell_v
        self.publishers = {
            (name, topic): self._publisher(f"{name}/{topic}", topic)
            for name in self.names
            for topic in ("measurement", "power_limits")
        }
        for topic in HEARD:
            self._listen(topic, topic)
        for name in self.names:
            for topic in ("contactor_command", "state", "limits"):
                self._listen(f"{name}/{topic}", topic)
        self.requests = self.test.create_client(RequestState, "request_state")
        self.clearing = self.test.create_client(ClearFaults, "clear_faults")
        self.test.create_timer(0.1, self._scan)

    def _publisher(self, name, topic):
        row = topic_row(topic)
        return self.test.create_publisher(interface_type(row.type), name, qos_profile(row))

    def _listen(self, name, topic):
        row = topic_row(topic)
        self.test.create_subscription(
            interface_type(row.type), name, lambda message: self._heard(name, message), qos_profile(row)
        )

    def _heard(self, name, message):
        self.last[name] = message
        if name.endswith("/state"):
            self.states.append((name, int(message.state)))

    def _scan(self):
        """Play the drivers, and the bus that closed packs hold up."""
        closed = {}
        for name, rig in self.rigs.items():
            command = self.last.get(f"{name}/contactor_command")
            if command is not None:
                rig.feedback = [command.positive[0], command.negative[0], command.precharge[0]]
                if (command.positive[0] or command.precharge[0]) and command.negative[0]:
                    closed[name] = 4 * rig.values["cells_v"]
        held = [v for name, v in closed.items() if self.rigs[name].feedback[0]] or list(closed.values())
        bus_v = sum(held) / len(held) if held else 0.0
        for name in self.driven:
            rig = self.rigs[name]
            rig.scan, rig.stamp_s = rig.scan + 1, self.test.get_clock().now().nanoseconds * 1e-9
            on = rig.feedback is not None and rig.feedback[0] and rig.feedback[1]
            rig.values["link_v"], rig.values["current_a"] = bus_v, self.current_a[name] if on else 0.0
            self.publishers[name, "measurement"].publish(measurement_to_msg(rig.measurement(), "TEST"))
            self.publishers[name, "power_limits"].publish(
                power_limits_to_msg(self.kit.power_limits(), "TEST")
            )

    def start_monitor(self, name):
        overrides = {
            "pack": f"{self.pack_file}#{name.upper()}",
            "record_file": str(self.folder / f"{name}.json"),
        }
        return self._start(SafetyMonitorNode, f"{self.namespace}/{name}", overrides)

    def start(self, **parameters):
        for name in self.names:
            self.start_monitor(name)
        given = {
            "packs": [f"{self.pack_file}#{name.upper()}" for name in self.names],
            "names": self.names,
            "global_topics": [""],
            "join_settle_s": 0.2,
        }
        return self._start(PackAggregatorNode, self.namespace, given | parameters)

    def _start(self, kind, namespace, parameters):
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        # as node_group does it for several nodes of one class in one process
        node = kind(cli_args=["--ros-args", "-r", f"__ns:={namespace}"], parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        node.start()
        return node

    def until(self, condition, within_s=15.0):
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, {
                k: str(v)[:400] for k, v in self.last.items() if "/" not in k
            }
            self.executor.spin_until_future_complete(Future(), timeout_sec=0.02)

    def until_state(self, state, *names):
        for name in names or ("state",):
            key = name if name == "state" else f"{name}/state"
            self.until(lambda key=key: key in self.last and self.last[key].state == state)

    def call(self, client, request):
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def request(self, state):
        return self.call(self.requests, RequestState.Request(state=int(state), requester="test"))

    def end(self):
        for node in self.nodes:
            node.stop()
            node.destroy_node()
        self.test.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def rack(kit, tmp_path):
    made = []

    def make(*volts):
        made.append(Rack(kit, tmp_path, volts))
        return made[0]

    yield make
    made[0].end()


def up(rack):
    rack.start()
    rack.until_state(State.STANDBY, "state", "p0", "p1")
    answer = rack.request(State.DRIVE)
    assert answer.accepted, answer.reason
    rack.until_state(State.DRIVE, "p0", "p1")
    return rack


def test_up_in_order_and_down(rack):
    rack = up(rack(3.70, 3.75))
    closing = [name for name, state in rack.states if state == State.PRECHARGE]
    assert closing[0] == "p1/state", "the higher one charges the link"
    rack.until(lambda: rack.last["limits"].discharge_current > 18.5)  # more than one pack has
    rack.current_a |= {"p0": -2.0, "p1": -4.0}
    rack.until(lambda: sum(rack.last["measurement"].string_currents) == -6.0)
    rack.until(lambda: rack.last["battery_state"].current == -6.0)
    assert rack.last["battery_state"].voltage == pytest.approx(14.9, abs=0.11)
    rack.current_a |= {"p0": 0.0, "p1": 0.0}
    assert rack.request(State.STANDBY).accepted
    rack.until_state(State.STANDBY, "p0", "p1", "state")
    assert rack.last["limits"].discharge_current == 0.0


def test_a_lost_driver_derates_and_its_pack_comes_back(rack):
    rack = up(rack(3.75, 3.75))
    rack.driven.discard("p0")  # its driver is gone: its monitor opens it, the other one carries on
    rack.until_state(State.FAULT, "p0")
    rack.until(lambda: 0.0 < rack.last["limits"].discharge_current <= 18.0)
    assert rack.last["state"].state == State.DRIVE and rack.last["state"].contactors_closed
    assert not rack.last["state"].zero_current_requested
    assert rack.last["p1/state"].state == State.DRIVE
    rack.until(lambda: rack.last["faults"].highest_level == 1)  # for the whole it is a warning
    rack.until(lambda: any(text.startswith("p0 is not") for text in rack.last["state"].inhibit_texts))
    rack.driven.add("p0")  # it comes back, and joins by itself
    rack.until_state(State.DRIVE, "p0")
    assert rack.last["p1/state"].state == State.DRIVE


def test_a_pack_that_does_not_fit_waits(rack):
    rack = rack(3.5, 4.0)
    rack.start()
    rack.until_state(State.STANDBY, "p0", "p1")
    assert rack.request(State.DRIVE).accepted
    rack.until_state(State.DRIVE, "p1")
    rack.until(lambda: any("V off the bus" in text for text in rack.last["state"].inhibit_texts))
    assert rack.last["p0/state"].state == State.STANDBY
    rack.rigs["p1"].values["cells_v"] = 3.55  # discharged
    rack.until_state(State.DRIVE, "p0")


def test_faults_are_cleared_in_every_pack(rack):
    rack = rack(3.7, 3.7)
    rack.start()
    rack.until_state(State.STANDBY, "p0", "p1")
    rack.rigs["p1"].values["interlock"] = 0
    rack.until(
        lambda: "faults" in rack.last and any("p1" in f.explanation for f in rack.last["faults"].faults)
    )
    rack.rigs["p1"].values["interlock"] = 1
    answer = rack.call(rack.clearing, ClearFaults.Request(requester="test", ids=[]))
    assert answer.accepted and "p0, p1" in answer.reason
    rack.until(lambda: not [f for f in rack.last["faults"].faults if f.state > 0])


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"names": ["p0"]}, "2 pack files .* and 1 namespaces"),
        ({"connection": "both"}, "give parallel or series"),
        ({"connection": "series"}, "only one pack may have a precharge"),
        ({"period_s": 0.5}, "limits would expire"),
        ({"share_margin": -1.0}, "give 0 or more"),
    ],
)
def test_refused(rack, parameters, said):
    with pytest.raises(ConfigError, match=said):
        rack(3.7, 3.7).start(**parameters)
