"""The whole system for scenarios: real nodes in real processes on a real CAN bus, and a listener in the test.

A scenario reads as a sentence::

    system.start("sim", "driver", "safety", "bms")
    system.request("drive")
    system.wait("state", lambda state: state.state == State.DRIVE)
    system.inject({"fault": "cell_voltage_offset", "cell": 5, "offset_v": 0.3})
    system.wait("twin_truth", contactors_open)
"""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
import yaml
from processes import Process, free_domain
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

import openbms_core.ros  # noqa: F401 - before any message
from openbms_bringup.plan import Choices, Plan, make_plan, simulated_records
from openbms_bringup.system import load_system
from openbms_core.ros.interfaces import interface_type, listening
from openbms_core.topics import TOPICS, absolute_name
from openbms_core.types import State
from openbms_msgs.srv import ClearFaults, RequestState

__all__ = ["BmsSystem", "contactors_closed", "contactors_open", "fault_ids"]

NAMESPACE = "/bms"
REQUESTS = {"standby": 1, "drive": 3, "charge": 4, "connected": 5}


def contactors_open(truth: Any) -> bool:
    """Tell whether every contactor of the twin is really open."""
    return not any(truth.contactors)


def contactors_closed(truth: Any) -> bool:
    """Tell whether the main contactors of the twin are really closed."""
    return len(truth.contactors) >= 3 and truth.contactors[0] == truth.contactors[1] == 1


def fault_ids(message: Any, *states: int) -> set[str]:
    """Give the identifiers of the faults in ``states`` (default: active or latched)."""
    return {fault.id for fault in message.faults if fault.state in (states or (1, 2))}


