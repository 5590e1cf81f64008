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
from openbms_core.ros import convert, wire
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
    status = _status()
    same(status, convert.state_from_msg(over_the_wire(convert.state_to_msg(status, Header()))))
    limits = types.FinalLimits(1.0, 2.0, 1e39, math.inf, "a", "b", "c", True, math.nan, 0.5)
    taken = convert.limits_from_msg(over_the_wire(convert.limits_to_msg(limits, Header())))
    assert taken.charge_power_w == math.inf, "beyond float32 is infinite, as the wire would say"
    assert math.isnan(taken.shutdown_in_s) and taken.limp_home is True


def test_diagnosis_with_its_findings() -> None:
    finding = types.DiagnosisFinding(
        "internal_short", "cell", 17, 0.875, True, 1000.5, 98.0, 4.0, "ohm", "cell 17 loses charge."
    )
    sent = types.CellDiagnosis(
        stamp_s=2000.25,
        scan_number=12,
        faults=["internal_short", "voltage_sensor"],
        probability=np.array([0.875, 0.125, 0.0, np.nan]),
        most_likely=np.array([0, 255], np.uint8),
        current_sensor_probability=np.array([0.5]),
        temperature_sensor_probability=np.array([np.nan, 0.25]),
        excess_heat_w=np.array([0.5, np.nan]),
        excess_heat_std_w=np.array([0.25, np.nan]),
        runaway_warning=np.array([1, 0], np.uint8),
        findings=[finding, finding],
        observed_s=1e9 / 3.0,
        quality_reason="",
    )
    message = convert.cell_diagnosis_to_msg(sent, "PACK-1")
    assert message.header.frame_id == "PACK-1"
    same(sent, convert.cell_diagnosis_from_msg(over_the_wire(message)))


def test_a_state_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        convert.state_from_msg(messages.BmsState(state=99))


def _status() -> types.BmsStatus:
    return types.BmsStatus(
        State.OPENING, State.DRIVE, 1.5, State.STANDBY, "fault:X", "text", np.array([1, 1, 0], np.uint8),
        True, True, 0.25, False, True, False, True, True, ["charge:X"], ["Charging is refused: X."], 3, 0.5,
    )  # fmt: skip


def _message(command: types.ContactorCommand) -> Any:
    return convert.contactor_command_to_msg(command, Header())


# ---- straight to the wire


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), text=st.text(max_size=20).filter(lambda text: "\x00" not in text))
def test_bytes_are_what_rclpy_reads_and_writes(seed: int, text: str) -> None:
    sent = scan(seed)
    sent.bus_message = text
    data = wire.MEASUREMENT.encode(sent, sent.stamp_s, "PACK-1")
    assert isinstance(data, bytes)
    message = convert.measurement_to_msg(sent, "PACK-1")
    assert deserialize_message(data, messages.PackMeasurement) == message
    same(sent, wire.MEASUREMENT.decode(data))
    same(sent, wire.MEASUREMENT.decode(bytes(serialize_message(message))))
    same(sent, wire.MEASUREMENT.decode(message))


def test_numbers_that_are_none_and_empty_arrays_on_the_wire() -> None:
    sent = PackMeasurement.empty(2, 0, 1, stamp_s=math.nan, scan_number=2**64 - 1)
    data = wire.MEASUREMENT.encode(sent, sent.stamp_s, "")
    taken = wire.MEASUREMENT.decode(data)
    assert taken.stamp_s == 0.0
    taken.stamp_s = sent.stamp_s
    same(sent, taken)
    limits = types.FinalLimits(1.0, 2.0, 1e39, math.inf, "a", "b", "c", True, math.nan, 0.5)
    assert wire.LIMITS.decode(wire.LIMITS.encode(limits, 1.0, "")).charge_power_w == math.inf


def test_commands_and_states_on_the_wire() -> None:
    one = np.array([1, 0], np.uint8)
    command = types.ContactorCommand(7, one, one, 1 - one, State.DRIVE, "requested", 0.5)
    data = wire.COMMAND.encode(command, 3.25, "PACK-1")
    message = deserialize_message(data, messages.ContactorCommand)
    assert message.scan_number == NO_SCAN and message.header.stamp.nanosec == 250_000_000
    same(command, wire.COMMAND.decode(data))
    state = deserialize_message(wire.STATE.encode(_status(), 1.0, ""), messages.BmsState)
    state.state = 99
    with pytest.raises(ValueError, match="99"):
        wire.STATE.decode(bytes(serialize_message(state)))


@pytest.mark.parametrize("kind", ["MEASUREMENT", "COMMAND"])
def test_bytes_that_end_too_early_are_refused_and_nothing_else_happens(kind: str) -> None:
    one = np.ones(3, np.uint8)
    value = (
        scan(1) if kind == "MEASUREMENT" else types.ContactorCommand(1, one, one, one, State.DRIVE, "x", 1)
    )
    quick = getattr(wire, kind)
    data = quick.encode(value, 1.0, "PACK-1")
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"no such message|encapsulation"):
            quick.decode(data[:length])
    with pytest.raises(ValueError, match="encapsulation 0000"):
        quick.decode(b"\x00\x00" + data[2:])


@settings(deadline=None, max_examples=200)
@given(place=st.integers(4, 400), value=st.integers(0, 255))
def test_broken_bytes_give_a_scan_or_a_refusal(place: int, value: int) -> None:
    data = bytearray(wire.MEASUREMENT.encode(scan(2), 1.0, "PACK-1"))
    data[place % len(data)] = value
    try:
        assert isinstance(wire.MEASUREMENT.decode(bytes(data)), PackMeasurement)
    except ValueError:
        pass


def test_where_the_middleware_writes_something_else_messages_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = wire.Wire(convert.CONTACTORS)
    monkeypatch.setattr(quick._codec, "encode", lambda values: b"\x00\x01\x00\x00")
    assert not quick.raw
    one = np.ones(1, np.uint8)
    command = types.ContactorCommand(1, one, one, one, State.DRIVE, "x", 1.0)
    message = quick.encode(command, 1.0, "PACK-1")
    assert isinstance(message, messages.ContactorCommand) and message.header.frame_id == "PACK-1"
    same(command, quick.decode(message))
