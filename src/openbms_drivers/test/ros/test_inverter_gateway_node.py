"""The inverter gateway on a virtual bus with a pretended inverter; the messages are those of the topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

from lv_battery import charge, health, limits, measurement, status  # noqa: E402
from lv_inverter import LvInverter  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from openbms_core.config_file import ConfigError  # noqa: E402
from openbms_core.ros import convert  # noqa: E402
from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402
from openbms_core.types import State  # noqa: E402
from openbms_drivers.ros.inverter_gateway_node import InverterGatewayNode  # noqa: E402
from openbms_msgs.msg import FaultArray  # noqa: E402
from openbms_msgs.srv import RequestState  # noqa: E402

BASE = {
    "pack": "home_16s_lfp",
    "can_interface": "virtual",
    "can_channel": "pack",
    "rise_s": 0.1,
    "hold_s": 0.0,
}


class Bench:
    """The node, an inverter on its bus, and everything that the node listens to."""

    def __init__(self, tmp_path: Path, document: str, **given: Any) -> None:
        rclpy.init()
        channel = f"inverter {tmp_path.name}"
        given = BASE | {"inverter_channel": channel, "profile": document} | given
        given.setdefault("state_file", str(tmp_path / "inverter.json"))
        self.node = InverterGatewayNode(
            namespace="/bms",
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
        self.inverter = LvInverter(document, interface="virtual", channel=channel)
        self.probe = rclpy.create_node("probe", namespace="/bms")
        names = ("limits", "state", "measurement", "soc", "soh", "faults")
        self.publish = {
            name: self.probe.create_publisher(
                interface_type(topic_row(name).type), name, qos_profile(topic_row(name))
            )
            for name in names
        }
        self.asked: list[Any] = []
        self.probe.create_service(RequestState, "request_state", self._asked)
        self.values: dict[str, Any] = {
            "limits": limits(40.0, 80.0), "state": status(), "measurement": measurement(), "soc": charge(),
            "soh": health(),
        }  # fmt: skip
        self.executor = make_executor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.probe)

    def _asked(self, request: Any, response: Any) -> Any:
        self.asked.append(request.state)
        response.accepted = True
        return response

    def say(self) -> None:
        header = Header()
        for name, write in (("limits", convert.limits_to_msg), ("state", convert.state_to_msg)):
            if name in self.values:
                self.publish[name].publish(write(self.values[name], header))
        for name, write in (
            ("measurement", convert.measurement_to_msg), ("soc", convert.state_of_charge_to_msg),
            ("soh", convert.state_of_health_to_msg),
        ):  # fmt: skip
            if name in self.values:
                self.publish[name].publish(write(self.values[name], "HOME-2026-0001"))
        self.publish["faults"].publish(FaultArray())

    def until(self, done: Callable[[], bool], timeout_s: float = 20.0) -> None:
        end_s = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < end_s, (self.inverter.told(), self.node._status.message)
            self.say()
            self.executor.spin_until_future_complete(Future(), timeout_sec=0.05)

    def close(self) -> None:
        self.node.stop()
        self.inverter.close()
        self.node.destroy_node()
        self.probe.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(document: str, **given: Any) -> Bench:
        made.append(Bench(tmp_path, document, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_topics_become_frames_and_limits_expire(bench: Callable[..., Bench]) -> None:
    one = bench("victron")
    one.node.start()
    told = one.inverter.told
    one.until(lambda: told().get("ccl_a") == pytest.approx(40.0) and "capacity_ah" in told())
    assert told()["dcl_a"] == pytest.approx(80.0) and told()["voltage_v"] == pytest.approx(53.12)
    assert told()["soc_pct"] == 65 and told()["soh_pct"] == 98 and told()["capacity_ah"] == 100
    assert told()["cvl_v"] == pytest.approx(56.0)
    del one.values["limits"]
    gone_s = time.monotonic()
    one.until(lambda: told(gone_s).get("ccl_a") == 0.0 and told(gone_s)["dcl_a"] == 0.0)
    assert time.monotonic() - gone_s < 3.0, "they say that they count half a second"
    one.values["limits"] = limits(30.0, 60.0)
    one.until(lambda: told(time.monotonic() - 1.0).get("ccl_a") == pytest.approx(30.0))
    # nonsense renews nothing, and ends nothing
    one.publish["measurement"].publish(interface_type(topic_row("measurement").type)())
    one.until(lambda: bool(one.node._status.values))
    values = {item.key: item.value for item in one.node._status.values}
    assert values["situation"] == "connected" and int(values["inverter_frames"]) > 0


def test_it_asks_for_connected_once_the_inverter_is_heard_and_ends_in_order(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    one = bench("pylontech_v1_2", connect=True)
    one.inverter.alive = False
    one.values["state"] = status(State.STANDBY)
    one.node.start()
    one.until(lambda: "ccl_a" in one.inverter.told())
    assert one.asked == [], "there is no inverter yet"
    one.inverter.alive = True
    one.until(lambda: one.asked == [int(State.CONNECTED)])
    one.values["state"] = status(State.CONNECTED)
    one.until(lambda: one.inverter.told().get("dcl_a") == pytest.approx(80.0))
    one.node.request_stop()  # as SIGINT does: 27 A flow
    stop_s = time.monotonic()
    one.until(
        lambda: (
            not one.node.is_wound_down()  # asked in each turn of the process, which begins the end
            and one.inverter.told(stop_s).get("dcl_a") == 0.0
            and time.monotonic() - stop_s > 2.5
        )
    )
    one.values["measurement"] = measurement(current_a=-0.2)
    one.until(one.node.is_wound_down)
    one.node.stop()
    last_s = one.inverter.last_frame_s()
    one.executor.spin_until_future_complete(Future(), timeout_sec=1.2)
    assert one.inverter.last_frame_s() <= last_s + 0.1, "then the frames stop"
    assert (tmp_path / "inverter.json").exists(), "the day of the last full charge is kept"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"profile": "fronius"}, "profile 'fronius': there is none"),
        ({"inverter_channel": "pack"}, "the battery's own bus"),
        ({"can_interface": "serial", "can_channel": "/dev/ttyUSB0"}, "inverter_interface, such as socketcan"),
        ({"on_inverter_lost": "stop"}, "must be 'say' or 'zero'"),
        ({"rise_s": -1.0}, "rise_s is -1"),
        ({"charge_voltage_v": 70.0}, "above 57.6 V"),
        ({"pack": "demo_96s_nmc"}, "profile 'Pylontech V1.2' takes 20 to 63 V"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    rclpy.init()
    values = BASE | {"profile": "pylontech_v1_2", "inverter_channel": "refused"} | given
    node = InverterGatewayNode(
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
    )
    try:
        with pytest.raises(ConfigError, match=sentence):
            node.start()
    finally:
        node.stop()
        node.destroy_node()
        rclpy.shutdown()