class BmsSystem:
    """Processes of a system file and a node that hears everything.

    Parameters
    ----------
    folder : Path
        Parameter files, fault record, bags and logs of this system.
    parameters : dict, optional
        Further node parameters, by node name.
    pack : str, optional
        In place of the system's.
    system : str or Path
        With the nodes of the demonstration, and perhaps more. Of several packs each one's topics are heard as
        ``<pack>/<topic>``.
    """

    def __init__(
        self,
        folder: Path,
        parameters: dict[str, dict[str, Any]] | None = None,
        pack: str | None = None,
        system: str | Path = "demo",
    ) -> None:
        self.folder = folder
        self.domain = free_domain()
        self.processes: dict[str, Process] = {}
        merged: dict[str, dict[str, Any]] = {
            "twin": {"source": "plant", "request_on_start": "none", "initial_soc": 0.6, "ambient_degc": 25.0},
            "safety_monitor": {"record_file": str(folder / "faults.json")},
            "soc_estimator": {"state_file": str(folder / "soc.json")},
            "soh_estimator": {"state_file": str(folder / "soh.json")},
            "recorder": {"directory": str(folder / "bags")},
            "foxglove_server": {"port": 0},
        }
        file = load_system(system)[1]
        if file.packs:
            merged = {
                node: values for node, values in merged.items() if node in ("recorder", "foxglove_server")
            }
            merged |= simulated_records(file, folder)
        for node, values in (parameters or {}).items():
            merged.setdefault(node, {}).update(values)
        self.plan: Plan = make_plan(Choices(system=system, pack=pack, node_parameters=merged))
        self.files = self.plan.write_parameters(folder / "parameters")
        self.messages: dict[str, list[Any]] = defaultdict(list)
        self._new = threading.Condition()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=self.domain)
        self.node = rclpy.create_node("scenario", namespace=NAMESPACE, context=self._context)
        for topic in TOPICS:
            for one in ("", *file.packs) if not topic.name.startswith("/") else ("",):
                self.node.create_subscription(
                    interface_type(topic.type),
                    absolute_name(topic, f"{NAMESPACE}/{one}"),
                    lambda message, name=f"{one}/{topic.name}" if one else topic.name: self._received(
                        name, message
                    ),
                    listening(topic),
                )
        self._clients: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._spinning = threading.Thread(target=self._executor.spin, daemon=True)
        self._spinning.start()

    def _received(self, name: str, message: Any) -> None:
        with self._new:
            self.messages[name].append((time.monotonic(), message))
            self._new.notify_all()

    # ---- processes ----

    def start(self, *names: str) -> None:
        """Start processes of the system file, in the order given."""
        for name in names:
            command = [
                "python",
                "-m",
                "openbms_bringup.ros.node_group",
                *self.plan.arguments(name),
                "--ros-args",
                "-r",
                f"__ns:={NAMESPACE}",
                "--params-file",
                str(self.files[name]),
            ]
            self.processes[name] = Process(
                command, {"ROS_DOMAIN_ID": str(self.domain), "ROS_LOG_DIR": str(self.folder / "log")}
            )

    def kill(self, name: str) -> float:
        """End a process with SIGKILL; give the moment."""
        process = self.processes.pop(name)
        moment = time.monotonic()
        process.signal(signal.SIGKILL)
        process.wait(5)
        process.__exit__()
        return moment

    def interrupt(self, *names: str) -> dict[str, int]:
        """Send SIGINT to processes at once, as Ctrl-C does; give their exit codes."""
        for name in names:
            self.processes[name].signal(signal.SIGINT)
        return {name: self.processes[name].wait(15) for name in names}

    # ---- what the system says ----

    def last(self, topic: str) -> Any | None:
        """Give the last message of a topic."""
        with self._new:
            return self.messages[topic][-1][1] if self.messages[topic] else None

    def wait(
        self,
        topic: str,
        condition: Callable[[Any], bool] = lambda _: True,
        timeout_s: float = 20.0,
        since: float | None = None,
    ) -> Any:
        """Wait for a message (received after ``since``, default now) that fulfils the condition; give it.

        Raises
        ------
        AssertionError
            None came in time; the message says what came instead, and what the processes printed.
        """
        since = time.monotonic() if since is None else since
        deadline = time.monotonic() + timeout_s
        with self._new:
            seen = 0
            while True:
                for received, message in self.messages[topic][seen:]:
                    seen += 1
                    if received >= since and condition(message):
                        return message
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._new.wait(left)
        last = self.last(topic)
        state, faults = self.last("state"), self.last("faults")
        raise AssertionError(
            f"no message on {topic} within {timeout_s} s that fulfils the condition; "
            f"last one:\n{str(last)[:1500]}\n"
            f"state: {State(state.state).name if state else None} {state.reason if state else ''}"
            f" {state.explanation if state else ''}\n"
            f"faults: {sorted(fault_ids(faults, 0, 1, 2)) if faults else None}\n{self.output()}"
        )

    def received_at(self, topic: str, condition: Callable[[Any], bool], since: float) -> float:
        """Give the moment in which the first message after ``since`` that fulfils the condition was
        received."""
        self.wait(topic, condition, since=since)
        with self._new:
            return next(t for t, message in self.messages[topic] if t >= since and condition(message))

    def output(self) -> str:
        """Give the end of what each process printed."""
        return "\n".join(
            f"--- {name} ({'runs' if p.process.poll() is None else f'ended with {p.process.poll()}'})\n"
            + "\n".join(p.lines[-15:])
            for name, p in self.processes.items()
        )

    # ---- what a person or a vehicle does ----

    def _call(self, kind: Any, name: str, request: Any, timeout_s: float = 10.0) -> Any:
        # kept: to destroy a client while another thread waits on it crashes rclpy
        client = self._clients.get(name) or self.node.create_client(kind, name)
        self._clients[name] = client
        assert client.wait_for_service(timeout_s), f"no service {name}\n{self.output()}"
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(timeout_s), f"no answer from {name}\n{self.output()}"
        return future.result()

    def request(self, state: str) -> Any:
        """Ask the monitor for a state; give its answer."""
        request = RequestState.Request(state=REQUESTS[state], requester="scenario")
        return self._call(RequestState, f"{NAMESPACE}/request_state", request)

    def request_until_accepted(self, state: str, timeout_s: float = 15.0) -> None:
        """Ask after each new state until the monitor grants it: readiness comes with the measurements."""
        deadline = time.monotonic() + timeout_s
        while not (answer := self.request(state)).accepted:
            assert time.monotonic() < deadline, (answer.reason, self.output())
            self.wait("state")

    def clear_faults(self, *ids: str) -> Any:
        """Ask the monitor to clear faults; give its answer."""
        request = ClearFaults.Request(requester="scenario", ids=list(ids))
        return self._call(ClearFaults, f"{NAMESPACE}/clear_faults", request)

    def inject(self, *injections: dict[str, Any]) -> float:
        """Put these faults (and only these) into the twin; give the moment."""
        parameter = Parameter("injections", value=yaml.safe_dump(list(injections)))
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg()])
        answer = self._call(SetParameters, f"{NAMESPACE}/twin/set_parameters", request)
        assert answer.results[0].successful, answer.results[0].reason
        return time.monotonic()

    def drive(self) -> None:
        """Bring everything up to closed contactors in DRIVE."""
        self.start("sim", "driver", "safety", "bms")
        self.wait("state", lambda message: message.state == State.STANDBY, 30, since=0.0)
        # a drive that begins before the estimators are up begins in limp-home, which ends it
        self.wait("power_limits", timeout_s=60, since=0.0)
        self.request_until_accepted("drive")
        self.wait("state", lambda message: message.state == State.DRIVE, 20, since=0.0)
        self.wait("twin_truth", contactors_closed)

    def close(self) -> None:
        """End everything, without asking."""
        for process in self.processes.values():
            process.__exit__()
        self._executor.shutdown()
        self._spinning.join(5)
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
        for path in Path("/dev/shm").glob("fastrtps_*"):
            # kill -9 leaks the shared memory of Fast DDS; a segment nobody maps any more is of no use
            if not _mapped(path):
                path.unlink(missing_ok=True)


def _mapped(path: Path) -> bool:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(path) in maps.read_text():
                return True
        except OSError:
            continue
    return False
