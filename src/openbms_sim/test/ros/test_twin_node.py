"""The twin's node as a real process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import can
import cantools
import pytest

rclpy = pytest.importorskip("rclpy")

from processes import Process, free_domain, wait_until  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402

from openbms_core.frame_integrity import checksum  # noqa: E402
from openbms_msgs.msg import BmsState, TwinTruth  # noqa: E402
from openbms_msgs.srv import RequestState  # noqa: E402

pytestmark = pytest.mark.system


class Bench:
    """A twin in a process, and a ROS node beside it."""

    def __init__(self) -> None:
        self.domain = free_domain()
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = rclpy.create_node("bench", namespace="/bms", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.spinner = threading.Thread(target=self.executor.spin, daemon=True)
        self.spinner.start()
        self.twin: Process | None = None
        self.truth: list[Any] = []
        self.node.create_subscription(TwinTruth, "twin_truth", self.truth.append, 10)

    def start(self, **parameters: Any) -> Process:
        options = [f"{name}:={value}" for name, value in ({"can_port": 0} | parameters).items()]
        self.twin = Process(
            [
                "python",
                "-c",
                "from openbms_sim.ros.twin_node import main; main()",
                "--ros-args",
                "-r",
                "__ns:=/bms",
                *(word for option in options for word in ("-p", option)),
            ],
            {"ROS_DOMAIN_ID": str(self.domain)},
        )
        return self.twin

    def port(self) -> int:
        assert self.twin is not None
        return int(self.twin.wait_for("CAN hub (socketcand) on").rpartition(":")[2])

    def wait(self, condition: Callable[[Any], bool], timeout_s: float = 15.0) -> None:
        wait_until(lambda: bool(self.truth) and condition(self.truth[-1]), timeout_s, "that truth")

    def inject(self, text: str) -> Any:
        client = self.node.create_client(SetParameters, "twin/set_parameters")
        assert client.wait_for_service(10)
        answered = threading.Event()
        value = Parameter(name="injections", value=ParameterValue(type=4, string_value=text))
        future = client.call_async(SetParameters.Request(parameters=[value]))
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(10)
        return future.result().results[0]

    def close(self) -> None:
        if self.twin is not None:
            self.twin.__exit__()
        self.executor.shutdown()
        self.spinner.join(5)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


class Host(threading.Thread):
    """A client of the hub that commands the contactors every 100 ms until it is told to end."""

    def __init__(self, dbc: str, port: int) -> None:
        super().__init__(daemon=True)
        self.message = cantools.database.load_file(dbc).get_message_by_name("Bms_Command")
        self.bus = can.Bus(interface="socketcand", channel="can0", host="127.0.0.1", port=port)
        self.closed = True
        self.end = threading.Event()

    def run(self) -> None:
        counter = 0
        while not self.end.wait(0.1):
            while self.bus.recv(0) is not None:
                pass
            counter = (counter + 1) % 16
            values = dict.fromkeys((signal.name for signal in self.message.signals), 0)
            values |= {"Counter": counter, "ContactorPositive": self.closed, "ContactorNegative": self.closed}
            data = bytearray(self.message.encode(values))
            data[-1] = checksum("crc8_sae_j1850", bytes(data[:-1]), self.message.frame_id)
            message = can.Message(arbitration_id=self.message.frame_id, data=data, is_extended_id=False)
            try:
                self.bus.send(message)
            except OSError:  # the hub has gone
                break
        self.bus.shutdown()


def test_the_hardware_lives_on_after_sigint_until_it_is_open_and_alone(bench: Bench, dbc: str) -> None:
    twin = bench.start(source="plant", initial_soc=0.5)
    host = Host(dbc, bench.port())
    host.start()
    bench.wait(lambda truth: list(truth.contactors) == [1, 1, 0])
    truth = bench.truth[-1]
    assert truth.source == "plant" and len(truth.cell_soc) == 96
    assert all(0.45 < soc < 0.55 for soc in truth.cell_soc)
    twin.signal(signal.SIGINT)
    since = len(bench.truth)
    wait_until(lambda: len(bench.truth) > since + 8, 10, "the twin goes on after SIGINT")
    assert list(bench.truth[-1].contactors) == [1, 1, 0]
    host.closed = False
    bench.wait(lambda truth: list(truth.contactors) == [0, 0, 0])
    host.end.set()
    assert twin.wait(10) == 0
    assert "Traceback" not in twin.output and bench.truth[-1].device_trip == ""


def test_it_ends_at_its_deadline_whoever_stays(bench: Bench, dbc: str) -> None:
    twin = bench.start(stop_deadline_s=1.0)
    host = Host(dbc, bench.port())
    host.start()
    bench.wait(lambda truth: list(truth.contactors) == [1, 1, 0])
    moment = time.monotonic()
    twin.signal(signal.SIGTERM)
    assert twin.wait(10) == 0
    assert 0.8 < time.monotonic() - moment < 6.0
    host.end.set()


def test_injections_at_run_time_and_bad_text_is_refused(bench: Bench, dbc: str) -> None:
    bench.start()
    host = Host(dbc, bench.port())
    host.start()
    bench.wait(lambda truth: list(truth.contactors) == [1, 1, 0])
    refused = bench.inject("[{fault: nonsense}]")
    assert not refused.successful and "must be one of" in refused.reason
    assert bench.inject('[{"fault": "emergency_stop"}]').successful
    bench.wait(
        lambda truth: truth.device_trip == "emergency stop pressed" and list(truth.contactors) == [0, 0, 0]
    )
    host.end.set()


def test_scaled_time_is_published(bench: Bench) -> None:
    clocks: list[tuple[float, float]] = []
    bench.node.create_subscription(
        Clock,
        "/clock",
        lambda message: clocks.append((time.monotonic(), message.clock.sec + message.clock.nanosec * 1e-9)),
        100,
    )
    bench.start(time_scale=20.0)
    wait_until(lambda: len(clocks) > 200, 20, "the clock")
    (start, first), (end, last) = clocks[50], clocks[-1]
    assert (last - first) / (end - start) == pytest.approx(20.0, rel=0.25)
    steps = {round(b[1] - a[1], 6) for a, b in pairwise(clocks[50:])}
    assert min(steps) == pytest.approx(0.2, abs=1e-4)
    bench.wait(lambda truth: abs(truth.header.stamp.sec - clocks[-1][1]) < 30)


def test_the_key_asks_until_the_state_is_reached_once(bench: Bench) -> None:
    asked: list[Any] = []

    def answer(request: Any, response: Any) -> Any:
        asked.append((request.state, request.requester))
        response.accepted, response.reason = True, "test"
        return response

    bench.node.create_service(RequestState, "request_state", answer)
    publisher = bench.node.create_publisher(BmsState, "state", 10)
    twin = bench.start(request_on_start="drive")
    state = BmsState(state=BmsState.INIT)
    state.valid_for.sec = 1
    bench.node.create_timer(0.1, lambda: publisher.publish(state))
    bench.wait(lambda _: len(bench.truth) > 10)
    assert asked == []
    state.state = BmsState.STANDBY
    twin.wait_for("the request of the key was accepted")
    bench.wait(lambda _: len(asked) >= 2)
    state.state = BmsState.DRIVE
    since = len(bench.truth)
    bench.wait(lambda _: len(bench.truth) > since + 10)
    # opened again, by whomever: nothing closes unasked
    state.state, so_far = BmsState.STANDBY, len(asked)
    since = len(bench.truth)
    bench.wait(lambda _: len(bench.truth) > since + 20)
    assert asked == [(BmsState.DRIVE, "twin: key")] * so_far


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"source": "magic"}, "source is 'magic'"),
        ({"injections": "'[{fault: x}]'"}, "injections[0]: fault must be one of"),
        ({"can_host": "0.0.0.0"}, "loopback"),
        ({"pack": "nonsense"}, "no such file"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_and_exit_code_2(
    bench: Bench, parameters: dict[str, str], said: str
) -> None:
    twin = bench.start(**parameters)
    assert twin.wait(20) == 2
    assert said in twin.output and "Traceback" not in twin.output
