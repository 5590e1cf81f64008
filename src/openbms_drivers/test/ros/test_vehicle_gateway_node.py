"""The gateway on a virtual bus with a simulated VCU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

import can  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402
from vcu import Vcu  # noqa: E402

from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402
from openbms_drivers.ros.vehicle_gateway_node import VehicleGatewayNode  # noqa: E402


def test_inputs_come_out_stale_limits_are_zero_and_a_crash_is_held(tmp_path: Path) -> None:
    rclpy.init()
    given = {"can_interface": "virtual", "vehicle_channel": "vcu", "crash_file": str(tmp_path / "crash")}
    node = VehicleGatewayNode(
        namespace="/bms", parameter_overrides=[Parameter(name, value=value) for name, value in given.items()]
    )
    probe = rclpy.create_node("probe", namespace="/bms")
    got: list[Any] = []
    row = topic_row("vehicle_inputs")
    probe.create_subscription(interface_type(row.type), row.name, got.append, qos_profile(row))
    executor = make_executor()
    executor.add_node(node)
    executor.add_node(probe)
    bus, vcu = can.Bus(interface="virtual", channel="vcu"), Vcu()

    def until(done: Callable[[], bool]) -> None:
        end = time.monotonic() + 15.0
        while not done():
            assert time.monotonic() < end, "it never happened"
            for frame in vcu.frames():
                bus.send(can.Message(arbitration_id=frame.identifier, data=frame.data, is_extended_id=False))
            executor.spin_until_future_complete(Future(), timeout_sec=0.02)
            while (message := bus.recv(0.0)) is not None:
                vcu.hear(message.arbitration_id, bytes(message.data))

    try:
        node.start()
        until(lambda: bool(got) and got[-1].ignition == 1 and len(vcu.heard) == 7)
        assert (got[-1].wanted_state, got[-1].emergency_stop) == (1, 0)
        assert (vcu.heard["Bms_Limits"]["Limits_Expired"], vcu.heard["Bms_Limits"]["Discharge_Current"]) == (
            1,
            0,
        )
        vcu.request["Crash"] = 1
        until(lambda: bool(got[-1].crash_latched))
        vcu.request["Crash"] = 0
        until(lambda: vcu.heard["Bms_State"]["Crash_Latched"] == 1)
        assert got[-1].emergency_stop == 1
        assert (tmp_path / "crash").exists()
    finally:
        node.stop()
        bus.shutdown()
        node.destroy_node()
        probe.destroy_node()
        rclpy.shutdown()
