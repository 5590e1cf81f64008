"""What one of several packs says, with its age; decoded when it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.task import Future

from openbms_control.aggregation.conductor import Order
from openbms_control.aggregation.pack_view import PackFacts, PackView, SaidFault
from openbms_core.ros import wire
from openbms_core.ros.convert import state_of_charge_from_msg, state_of_health_from_msg, time_from_msg
from openbms_core.ros.interfaces import topic_row
from openbms_core.ros.node_base import BmsNode, Freshness
from openbms_msgs.srv import ClearFaults, RequestState

__all__ = ["PackInputs", "faults_from"]

_FALL = 0.05
"""A limit that falls by more than this part is passed on at once."""


def faults_from(message: Any) -> tuple[SaidFault, ...]:
    """Convert the faults of a message."""
    return tuple(
        SaidFault(
            fault.id, fault.level, fault.state, time_from_msg(fault.first_active),
            time_from_msg(fault.last_seen), fault.occurrences, fault.value, fault.limit, fault.unit,
            fault.index, fault.from_record, fault.explanation,
        )
        for fault in message.faults
    )  # fmt: skip


class PackInputs:
    """Listen to one pack.

    Parameters
    ----------
    node : BmsNode
    facts : PackFacts
        Its name is the namespace below that of the node.
    urgent : callable
        Called when something was heard that cannot wait for the next period.
    """

    def __init__(self, node: BmsNode, facts: PackFacts, urgent: Callable[[], None]) -> None:
        self.facts, self._node, self._urgent = facts, node, urgent
        self._raw: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._fresh: dict[str, Freshness] = {}
        self._decode: dict[str, Callable[[Any], Any]] = {
            "measurement": wire.MEASUREMENT.decode,
            "state": wire.STATE.decode,
            "limits": wire.LIMITS.decode,
            "soc": state_of_charge_from_msg,
            "soh": state_of_health_from_msg,
            "faults": lambda message: (faults_from(message), tuple(message.not_monitored)),
        }
        raw = {"measurement": wire.MEASUREMENT.raw, "state": wire.STATE.raw, "limits": wire.LIMITS.raw}
        for name in self._decode:
            row = topic_row(name)
            self._fresh[name] = Freshness(row.stale_after_s)
            node.listen(
                name, lambda message, name=name: self._heard(name, message), raw=raw.get(name, False),
                as_name=f"{facts.name}/{name}",
            )  # fmt: skip
        node.listen("pack_description", self._described, as_name=f"{facts.name}/pack_description")
        self.description: Any = None
        self.requests = node.create_client(RequestState, f"{facts.name}/request_state")
        self.clearing = node.create_client(ClearFaults, f"{facts.name}/clear_faults")

    def _described(self, message: Any) -> None:
        self.description = message

    def _heard(self, name: str, message: Any) -> None:
        before = self._values.get(name)
        self._raw[name] = message
        valid_for_s = None
        if name in ("state", "limits"):
            try:
                value = self._values[name] = self._decode[name](self._raw.pop(name))
            except ValueError as error:  # what is none is not taken for one: the age of the last goes on
                self._node.get_logger().error(
                    f"{self.facts.name}/{name} refused: {error}", throttle_duration_sec=5.0
                )
                return
            valid_for_s = value.valid_for_s
            if before is not None and _matters(name, before, value):
                self._fresh[name].renew(self._node.monotonic_s(), valid_for_s)
                self._urgent()
        self._fresh[name].renew(self._node.monotonic_s(), valid_for_s)

    def _take(self, name: str, now_s: float) -> Any:
        if not self._fresh[name].fresh(now_s):
            return None
        if name in self._raw:
            try:
                self._values[name] = self._decode[name](self._raw.pop(name))
            except ValueError as error:
                self._node.get_logger().error(
                    f"{self.facts.name}/{name} refused: {error}", throttle_duration_sec=5.0
                )
                self._values[name] = None
        return self._values.get(name)

    def view(self, now_s: float, *, whole: bool = True) -> PackView:
        """Give what is known now (``whole``: with estimates, which are larger)."""
        limits, said = self._take("limits", now_s), self._take("faults", now_s)
        left_s = (limits.valid_for_s - self._fresh["limits"].age_s(now_s)) if limits is not None else 0.0
        return PackView(
            facts=self.facts,
            status=self._take("state", now_s),
            limits=limits,
            limits_left_s=left_s,
            scan=self._take("measurement", now_s),
            soc=self._take("soc", now_s) if whole else None,
            soh=self._take("soh", now_s),
            faults=said[0] if said is not None else None,
            not_monitored=said[1] if said is not None else (),
        )

    def ask(self, order: Order, answered: Callable[[Order, bool, str], None]) -> None:
        """Ask the pack's safety monitor; the answer comes later, or never."""
        if not self.requests.service_is_ready():
            answered(order, False, "its safety monitor serves no requests")
            return
        request = RequestState.Request(state=int(order.state), requester="pack_aggregator")

        def done(future: Future) -> None:
            if future.cancelled() or future.exception() is not None:
                answered(order, False, "its safety monitor did not answer")
                return
            response = future.result()
            answered(order, bool(response.accepted), response.reason)

        self.requests.call_async(request).add_done_callback(done)

    def release(self) -> None:
        """Take the clients away."""
        for client in (self.requests, self.clearing):
            self._node.destroy_client(client)


def _matters(name: str, before: Any, now: Any) -> bool:
    if name == "state":
        return bool(
            before.state != now.state
            or before.contactors_closed != now.contactors_closed
            or before.zero_current_requested != now.zero_current_requested
        )
    return bool(
        now.charge_current_a < (1.0 - _FALL) * before.charge_current_a
        or now.discharge_current_a < (1.0 - _FALL) * before.discharge_current_a
    )
