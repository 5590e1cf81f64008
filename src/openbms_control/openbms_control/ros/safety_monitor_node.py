"""The safety monitor as a node, alone in its process. See openbms_control/README.md."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from openbms_control.ros.fault_messages import faults_to_msg
from openbms_control.safety.monitor import TICK_PERIOD_S, Decision, SafetyMonitor
from openbms_control.safety.record import load_record, save_record
from openbms_core.ros import wire
from openbms_core.ros.convert import (
    balancing_command_from_msg,
    power_limits_from_msg,
    thermal_command_from_msg,
)
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import ContactorCommand, PackMeasurement, State
from openbms_msgs.msg import BalancingCommand, PackDescription, PowerLimits, ThermalCommand
from openbms_msgs.srv import ClearFaults, RequestState

__all__ = ["SafetyMonitorNode", "main"]

_FAULTS_PERIOD_S = 1.0
_POLL_PERIOD_S = 0.02


class SafetyMonitorNode(BmsNode):
    """Raw measurements in; contactor command, state, limits and faults out."""

    fail_safe = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("safety_monitor", **kwargs)

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter(
            "record_file",
            "",
            "Fault record; empty: $XDG_STATE_HOME/openbms/<serial>/faults.json (~/.local/state)",
        )
        self.parameter(
            "may_close", True, "Requests to close are granted; false: a parked pack is only checked"
        )

    def configure(self) -> None:
        """Build publishers, subscriptions and services; refuse a pack whose reactions would be too slow."""
        self.require_real_time()
        self.stop_deadline_s = self.pack.file.longest_opening_s + 1.0
        self.record_path = self._record_path()
        self._new_monitor()
        self._limits = self.publisher_for("limits")
        self._state = self.publisher_for("state")
        self._command = self.publisher_for("contactor_command")
        self._faults = self.publisher_for("faults")
        self.listen("measurement", self._on_measurement, raw=wire.MEASUREMENT.raw)
        direct = [kind.raw for kind in (wire.COMMAND, wire.STATE, wire.LIMITS)]
        self.get_logger().debug(f"command, state and limits go to the wire as they are: {direct}")
        self.listen("power_limits", self._on_power_limits)
        self.listen("pack_description", self._on_description)
        self.listen("balancing_command", self._on_balancing)
        self.listen("thermal_command", self._on_thermal)
        self._services_made = [
            self.create_service(RequestState, "request_state", self._on_request),
            self.create_service(ClearFaults, "clear_faults", self._on_clear),
        ]
        self.every(_POLL_PERIOD_S, self._poll)
        self.every(1.0, self._say)

    def _record_path(self) -> Path:
        if self.value("record_file"):
            return Path(self.value("record_file")).expanduser()
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        serial = re.sub(r"[^\w.-]", "_", self.pack.file.serial)
        return Path(base).expanduser() / "openbms" / serial / "faults.json"

    def _new_monitor(self) -> None:
        record, problem = load_record(self.record_path, self.pack.file.serial)
        if problem == "corrupt":
            self.get_logger().error(
                f"{self.record_path}: not readable, kept as .unreadable; closing is refused"
            )
        self._monitor = SafetyMonitor(
            self.pack, record, problem, simulated_time=bool(self.value("use_sim_time"))
        )
        self._acted_before, self._unsaved = False, False
        self._decision: Decision | None = None
        self._ordered = (0,) * (2 * self.pack.file.topology.strings)
        self._decided_s = self._faults_s = self._tried_s = float("-inf")

    def activate(self) -> None:
        """Begin, as after a restart: whatever was before, contactors are open and nothing closes unasked."""
        if self._acted_before:
            self._new_monitor()
        self._acted_before = True

    def ready_to_stop(self) -> bool:
        """Open at zero current, or at the deadline, before the node ends."""
        self._monitor.stop()
        return self._monitor.stopped

    def release(self) -> None:
        """Take the services away."""
        for service in getattr(self, "_services_made", []):
            self.destroy_service(service)
        self._services_made = []

    # ---- what comes in ----

    def _on_measurement(self, received: Any) -> None:
        try:
            scan = wire.MEASUREMENT.decode(received)
        except ValueError as error:  # what is no scan is not taken for one: its age goes on
            self.get_logger().error(f"measurement refused: {error}", throttle_duration_sec=5.0)
            return
        self._decide(scan)

    def _on_power_limits(self, message: PowerLimits) -> None:
        self._monitor.take_power_limits(power_limits_from_msg(message), self.monotonic_s())

    def _on_description(self, message: PackDescription) -> None:
        self._monitor.take_config_hash(message.config_hash)

    def _on_balancing(self, message: BalancingCommand) -> None:
        self._monitor.take_balancing_command(balancing_command_from_msg(message), self.monotonic_s())

    def _on_thermal(self, message: ThermalCommand) -> None:
        self._monitor.take_thermal_command(thermal_command_from_msg(message), self.monotonic_s())

    def _poll(self) -> None:
        if self._monitor.due(self.monotonic_s()):
            self._decide(None)

    def _on_request(
        self, request: RequestState.Request, response: RequestState.Response
    ) -> RequestState.Response:
        if not self.acting:
            response.reason = "The safety monitor is not active."
            return response
        if request.state != State.STANDBY and not self.value("may_close"):
            response.reason = "Closing is switched off here (may_close is false): the pack is only checked."
            response.state = int(self._decide(None).status.state)
            return response
        known = request.state in (State.STANDBY, State.DRIVE, State.CHARGE, State.CONNECTED)
        # INIT is no state to ask for: the core says so
        answer = self._monitor.request(State(request.state) if known else State.INIT, self.monotonic_s())
        said = "accepted" if answer.accepted else "refused"
        self.get_logger().info(
            f"state {request.state} requested by '{request.requester}': {said}. {answer.reason}"
        )
        decision = self._decide(None)
        response.accepted, response.reason = answer.accepted, answer.reason
        response.state = int(decision.status.state)
        return response

    def _on_clear(self, request: ClearFaults.Request, response: ClearFaults.Response) -> ClearFaults.Response:
        if not self.acting:
            response.reason = "The safety monitor is not active."
            return response
        answer = self._monitor.clear(list(request.ids), self.monotonic_s())
        text = f"cleared {list(answer.cleared)}, refused {list(answer.refused)}"
        self.get_logger().info(f"clearing asked by '{request.requester}': {text}")
        self._decide(None)
        response.accepted, response.reason = answer.accepted, answer.reason
        response.cleared, response.refused = list(answer.cleared), list(answer.refused)
        return response

    # ---- what goes out ----

    def _decide(self, measurement: PackMeasurement | None) -> Decision:
        now_s, stamp_s = self.monotonic_s(), self.now_s()
        self._opens: bool | None = None
        answer = partial(self._answer, stamp_s) if measurement is not None else None
        decision = self._monitor.step(measurement, now_s, stamp_s, answer)
        urgent = measurement is not None or decision.state_changed or decision.faults_changed
        if urgent or now_s - self._decided_s >= TICK_PERIOD_S - _POLL_PERIOD_S / 2:
            self._decided_s = now_s
            self._publish(decision, stamp_s)
        if decision.faults_changed or now_s - self._faults_s >= _FAULTS_PERIOD_S:
            self._faults_s = now_s
            self._faults.publish(faults_to_msg(decision, self.header()))
        if decision.state_changed:
            self.get_logger().info(f"{decision.status.state.name}: {decision.status.reason}")
        if decision.record_changed or (self._unsaved and now_s - self._tried_s >= _FAULTS_PERIOD_S):
            self._save(now_s)
        self._decision = decision
        self.dealt_with_scan()
        return decision

    def _answer(self, stamp_s: float, command: ContactorCommand) -> None:
        """Publish the command before the rest of the decision stands: the driver answers the scan with it.

        Not where it opens a main contactor: nobody may hear of the opening before zero current is asked for.
        """
        order = (*command.positive.tolist(), *command.negative.tolist())
        self._opens = any(now < before for now, before in zip(order, self._ordered, strict=True))
        self._ordered = order
        if not self._opens:
            self._command.publish(wire.COMMAND.encode(command, stamp_s, self.pack.file.serial))

    def _publish(self, decision: Decision, stamp_s: float) -> None:
        """Publish a decision, or what is left of it."""
        serial = self.pack.file.serial
        if self._opens is None:
            self._answer(stamp_s, decision.contactor_command)
        if not self._opens:
            self._state.publish(wire.STATE.encode(decision.status, stamp_s, serial))
        self._limits.publish(wire.LIMITS.encode(decision.limits, stamp_s, serial))
        if self._opens:
            self._state.publish(wire.STATE.encode(decision.status, stamp_s, serial))
            self._command.publish(wire.COMMAND.encode(decision.contactor_command, stamp_s, serial))

    def _save(self, now_s: float) -> None:
        # after the decision is out: a slow disk delays no opening
        self._tried_s, self._unsaved = now_s, False
        try:
            save_record(self.record_path, self._monitor.record())
            self._monitor.record_written(True)
        except OSError as error:
            self._unsaved = True
            self.get_logger().error(
                f"{self.record_path}: cannot be written ({error})", throttle_duration_sec=10.0
            )
            self._monitor.record_written(False)

    def _say(self) -> None:
        decision = self._decision
        if decision is None:
            return
        level = {None: 0, 0: 0, 1: 1, 2: 2}[decision.highest_level]
        limits = decision.limits
        self.diagnostic(
            level,
            f"{decision.status.state.name}: {decision.status.explanation}",
            reason=decision.status.reason,
            charge_limit_a=f"{limits.charge_current_a:.1f} ({limits.charge_reason})",
            discharge_limit_a=f"{limits.discharge_current_a:.1f} ({limits.discharge_reason})",
            inhibits=", ".join(decision.status.inhibits),
            not_monitored=", ".join(decision.not_monitored),
            record_file=self.record_path,
        )


def main() -> None:
    """Run the node alone: its process must die with it."""
    run_nodes([SafetyMonitorNode], fail_safe=True)


if __name__ == "__main__":
    main()
