"""A running system as seen from outside: its topics, its services, its parameters."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
import yaml
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter

import openbms_core.ros  # noqa: F401 - before any message
from openbms_bringup.inject.outcome import Trace
from openbms_core.config_file import ConfigError
from openbms_core.ros.interfaces import interface_type, listening, qos_profile, topic_row
from openbms_core.types import State
from openbms_msgs.srv import ClearFaults, RequestState

__all__ = ["RemoteSystem"]

_WAIT_S = 5.0
_DEPTH = 50
_ANSWER_S, _TRIES = 2.5, 3
_KEPT_S = 300.0
_REQUESTS = {"standby": 1, "drive": 3, "charge": 4, "connected": 5}


class RemoteSystem:
    """Listens to a system and steers it, by topics and services alone.

    Parameters
    ----------
    namespace : str
        Namespace of the pack.
    domain : int
        ROS domain.
    """

    def __init__(self, namespace: str = "bms", domain: int = 0) -> None:
        self.namespace, self.domain = namespace.strip("/"), domain
        self._new = threading.Condition()
        self._faults: list[tuple[float, Any]] = []
        self._states: list[tuple[float, Any]] = []
        self._truths: list[tuple[float, Any]] = []
        self._clients: dict[str, Any] = {}
        self._publishers: dict[str, Any] = {}
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node(
            "fault_injector", namespace=f"/{self.namespace}", context=self._context, enable_rosout=False
        )
        self._description: Any = None
        for name, kept in (("faults", self._faults), ("state", self._states), ("twin_truth", self._truths)):
            self._listen(name, lambda message, kept=kept: self._keep(kept, message))
        self._listen("pack_description", self._describe)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._spinning = threading.Thread(target=self._spin, daemon=True)
        self._spinning.start()

    def _listen(self, name: str, callback: Callable[[Any], None]) -> None:
        row = topic_row(name)
        quality = listening(row)
        quality.depth = max(quality.depth, _DEPTH)  # a fault that comes and goes at once counts as well
        self.node.create_subscription(interface_type(row.type), name, callback, quality)

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _keep(self, kept: list[tuple[float, Any]], message: Any) -> None:
        now = time.monotonic()
        with self._new:
            kept.append((now, message))
            if kept[0][0] < now - 2.0 * _KEPT_S:
                del kept[: next(i for i, (t, _) in enumerate(kept) if t >= now - _KEPT_S)]
            self._new.notify_all()

    def _describe(self, message: Any) -> None:
        if self._description is None:
            self._description = message

    def close(self) -> None:
        """End listening."""
        self._executor.shutdown()
        self._spinning.join(5)
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    # ---- what it says ----

    clock = ""
    """Where the processes take ROS time from; empty: not known."""

    def forget_faults(self) -> None:
        """Forget what was heard of faults: who said it is gone."""
        with self._new:
            self._faults.clear()

    def wait_news(self, timeout_s: float) -> None:
        """Wait for the next message of any kind, or for this time."""
        with self._new:
            self._new.wait(max(0.0, timeout_s))

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition on what was heard is true; False when the time is over first."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0.0:
                return False
            self.wait_news(min(left, 0.2))
        return True

    def _newest(self, kept: list[tuple[float, Any]], since: float = -math.inf) -> Any | None:
        with self._new:
            return kept[-1][1] if kept and kept[-1][0] >= since else None

    def state(self, since: float = -math.inf) -> str:
        """Give the name of the newest state heard since a time; empty: none."""
        message = self._newest(self._states, since)
        return State(message.state).name.lower() if message is not None else ""

    @property
    def explanation(self) -> str:
        """Why it is in that state."""
        message = self._newest(self._states)
        return message.explanation if message is not None else "nothing is heard of it"

    def fault_states(self) -> dict[str, int]:
        """Give the newest faults, by identifier: 0 pending, 1 active, 2 latched."""
        message = self._newest(self._faults)
        return {fault.id: fault.state for fault in message.faults} if message is not None else {}

    def truth(self, since: float = -math.inf) -> Any | None:
        """Give the newest truth of the twin heard since a time."""
        return self._newest(self._truths, since)

    def trace(self, onset_s: float) -> Trace:
        """Give what was said and done, in times since a monotonic time."""
        with self._new:
            return Trace(
                faults=[
                    (t - onset_s, {fault.id: fault.state for fault in message.faults})
                    for t, message in self._faults
                ],
                states=[
                    (t - onset_s, State(message.state).name.lower(), bool(message.zero_current_requested))
                    for t, message in self._states
                ],
                contacts=[
                    (t - onset_s, tuple(message.contactors), message.device_trip)
                    for t, message in self._truths
                ],
                reasons=[(t - onset_s, message.reason) for t, message in self._states],
            )

    def core_above_s(self, degc: float, since_s: float) -> float | None:
        """Give when the core of some cell was really this hot, after a monotonic time."""
        with self._new:
            return next(
                (
                    t
                    for t, message in self._truths
                    if t >= since_s and max(message.cell_core_temperature, default=-math.inf) >= degc
                ),
                None,
            )

    # ---- what is asked of it ----

    def _call(self, kind: Any, name: str, request: Any, who: str) -> Any:
        client = self._clients.get(name) or self.node.create_client(kind, name)
        self._clients[name] = client
        if not client.wait_for_service(_WAIT_S):
            raise ConfigError(
                f"no {who} answers at {client.srv_name} within {_WAIT_S:g} s. Is a system with the digital "
                "twin running (openbms run, or ros2 launch openbms_bringup sim.launch.py), with the same "
                "ROS_DOMAIN_ID and --namespace?"
            )
        # a node that was just started again may be known before its answers find the way back: each request
        # may be made twice
        for _ in range(_TRIES):
            answered = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, event=answered: event.set())
            if answered.wait(_ANSWER_S):
                return future.result()
            # the old one is left alone: to destroy it while the executor waits on it would end that
            client = self._clients[name] = self.node.create_client(kind, name)
            client.wait_for_service(_WAIT_S)
        raise ConfigError(f"the {who} did not answer {client.srv_name} within {_TRIES * _ANSWER_S:g} s.")

    def request(self, state: str, requester: str = "fault injection") -> tuple[bool, str]:
        """Ask the monitor for a state; give whether it is granted, and what it says."""
        request = RequestState.Request(state=_REQUESTS[state], requester=requester)
        answer = self._call(RequestState, f"/{self.namespace}/request_state", request, "safety monitor")
        return bool(answer.accepted), str(answer.reason)

    def clear_faults(self, ids: Sequence[str] = ()) -> list[str]:
        """Ask the monitor to clear faults (none named: all that can be); give those that it cleared."""
        request = ClearFaults.Request(requester="fault injection", ids=list(ids))
        answer = self._call(ClearFaults, f"/{self.namespace}/clear_faults", request, "safety monitor")
        return list(answer.cleared)

    def parameter(self, node: str, name: str) -> Any:
        """Give the value of a node's parameter; None where it has none of this name."""
        request = GetParameters.Request(names=[name])
        answer = self._call(
            GetParameters, f"/{self.namespace}/{node}/get_parameters", request, f"node {node}"
        )
        value = answer.values[0] if answer.values else None
        if value is None or value.type == ParameterType.PARAMETER_NOT_SET:
            return None
        return {
            ParameterType.PARAMETER_BOOL: lambda: value.bool_value,
            ParameterType.PARAMETER_INTEGER: lambda: value.integer_value,
            ParameterType.PARAMETER_DOUBLE: lambda: value.double_value,
            ParameterType.PARAMETER_STRING: lambda: value.string_value,
        }.get(value.type, lambda: None)()

    def injections(self) -> list[dict[str, Any]]:
        """Give what is broken in the twin now, as a list of mappings."""
        return list(yaml.safe_load(self.parameter("twin", "injections") or "") or [])

    def set_injections(self, entries: Sequence[dict[str, Any]]) -> float:
        """Replace what is broken in the twin; give the monotonic time just before.

        Raises
        ------
        ConfigError
            The twin refuses, or none answers.
        """
        text = yaml.safe_dump(list(entries), default_flow_style=True, width=10_000) if entries else ""
        request = SetParameters.Request(parameters=[Parameter("injections", value=text).to_parameter_msg()])
        moment = time.monotonic()
        answer = self._call(SetParameters, f"/{self.namespace}/twin/set_parameters", request, "digital twin")
        if not answer.results[0].successful:
            raise ConfigError(answer.results[0].reason)
        return moment

    def publish_foreign_description(self) -> None:
        """Publish the pack's description with another configuration hash.

        Raises
        ------
        ConfigError
            No description was heard.
        """
        if not self.wait(lambda: self._description is not None, _WAIT_S):
            raise ConfigError("no pack_description was heard: is the driver running?")
        row = topic_row("pack_description")
        publisher = self._publishers.get(row.name) or self.node.create_publisher(
            interface_type(row.type), row.name, qos_profile(row)
        )
        self._publishers[row.name] = publisher
        self.wait(lambda: publisher.get_subscription_count() > 1, _WAIT_S)
        foreign = type(self._description)()
        for field in self._description.get_fields_and_field_types():
            setattr(foreign, field, getattr(self._description, field))
        foreign.config_hash = "0" * len(self._description.config_hash)
        publisher.publish(foreign)

    def publish_own_description(self) -> None:
        """Publish the pack's description as the driver gave it, and stop publishing."""
        publisher = self._publishers.pop("pack_description", None)
        if publisher is not None:
            publisher.publish(self._description)
            self.node.destroy_publisher(publisher)
