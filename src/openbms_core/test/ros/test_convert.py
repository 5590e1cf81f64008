"""Messages to plain types and back, over the wire."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

pytest.importorskip("rclpy")

import openbms_core.ros  # noqa: F401, I001 - before any message
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from openbms_core import types
from openbms_core.ros import convert
from openbms_core.types import NO_SCAN, UNKNOWN, PackMeasurement, State
from openbms_msgs import msg as messages


def scan(seed: int) -> PackMeasurement:
    """Give a scan in which every value is another one."""
    random = np.random.default_rng(seed)
    made = PackMeasurement.empty(5, 4, 2, actuators=3)
    for item in fields(PackMeasurement):
        value = getattr(made, item.name)
        if isinstance(value, np.ndarray):
            raw = random.integers(0, 200, value.shape) / 4.0
            setattr(made, item.name, raw.astype(value.dtype))
        elif isinstance(value, float):
            setattr(made, item.name, float(random.integers(0, 10_000)) / 8.0)
        elif isinstance(value, str):
            made.bus_message = f"text {seed}"
        else:
            setattr(made, item.name, int(random.integers(0, 5)))
    return made


def same(one: Any, other: Any) -> None:
    for item in fields(one):
        mine, its = getattr(one, item.name), getattr(other, item.name)
        if isinstance(mine, np.ndarray):
            assert np.array_equal(mine, its, equal_nan=mine.dtype.kind == "f"), item.name
            assert mine.dtype == its.dtype, item.name
        elif isinstance(mine, float):
            assert mine == pytest.approx(its, rel=1e-6, nan_ok=True), item.name
        else:
            assert mine == its, item.name


def over_the_wire(message: Any) -> Any:
    return deserialize_message(serialize_message(message), type(message))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_a_scan_comes_out_as_it_went_in(seed: int) -> None:
    sent = scan(seed)
    message = over_the_wire(convert.measurement_to_msg(sent, "PACK-1"))
    assert message.header.frame_id == "PACK-1"
    same(sent, convert.measurement_from_msg(message))


def test_what_was_received_is_nobody_elses() -> None:
    """A scan outlives its message, and whoever keeps it may write to it."""
    message = convert.measurement_to_msg(scan(1), "PACK-1")
    taken = convert.measurement_from_msg(message)
    taken.cell_voltages_v[0] = 9.0
    taken.cell_voltage_validity[0] = 9
    assert message.cell_voltages[0] != 9.0
    assert message.cell_voltage_validity[0] != 9
    del message
    assert taken.cell_voltages_v[0] == 9.0


def test_empty_arrays_and_numbers_that_are_none() -> None:
    sent = PackMeasurement.empty(2, 0, 1, stamp_s=math.nan, scan_number=2**64 - 1)
    message = over_the_wire(convert.measurement_to_msg(sent, ""))
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)
    taken = convert.measurement_from_msg(message)
    assert taken.scan_number == 2**64 - 1
    assert np.isnan(taken.cell_voltages_v).all() and taken.temperatures_degc.shape == (0,)
    assert taken.contactor_feedback.tolist() == [UNKNOWN] * 3


def test_commands_and_state() -> None:
    one = np.array([1, 0], np.uint8)
    sent = types.ContactorCommand(7, one, one, 1 - one, State.DRIVE, "requested", 0.5, 12)
    same(sent, convert.contactor_command_from_msg(over_the_wire(_message(sent))))
    before = types.ContactorCommand(0, one, one, one, State.STANDBY, "", 0.5)
    assert _message(before).scan_number == NO_SCAN == messages.ContactorCommand.NO_SCAN
    status = types.BmsStatus(
        State.OPENING, State.DRIVE, 1.5, State.STANDBY, "fault:X", "text", np.array([1, 1, 0], np.uint8),
        True, True, 0.25, False, True, False, True, ["charge:X"], ["Charging is refused: X."], 3, 0.5,
    )  # fmt: skip
    same(status, convert.state_from_msg(over_the_wire(convert.state_to_msg(status, Header()))))
    limits = types.FinalLimits(1.0, 2.0, 1e39, math.inf, "a", "b", "c", True, math.nan, 0.5)
    taken = convert.limits_from_msg(over_the_wire(convert.limits_to_msg(limits, Header())))
    assert taken.charge_power_w == math.inf, "beyond float32 is infinite, as the wire would say"
    assert math.isnan(taken.shutdown_in_s) and taken.limp_home is True


def test_a_state_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        convert.state_from_msg(messages.BmsState(state=99))


def _message(command: types.ContactorCommand) -> Any:
    return convert.contactor_command_to_msg(command, Header())
