"""The rack twin's node as a real process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import can
import pytest

rclpy = pytest.importorskip("rclpy")

from processes import Process, free_domain, wait_until  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from openbms_msgs.msg import TwinTruth  # noqa: E402

pytestmark = pytest.mark.system
NAMES = ("left", "right")


class Bench:
    """A rack twin in a process, and a ROS node beside it."""

    def __init__(self) -> None:
        self.domain = free_domain()
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = rclpy.create_node("bench", namespace="/bms", context=self.context)
        self.truth: dict[str, list[Any]] = {name: [] for name in NAMES}
        for name, heard in self.truth.items():
            self.node.create_subscription(TwinTruth, f"{name}/twin_truth", heard.append, 10)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.spinner = threading.Thread(target=self.executor.spin, daemon=True)
        self.spinner.start()
        self.process: Process | None = None

    def start(self, **parameters: str) -> Process:
        usual = {
            "packs": "[rack_string]",
            "names": f"[{', '.join(NAMES)}]",
            "channels": "[can0, can1]",
            "can_port": "0",
        }
        options = [f"{name}:={value}" for name, value in (usual | parameters).items()]
        self.process = Process(
            [
                "python",
                "-c",
                "from openbms_sim.ros.rack_twin_node import main; main()",
                "--ros-args",
                "-r",
                "__ns:=/bms",
                *(word for option in options for word in ("-p", option)),
            ],
            {"ROS_DOMAIN_ID": str(self.domain)},
        )
        return self.process

    def soc(self, name: str) -> float:
        cells = self.truth[name][-1].cell_soc if self.truth[name] else [-1.0]
        return sum(cells) / len(cells)

    def inject(self, text: str) -> Any:
        client = self.node.create_client(SetParameters, "rack_twin/set_parameters")
        assert client.wait_for_service(10)
        answered = threading.Event()
        value = Parameter(name="injections", value=ParameterValue(type=4, string_value=text))
        future = client.call_async(SetParameters.Request(parameters=[value]))
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(10)
        return future.result().results[0]

    def close(self) -> None:
        if self.process is not None:
            self.process.__exit__()
        self.executor.shutdown()
        self.spinner.join(5)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_each_pack_has_its_truth_and_its_channel(bench: Bench) -> None:
    rack = bench.start(initial_soc="[0.9, 0.4]")
    port = int(rack.wait_for("CAN hub (socketcand) on").rpartition(":")[2])
    wait_until(
        lambda: abs(bench.soc("left") - 0.9) < 0.02 and abs(bench.soc("right") - 0.4) < 0.02, 15, "both"
    )
    for channel in ("can0", "can1"):
        with can.Bus(interface="socketcand", channel=channel, host="127.0.0.1", port=port) as bus:
            assert bus.recv(5) is not None
    refused = bench.inject("[{fault: condition, pack: middle, soc: 0.7}]")
    assert not refused.successful and "there is no pack 'middle'; there are left, right" in refused.reason
    assert bench.inject("[{fault: condition, pack: right, soc: 0.7}]").successful
    wait_until(lambda: abs(bench.soc("right") - 0.7) < 0.02, 10, "the new condition")
    assert abs(bench.soc("left") - 0.9) < 0.02
    assert rack.interrupt() == 0 and "Traceback" not in rack.output


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"channels": "[can0, can0]"}, "each pack needs a channel of its own"),
        ({"channels": "[can0]"}, "names has 2 entries, packs 2, channels 1"),
        ({"packs": "[nissan_leaf_62kwh]"}, "the twin speaks only as 'openbms_cmu'"),
        ({"initial_soc": "[1.5]"}, "initial_soc is 1.5"),
    ],
)
def test_a_wrong_parameter_of_a_rack_is_one_sentence(
    bench: Bench, parameters: dict[str, str], said: str
) -> None:
    rack = bench.start(**parameters)
    assert rack.wait(20) == 2
    assert said in rack.output and "Traceback" not in rack.output
