"""The real node between topics and a house on a real Modbus server."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from sunspec_site import House  # noqa: E402

from openbms_core.config_file import ConfigError  # noqa: E402
from openbms_core.ros import convert  # noqa: E402
from openbms_core.ros.executor import make_executor  # noqa: E402
from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row  # noqa: E402
from openbms_core.types import (  # noqa: E402
    FinalLimits,
    GridEvent,
    GridEventKind,
    PackMeasurement,
    PowerSetpoint,
    Validity,
)
from openbms_drivers.ros.site_adapter_node import SiteAdapterNode, pack_volts_amperes  # noqa: E402

VOLTS = 51.2
SITE = """
schema_version: 1
name: test
inverter: {{host: 127.0.0.1, port: {port}, unit: 1, revert_after_s: 2.0, efficiency: 1.0}}
meters: [{{role: grid, host: 127.0.0.1, port: {port}, unit: 200}}]
poll_period_s: 0.25
timeout_s: 1.0
"""


def scan(current_a: float, voltage_v: float = VOLTS) -> PackMeasurement:
    measured = PackMeasurement.empty(16, 4, 1)
    measured.string_voltages_v[:] = voltage_v
    measured.string_currents_a[:] = current_a
    measured.string_voltage_validity[:] = measured.string_current_validity[:] = Validity.VALID
    return measured


def test_the_pack_counts_with_its_lowest_string_and_all_its_currents() -> None:
    measured = PackMeasurement.empty(16, 4, 2)
    measured.string_voltages_v[:] = [51.0, 50.0]
    measured.string_currents_a[:] = [10.0, -4.0]
    valid = np.full(2, Validity.VALID, np.uint8)
    measured.string_voltage_validity[:] = measured.string_current_validity[:] = valid
    assert pack_volts_amperes(measured) == (50.0, 6.0)
    measured.string_voltage_validity[1] = Validity.STALE
    assert math.isnan(pack_volts_amperes(measured)[0])


def test_without_a_site_file_the_node_runs_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    rclpy.init()
    try:
        node = SiteAdapterNode(namespace="/bms")
        node.start()
        assert node.active
        node.stop()
        node.destroy_node()
        wrong = tmp_path / "site.yaml"
        wrong.write_text(SITE.format(port=502).replace("timeout_s", "timout_s"), encoding="utf-8")
        node = SiteAdapterNode(namespace="/bms", parameter_overrides=[Parameter("site", value=str(wrong))])
        with pytest.raises(ConfigError, match=r"site\.yaml:7: timout_s: unknown key .*'timeout_s'"):
            node.start()
        node.stop()
        node.destroy_node()
    finally:
        rclpy.shutdown()


@pytest.mark.timeout(90)
def test_a_setpoint_is_followed_bounded_curtailed_and_ends(tmp_path: Path) -> None:
    house = House()
    rclpy.init()
    with house:
        file = tmp_path / "site.yaml"
        file.write_text(SITE.format(port=house.port), encoding="utf-8")
        node = SiteAdapterNode(namespace="/bms", parameter_overrides=[Parameter("site", value=str(file))])
        probe = rclpy.create_node("probe", namespace="/bms")
        got: dict[str, list[Any]] = {"site_meter": [], "grid_event": []}
        out: dict[str, Any] = {}
        for name in got:
            row = topic_row(name)
            probe.create_subscription(interface_type(row.type), name, got[name].append, qos_profile(row))
        for name in ("measurement", "limits", "power_setpoint", "grid_event"):
            row = topic_row(name)
            out[name] = probe.create_publisher(interface_type(row.type), name, qos_profile(row))
        executor = make_executor()
        executor.add_node(node)
        executor.add_node(probe)
        wish: dict[str, float] = {"power_w": 1500.0, "limit_a": 100.0}
        sent_s = 0.0

        def until(done: Callable[[], bool], what: str, within_s: float = 15.0) -> None:
            nonlocal sent_s
            end = time.monotonic() + within_s
            while not done():
                assert time.monotonic() < end, (
                    f"never: {what}; {house.battery_ac_w:.0f} W, {node._site.decision}"
                )
                if time.monotonic() - sent_s > 0.1:
                    sent_s = time.monotonic()
                    house.advance()
                    out["measurement"].publish(
                        convert.measurement_to_msg(scan(house.pack_w / VOLTS), "serial")
                    )
                    if "limit_a" in wish:
                        limit_a = wish["limit_a"]
                        limits = FinalLimits(limit_a, limit_a, 9e3, 9e3, "c", "d", "", False, math.nan, 0.5)
                        out["limits"].publish(convert.limits_to_msg(limits, Header()))
                    if "power_w" in wish:
                        setpoint = PowerSetpoint(wish["power_w"], "test", "", 1.0)
                        out["power_setpoint"].publish(convert.power_setpoint_to_msg(setpoint, Header()))
                executor.spin_until_future_complete(Future(), timeout_sec=0.02)

        def at(power_w: float) -> Callable[[], bool]:
            return lambda: abs(house.battery_ac_w - power_w) < 40.0

        try:
            node.start()
            until(at(1500.0), "followed")
            until(lambda: abs(got["site_meter"][-1].power - 2000.0) < 50.0, "the meter")
            meter = got["site_meter"][-1]
            assert abs(time.time() - meter.header.stamp.sec) < 5.0 and meter.meter == "Acme Meter 63 M-7"
            until(lambda: abs(got["site_meter"][-1].inverter_power - 1500.0) < 60.0, "the inverter")
            wish["limit_a"] = 10.0
            until(at(10.0 * VOLTS), "bounded by the limits")
            wish.update(limit_a=100.0, power_w=-3000.0)
            until(at(-3000.0), "discharging")
            house.units[1].set(123, "WMaxLimPct", 20)
            house.units[1].set(123, "WMaxLim_Ena", 1)
            until(lambda: got["grid_event"][-1].kind == GridEventKind.CURTAILMENT, "curtailment")
            assert got["grid_event"][-1].discharge_power == 1000.0
            until(at(-1000.0), "curtailed")
            house.units[1].set(123, "WMaxLim_Ena", 0)
            event = GridEvent(1, math.nan, 600.0, math.nan, math.nan, "dso", "test", 60.0)
            out["grid_event"].publish(convert.grid_event_to_msg(event, Header()))
            until(at(-600.0), "bounded by an event")
            del wish["limit_a"]
            until(at(0.0), "without limits nothing")
            house.stop()
            until(lambda: math.isnan(got["site_meter"][-1].power), "unknown, not old")
            until(lambda: got["grid_event"][-1].kind == GridEventKind.UNREACHABLE, "unreachable")
        finally:
            node.stop()
            node.destroy_node()
            probe.destroy_node()
            rclpy.shutdown()
