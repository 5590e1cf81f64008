"""Arbitration table, and the frames that come out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_device import DemoDevice
from generated_pack import write_pack
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.config_file import ConfigError
from openbms_core.frame_integrity import checksum
from openbms_core.pack import LoadedPack, PackFile, load_pack
from openbms_core.types import (
    BalancingCommand,
    BmsStatus,
    ChargeCommand,
    ContactorCommand,
    State,
    ThermalCommand,
)
from openbms_drivers.arbitration import Arbiter, Outputs
from openbms_drivers.command_encoder import CommandEncoder
from openbms_drivers.database import Database
from openbms_drivers.frame import Frame

ONE, ZERO = np.ones(1, np.uint8), np.zeros(1, np.uint8)
STATE = BmsStatus(
    state=State.DRIVE, previous_state=State.PRECHARGE, time_in_state_s=1.0, requested_state=State.DRIVE,
    reason="requested", explanation="", contactor_command=np.array([1, 1, 0], np.uint8),
    contactors_closed=True,
    zero_current_requested=False, opening_deadline_s=math.nan, charge_allowed=True, discharge_allowed=True,
    balancing_allowed=True, heating_allowed=True, cooling_required=False, inhibits=[], inhibit_texts=[],
    start_count=1,    valid_for_s=0.5,
)  # fmt: skip
CONTACTORS = ContactorCommand(1, ONE, ONE, ZERO, State.DRIVE, "requested", 0.5)
BALANCING = BalancingCommand(np.arange(96) % 2 == 0, "top", 3.0)
THERMAL = ThermalCommand(0.25, 0.5, 0.75, 0.1, "cold", 3.0)
CHARGE = ChargeCommand(True, 400.0, 3.0, "cc", 1.0)


@pytest.fixture
def arbiter(demo_pack: LoadedPack) -> Arbiter:
    return Arbiter(demo_pack.file)


def opened(arbiter: Arbiter, now_s: float = 0.0) -> None:
    """Command everything open, as a monitor does before it closes anything."""
    arbiter.set_state(replace(STATE, contactor_command=np.zeros(3, np.uint8)), now_s)
    still = replace(CONTACTORS, positive=ZERO, negative=ZERO, requested_state=State.STANDBY)
    arbiter.set_contactors(still, now_s)
    assert not arbiter.outputs(now_s).any_closed


def command(arbiter: Arbiter, now_s: float = 0.0, state: BmsStatus | None = STATE) -> None:
    if state is not None:
        opened(arbiter, now_s)
        arbiter.set_state(state, now_s)
    arbiter.set_contactors(CONTACTORS, now_s)
    arbiter.set_balancing(BALANCING, now_s)
    arbiter.set_thermal(THERMAL, now_s)
    arbiter.set_charge(CHARGE, now_s)


def is_safe(outputs: Outputs) -> bool:
    return (
        not outputs.any_closed
        and not any(outputs.bleed)
        and (outputs.heater, outputs.pump, outputs.fan, outputs.chiller) == (0.0, 1.0, 1.0, 0.0)
        and (outputs.charge_enable, outputs.charge_voltage_v, outputs.charge_current_a) == (0, 0.0, 0.0)
        and outputs.requested_state == State.STANDBY
    )


def test_everything_fresh_is_obeyed(arbiter: Arbiter) -> None:
    command(arbiter)
    outputs = arbiter.outputs(0.1)
    assert (outputs.contactor_positive, outputs.contactor_negative, outputs.contactor_precharge) == (
        (1,),
        (1,),
        (0,),
    )
    assert outputs.bleed == (1, 0) * 48
    assert (outputs.heater, outputs.pump, outputs.fan, outputs.chiller) == (0.25, 0.5, 0.75, 0.1)
    assert (outputs.charge_enable, outputs.charge_voltage_v, outputs.charge_current_a) == (1, 400.0, 3.0)
    assert outputs.requested_state == State.DRIVE


def test_nothing_yet_and_no_state_is_safe(arbiter: Arbiter) -> None:
    assert is_safe(arbiter.outputs(0.0))
    command(arbiter, state=None)
    assert is_safe(arbiter.outputs(0.1)), "commands without a state count for nothing"


def test_a_state_that_expires_takes_everything_with_it(arbiter: Arbiter) -> None:
    command(arbiter)
    arbiter.set_contactors(CONTACTORS, 0.4)
    assert not is_safe(arbiter.outputs(0.5))
    assert is_safe(arbiter.outputs(0.51))


def test_a_contactor_command_that_expires_opens(arbiter: Arbiter) -> None:
    command(arbiter)
    arbiter.set_state(STATE, 0.4)
    outputs = arbiter.outputs(0.51)
    assert not outputs.any_closed
    assert any(outputs.bleed), "the state is fresh, so the other commands still count"


@pytest.mark.parametrize("valid_for_s", [1e9, math.inf])
def test_no_command_closes_for_ever(arbiter: Arbiter, valid_for_s: float) -> None:
    opened(arbiter)
    arbiter.set_state(replace(STATE, valid_for_s=valid_for_s), 0.0)
    arbiter.set_contactors(replace(CONTACTORS, valid_for_s=valid_for_s), 0.0)
    assert arbiter.outputs(0.5).any_closed
    assert not arbiter.outputs(0.51).any_closed, "the pack file's command_valid_for_s is the most"


@pytest.mark.parametrize("valid_for_s", [0.0, -1.0, math.nan])
def test_a_command_without_validity_never_counts(arbiter: Arbiter, valid_for_s: float) -> None:
    command(arbiter, 0.0, replace(STATE, valid_for_s=valid_for_s))
    assert is_safe(arbiter.outputs(0.0))
    assert is_safe(arbiter.outputs(0.001))


def close(arbiter: Arbiter, now_s: float) -> bool:
    arbiter.set_state(STATE, now_s)
    arbiter.set_contactors(CONTACTORS, now_s)
    outputs = arbiter.outputs(now_s)
    assert outputs.any_closed == (outputs.requested_state != State.STANDBY)
    return outputs.any_closed


def test_a_driver_that_starts_does_not_close_on_a_command_from_before(arbiter: Arbiter) -> None:
    assert not any(close(arbiter, 0.1 * step) for step in range(20))
    opened(arbiter, 2.0)
    assert close(arbiter, 2.1)


@pytest.mark.parametrize("open_by", ["state", "contactor_command"])
def test_open_must_be_said_by_state_and_command(arbiter: Arbiter, open_by: str) -> None:
    if open_by == "state":
        arbiter.set_state(replace(STATE, contactor_command=np.zeros(3, np.uint8)), 0.0)
        arbiter.set_contactors(CONTACTORS, 0.0)
    else:
        arbiter.set_state(STATE, 0.0)
        arbiter.set_contactors(replace(CONTACTORS, positive=ZERO, negative=ZERO), 0.0)
    assert not arbiter.outputs(0.0).any_closed
    assert not close(arbiter, 0.1)


def test_what_opened_by_expiry_does_not_close_on_commands_that_come_late(arbiter: Arbiter) -> None:
    opened(arbiter)
    assert close(arbiter, 0.1)
    assert not arbiter.outputs(0.61).any_closed
    assert not close(arbiter, 0.62), "the link may be empty: precharge comes first"
    opened(arbiter, 0.7)
    assert close(arbiter, 0.8)


def test_a_device_that_was_not_served_is_not_closed_again(arbiter: Arbiter) -> None:
    opened(arbiter)
    assert close(arbiter, 0.1)
    arbiter.set_state(STATE, 0.59)
    arbiter.set_contactors(CONTACTORS, 0.59)
    assert not close(arbiter, 0.7), "nothing was sent for so long that the device may have opened by itself"
    opened(arbiter, 0.8)
    assert close(arbiter, 0.9)


def off(check: Callable[[Outputs], Any]) -> Callable[[Outputs], bool]:
    return lambda outputs: not check(outputs)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"balancing_allowed": False}, off(lambda o: any(o.bleed))),
        ({"heating_allowed": False}, lambda o: o.heater == 0.0 and o.pump == 0.5),
        ({"charge_allowed": False}, lambda o: (o.charge_enable, o.charge_current_a) == (0, 0.0)),
        ({"zero_current_requested": True}, lambda o: (o.charge_enable, o.charge_current_a) == (0, 0.0)),
        ({"contactor_command": np.zeros(3, np.uint8)}, off(lambda o: o.any_closed)),
        ({"contactor_command": np.array([1, 0, 0], np.uint8)}, lambda o: o.contactor_negative == (0,)),
        ({"contactor_command": np.array([255, 255, 255], np.uint8)}, off(lambda o: o.any_closed)),
    ],
)
def test_the_state_is_obeyed_over_any_command(
    arbiter: Arbiter, change: dict[str, Any], expected: Callable[[Outputs], bool]
) -> None:
    command(arbiter, 0.0, replace(STATE, **change))
    assert expected(arbiter.outputs(0.1))


def test_where_cooling_is_required_no_command_cools_less_than_the_safe_values(arbiter: Arbiter) -> None:
    command(arbiter, 0.0, replace(STATE, cooling_required=True, heating_allowed=False))
    outputs = arbiter.outputs(0.1)  # commanded: 0.5, 0.75, 0.1; safe: 1, 1, 0
    assert (outputs.heater, outputs.pump, outputs.fan, outputs.chiller) == (0.0, 1.0, 1.0, 0.1)
    arbiter.set_state(STATE, 0.2)
    assert (arbiter.outputs(0.2).pump, arbiter.outputs(0.2).fan) == (0.5, 0.75)


def test_commands_of_the_wrong_size_are_refused_and_the_old_ones_expire(arbiter: Arbiter) -> None:
    command(arbiter)
    assert "refused" in str(arbiter.set_contactors(replace(CONTACTORS, positive=np.ones(2, np.uint8)), 0.3))
    assert "refused" in str(arbiter.set_balancing(replace(BALANCING, bleed=np.ones(95)), 0.3))
    assert "refused" in str(arbiter.set_state(replace(STATE, contactor_command=np.ones(0)), 0.3))
    assert arbiter.outputs(0.3).any_closed
    assert is_safe(arbiter.outputs(0.51))


def test_values_that_are_none_are_safe(arbiter: Arbiter) -> None:
    arbiter.set_state(STATE, 0.0)
    arbiter.set_thermal(ThermalCommand(math.nan, math.nan, 7.0, -1.0, "", 3.0), 0.0)
    arbiter.set_charge(ChargeCommand(True, math.nan, 3.0, "", 1.0), 0.0)
    outputs = arbiter.outputs(0.1)
    assert (outputs.heater, outputs.pump, outputs.fan, outputs.chiller) == (0.0, 1.0, 1.0, 0.0)
    assert outputs.charge_enable == 0
    arbiter.set_charge(ChargeCommand(True, 400.0, -3.0, "", 1.0), 0.0)
    assert arbiter.outputs(0.1).charge_current_a == 0.0


@cache
def demo_file() -> PackFile:
    """Not a fixture: Hypothesis would write the whole pack into its report."""
    return load_pack("demo_96s_nmc").file


@settings(deadline=None, max_examples=150)
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["state", "contactors", "balancing", "thermal", "charge"]),
            st.floats(0, 0.4),
            st.floats(-1, 20),
            st.integers(0, 255),
        ),
        max_size=20,
    ),
    wait=st.floats(0, 2),
)
def test_closed_only_by_a_fresh_state_and_a_fresh_command(
    events: list[tuple[str, float, float, int]], wait: float
) -> None:
    arbiter, now = Arbiter(demo_file()), 0.0
    opened(arbiter)
    last = {"state": 0.0, "contactors": 0.0}
    for kind, step, valid_for_s, bits in events:
        now += step
        if kind == "state":
            allowed = np.array([bits & 1, bits >> 1 & 1, bits >> 2 & 1], np.uint8)
            arbiter.set_state(replace(STATE, contactor_command=allowed, valid_for_s=valid_for_s), now)
        elif kind == "contactors":
            arbiter.set_contactors(replace(CONTACTORS, valid_for_s=valid_for_s), now)
        elif kind == "balancing":
            arbiter.set_balancing(replace(BALANCING, valid_for_s=valid_for_s), now)
        elif kind == "thermal":
            arbiter.set_thermal(replace(THERMAL, valid_for_s=valid_for_s, heater=bits / 100 - 1), now)
        else:
            arbiter.set_charge(replace(CHARGE, valid_for_s=valid_for_s), now)
        if kind in last:
            last[kind] = now if valid_for_s > 0 else -math.inf
        arbiter.outputs(now)
    now += wait
    outputs = arbiter.outputs(now)
    if outputs.any_closed:
        assert now - min(last.values()) <= 0.5 + 1e-9
    if now - last["state"] > 0.5 + 1e-9:
        assert is_safe(outputs)
    assert all(0.0 <= duty <= 1.0 for duty in (outputs.heater, outputs.pump, outputs.fan, outputs.chiller))


# ---- frames


@pytest.fixture
def encoder(demo_pack: LoadedPack, demo_database: Database) -> CommandEncoder:
    return CommandEncoder(demo_pack, demo_database)


def named(encoder: CommandEncoder, frames: list[Frame]) -> dict[str, dict[str, Any]]:
    by_id = {message.frame_id: message for message in encoder.messages}
    return {
        by_id[f.identifier].name: by_id[f.identifier].decode(f.data, decode_choices=False) for f in frames
    }


def test_frames_carry_counter_checksum_and_values(
    encoder: CommandEncoder, demo_pack: LoadedPack, device: DemoDevice
) -> None:
    command(encoder.arbiter)
    frames = encoder.frames_due(0.0)
    assert len(frames) == 10
    for frame in frames:
        name = next(m.name for m in encoder.messages if m.frame_id == frame.identifier)
        assert checksum("crc8_sae_j1850", frame.data[:-1], device.data_ids[name]) == frame.data[-1]
    values = named(encoder, frames)
    assert values["Bms_Command"]["ContactorPositive"] == 1
    assert values["Bms_Command"]["ContactorPrecharge"] == 0
    assert values["Bms_Command"]["RequestedState"] == State.DRIVE
    assert values["Bms_Command"]["HeaterDuty"] == pytest.approx(0.25)
    assert values["Bms_Charger"]["ChargeVoltage"] == pytest.approx(400.0)
    assert [values[f"Bms_Balancing{m}"]["Bleed00"] for m in range(8)] == [1] * 8
    assert values["Bms_Balancing7"]["Bleed11"] == 0
    counters = []
    for step in range(1, 20):
        encoder.arbiter.set_state(STATE, 0.1 * step)
        encoder.arbiter.set_contactors(CONTACTORS, 0.1 * step)
        due = named(encoder, encoder.frames_due(0.1 * step + 1e-9))
        counters.append(due["Bms_Command"]["Counter"])
        assert ("Bms_Balancing0" in due) == (step % 10 == 0)
    assert counters == [step % 16 for step in range(1, 20)]


def test_a_change_is_sent_at_once_but_not_in_a_burst(encoder: CommandEncoder) -> None:
    command(encoder.arbiter)
    encoder.frames_due(0.0)
    assert encoder.frames_due(0.03) == []
    encoder.arbiter.set_contactors(replace(CONTACTORS, positive=ZERO, negative=ZERO), 0.035)
    assert encoder.next_due_s() == -math.inf, "the loop is told to ask now"
    opened = named(encoder, encoder.frames_due(0.035))
    assert opened["Bms_Command"]["ContactorPositive"] == 0
    assert encoder.opened_since_s == 0.035
    encoder.arbiter.set_contactors(CONTACTORS, 0.036)
    assert encoder.frames_due(0.036) == []
    assert encoder.next_due_s() == pytest.approx(0.04), "it comes as soon as it may"
    assert named(encoder, encoder.frames_due(0.041))["Bms_Command"]["ContactorPositive"] == 1
    assert encoder.opened_since_s is None


def test_the_heartbeat_names_the_scan_that_it_answers_as_soon_as_it_is_answered(
    encoder: CommandEncoder,
) -> None:
    assert named(encoder, encoder.frames_due(0.0))["Bms_Command"]["AnsweredScan"] == 255, "none yet"
    opened(encoder.arbiter, 0.01)
    assert named(encoder, encoder.frames_due(0.01)) == {}, "a monitor that has seen no scan answers none"
    for number, at_s in ((0, 0.02), (1, 0.03), (254, 0.04), (256, 0.05), (2**64 - 2, 0.06)):
        encoder.arbiter.set_contactors(replace(CONTACTORS, scan_number=number), at_s)
        due = named(encoder, encoder.frames_due(at_s))
        assert list(due) == ["Bms_Command"], "its period of 0.1 s is not over, and nothing else changed"
        assert due["Bms_Command"]["AnsweredScan"] == number % 256
    encoder.arbiter.set_contactors(replace(CONTACTORS, scan_number=2**64 - 2), 0.07)
    assert encoder.frames_due(0.07) == [], "the same answer once more is not worth a frame"
    assert named(encoder, encoder.frames_due(0.58))["Bms_Command"]["AnsweredScan"] == 255, "expired"


def test_a_periodic_frame_does_not_hold_back_the_answer_behind_it(encoder: CommandEncoder) -> None:
    encoder.arbiter.set_contactors(replace(CONTACTORS, scan_number=7), 0.0)
    encoder.frames_due(0.0)
    encoder.arbiter.set_contactors(replace(CONTACTORS, scan_number=7), 0.09)
    assert "Bms_Command" in named(encoder, encoder.frames_due(0.1)), "keep-alive"
    encoder.arbiter.set_contactors(replace(CONTACTORS, scan_number=8), 0.101)
    assert named(encoder, encoder.frames_due(0.101))["Bms_Command"]["AnsweredScan"] == 8
    encoder.arbiter.set_contactors(replace(CONTACTORS, scan_number=9), 0.102)
    assert encoder.frames_due(0.102) == [], "two answers within 5 ms: the second waits"
    assert named(encoder, encoder.frames_due(0.1061))["Bms_Command"]["AnsweredScan"] == 9


def test_an_expiry_is_sent_when_it_happens(encoder: CommandEncoder) -> None:
    command(encoder.arbiter, 0.0)
    for step in range(1, 6):
        encoder.frames_due(0.1 * step)
    assert encoder.next_due_s() == pytest.approx(0.5)
    due = named(encoder, encoder.frames_due(0.5001) + encoder.frames_due(0.5101))
    assert due["Bms_Command"]["ContactorPositive"] == 0
    assert due["Bms_Balancing0"]["Bleed00"] == 0, "not only at the end of its slow period"
    assert due["Bms_Command"]["PumpDuty"] == pytest.approx(1.0)


def test_what_did_not_get_out_is_sent_again(encoder: CommandEncoder) -> None:
    encoder.frames_due(0.0)
    encoder.resend()
    assert len(encoder.frames_due(0.011)) == 10


def test_no_burst_after_a_stall(encoder: CommandEncoder) -> None:
    encoder.frames_due(0.0)
    assert len(encoder.frames_due(10.0)) == 10
    assert encoder.frames_due(10.05) == []


def test_rows_of_messages_signed_values_and_big_endian(tmp_path: Path) -> None:
    dbc = "".join(
        f"BO_ {0x98FF0000 + m} Bleed{m}: 4 BMS\n"
        ' SG_ A : 7|8@0+ (1,0) [0|0] "" DEV\n SG_ B : 8|8@1+ (1,0) [0|0] "" DEV\n'
        ' SG_ K : 16|4@1+ (1,0) [0|0] "" DEV\n SG_ Sum : 31|8@0+ (1,0) [0|0] "" DEV\n\n'
        for m in range(2)
    )
    dbc += 'BO_ 5 Charger: 4 BMS\n SG_ I : 7|16@0- (0.1,-10) [0|0] "A" DEV\n\n'
    dbc += 'BO_ 6 In: 2 DEV\n SG_ V : 0|16@1+ (0.001,0) [0|0] "V" BMS\n'
    commands = [
        {
            "message": "Bleed{m}", "repeat": {"m": [0, 1]}, "period_s": 0.1,
            "checksum": {"signal": "Sum", "kind": "sum"},
            "signals": [
                {"signal": "A", "source": "bleed", "scale": 255.0},
                {"signal": "B", "source": "bleed", "first_index": 2},
                {"signal": "K", "offset": 9.0},
            ],
        },
        {
            "message": "Charger", "period_s": 0.1,
            "signals": [{"signal": "I", "source": "charge_current_a", "scale": -1.0}],
        },
    ]  # fmt: skip
    signals = [{"to": "cell_voltage_v", "message": "In", "signal": "V"}]
    pack = write_pack(tmp_path, dbc, signals, cells=4, commands=commands)
    encoder = CommandEncoder(pack, Database(pack))
    encoder.arbiter.set_state(STATE, 0.0)
    encoder.arbiter.set_balancing(BalancingCommand(np.array([1, 0, 0, 1]), "", 3.0), 0.0)
    encoder.arbiter.set_charge(ChargeCommand(True, 400.0, 1e9, "", 1.0), 0.0)
    first, second, charger = encoder.frames_due(0.0)
    assert (first.identifier, first.flags) == (0x18FF0000, 1)
    assert first.data == bytes([255, 0, 9, (255 + 9) % 256])
    assert second.data == bytes([0, 1, 9, 10])
    assert charger.data[:2] == b"\x80\x00", (
        "far beyond what the signal can say: its end, not a wrapped number"
    )


def test_names_that_are_not_there(tmp_path: Path) -> None:
    dbc = 'BO_ 6 In: 2 DEV\n SG_ V : 0|16@1+ (0.001,0) [0|0] "V" BMS\n'
    signals = [{"to": "cell_voltage_v", "message": "In", "signal": "V"}]
    for entry, said in (
        ({"message": "Out", "period_s": 1.0, "signals": []}, "no message 'Out'"),
        (
            {"message": "In", "period_s": 1.0, "signals": [{"signal": "W", "source": "heater"}]},
            "no signal 'W'",
        ),
        (
            {
                "message": "In",
                "period_s": 1.0,
                "signals": [{"signal": "V", "source": "bleed", "first_index": 4}],
            },
            r"wants bleed\[4\], the pack has 4",
        ),
    ):
        pack = write_pack(tmp_path, dbc, signals, commands=[entry])
        with pytest.raises(ConfigError, match=said):
            CommandEncoder(pack, Database(pack))


def test_a_counter_that_does_not_fit_is_refused_at_once_and_not_while_driving(tmp_path: Path) -> None:
    dbc = 'BO_ 6 In: 2 DEV\n SG_ V : 0|16@1+ (0.001,0) [0|0] "V" BMS\n\n'
    dbc += 'BO_ 7 Out: 2 BMS\n SG_ C : 0|4@1+ (1,0) [0|0] "" DEV\n SG_ H : 8|8@1+ (0.01,0) [0|0] "" DEV\n'
    signals = [{"to": "cell_voltage_v", "message": "In", "signal": "V"}]
    for modulo in (16, 15, 256):
        entry = {"message": "Out", "period_s": 0.1, "signals": [{"signal": "H", "source": "heater"}],
                 "counter": {"signal": "C", "modulo": modulo}}  # fmt: skip
        pack = write_pack(tmp_path, dbc, signals, commands=[entry])
        if modulo > 16:
            with pytest.raises(ConfigError, match=r"Out cannot be encoded.*the counter's modulo"):
                CommandEncoder(pack, Database(pack))
            continue
        encoder = CommandEncoder(pack, Database(pack))
        sent = [encoder.frames_due(float(second))[0].data[0] for second in range(18)]
        assert sent == [second % modulo for second in range(18)]
