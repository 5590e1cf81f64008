"""Call the services of the safety monitor from the command line."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Sequence
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from openbms_bringup.claim import check_namespace, domain_number
from openbms_bringup.status import STATE_NAMES
from openbms_core.config_file import ConfigError
from openbms_core.ros.executor import make_executor
from openbms_msgs.srv import ClearFaults, RequestState

__all__ = ["clear", "request_state"]

_WAIT_S = 5.0


def _call(service_type: Any, name: str, namespace: str, fill: Any) -> Any:
    check_namespace(namespace)
    domain_number(os.environ.get("ROS_DOMAIN_ID") or "0")
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("openbms_command", namespace=namespace, enable_rosout=False)
    try:
        executor = make_executor()
        executor.add_node(node)
        client = node.create_client(service_type, name)
        deadline_s = time.monotonic() + _WAIT_S
        while not client.service_is_ready():
            if time.monotonic() > deadline_s:
                raise ConfigError(
                    f"no safety monitor answers at {client.srv_name} within {_WAIT_S:g} s. "
                    "Is the system running, with the same ROS_DOMAIN_ID and --namespace?"
                )
            executor.spin_until_future_complete(rclpy.task.Future(), timeout_sec=0.05)
        request = service_type.Request()
        fill(request)
        future = client.call_async(request)
        executor.spin_until_future_complete(future, timeout_sec=_WAIT_S)
        if not future.done():
            raise ConfigError(f"the safety monitor did not answer {name} within {_WAIT_S:g} s.")
        return future.result()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _requester() -> str:
    return f"openbms command line ({getpass.getuser()})"


def request_state(state: str, namespace: str) -> tuple[bool, str]:
    """Ask for a state; give whether it is accepted, and the answer for people.

    Raises
    ------
    ConfigError
        No such state, or nobody answers.
    """
    codes = {
        name: getattr(RequestState.Request, name.upper())
        for name in ("standby", "drive", "charge", "connected")
    }
    if state.lower() not in codes:
        raise ConfigError(f"'{state}': no state that can be asked for; give one of {', '.join(codes)}.")

    def fill(request: Any) -> None:
        request.state = codes[state.lower()]
        request.requester = _requester()

    answer = _call(RequestState, "request_state", namespace, fill)
    verdict = "accepted" if answer.accepted else "refused"
    return bool(answer.accepted), f"{verdict}: {answer.reason} (state {STATE_NAMES[answer.state]})"


def clear(ids: Sequence[str], namespace: str) -> tuple[bool, str]:
    """Clear faults (none named: all that can be); give whether all went, and the answer for people.

    Raises
    ------
    ConfigError
        Nobody answers.
    """

    def fill(request: Any) -> None:
        request.ids = list(ids)
        request.requester = _requester()

    answer = _call(ClearFaults, "clear_faults", namespace, fill)
    text = f"cleared: {', '.join(answer.cleared) or 'none'}"
    if answer.refused:
        text += f"; refused: {', '.join(answer.refused)}"
    return bool(answer.accepted), text + (f" ({answer.reason})" if answer.reason else "")
