"""What the load of a simulated pack hears from the battery management, and what its key asks for."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np

from openbms_core.ros.node_base import BmsNode, Freshness
from openbms_core.types import State
from openbms_msgs.msg import TwinTruth
from openbms_msgs.srv import RequestState
from openbms_sim.twin import DigitalTwin
from openbms_sim.vehicle import Permission

__all__ = ["LoadSide", "truth_message"]

_ASK_AGAIN_S = 1.0


class LoadSide:
    """Listens to ``state`` and ``limits`` of a node's namespace; asks for a state until it is reached once.

    Parameters
    ----------
    node : BmsNode
        The node, while it configures itself.
    wanted : State, optional
        What the key asks for; None: nothing.
    """

    def __init__(self, node: BmsNode, wanted: State | None) -> None:
        self._node = node
        self._wanted = wanted
        self._asked_s = -math.inf
        valid_for_s = node.pack.file.contactors.command_valid_for_s
        self._state, self._limits = Freshness(valid_for_s), Freshness(valid_for_s)
        self._heard_state, self._heard_zero, self._heard_limits = State.INIT, True, (0.0, 0.0)
        node.listen("state", self._on_state)
        node.listen("limits", self._on_limits)
        self._request = node.create_client(RequestState, "request_state")

    def permission(self) -> Permission:
        """Give what the load may do now; nothing fresh: nothing."""
        now = self._node.monotonic_s()
        if not (self._state.fresh(now) and self._limits.fresh(now)):
            return Permission()
        charge, discharge = self._heard_limits
        return Permission(self._heard_state, self._heard_zero, max(charge, 0.0), max(discharge, 0.0))

    def _on_state(self, message: Any) -> None:
        now = self._node.monotonic_s()
        valid = message.valid_for
        self._state.renew(now, valid.sec + valid.nanosec * 1e-9)
        self._heard_state = State(message.state)
        self._heard_zero = bool(message.zero_current_requested)
        if self._heard_state is self._wanted:
            self._wanted = None  # from here on nothing is asked for again: what opens stays open
        if (
            self._wanted is not None
            and self._heard_state is State.STANDBY
            and now - self._asked_s >= _ASK_AGAIN_S
            and self._request.service_is_ready()
        ):
            self._asked_s = now
            request = RequestState.Request(state=int(self._wanted), requester=f"{self._node.get_name()}: key")
            self._request.call_async(request).add_done_callback(self._on_answer)

    def _on_answer(self, future: Any) -> None:
        answer = future.result()
        said = "accepted" if answer.accepted else "refused"
        self._node.get_logger().info(f"the request of the key was {said}: {answer.reason}")

    def _on_limits(self, message: Any) -> None:
        valid = message.valid_for
        self._limits.renew(self._node.monotonic_s(), valid.sec + valid.nanosec * 1e-9)
        self._heard_limits = (message.charge_current, message.discharge_current)


def _array(code: str, kind: Any, values: Any) -> array.array[Any]:
    return array.array(code, np.ascontiguousarray(values, kind).tobytes())


def truth_message(twin: DigitalTwin, header: Any) -> TwinTruth:
    """Give what no sensor sees of a twin that has ticked at least once."""
    truth = twin.source.truth()
    assert twin.readings is not None
    return TwinTruth(
        header=header,
        source=twin.source.name,
        test_time=truth.test_time_s,
        test_duration=truth.test_duration_s,
        finished=truth.finished,
        cell_soc=_array("f", np.float32, truth.cell_soc),
        cell_capacity=_array("f", np.float32, truth.cell_capacity_ah),
        cell_core_temperature=_array("f", np.float32, truth.cell_core_degc),
        string_current=_array("f", np.float32, twin.readings.string_currents_a),
        contactors=_array("B", np.uint8, twin.contactors.closed.ravel()),
        device_trip=twin.device.trip,
    )
