"""Why: the state answers at any moment, with codes and sentences."""

from __future__ import annotations

import re

import pytest

from openbms_control.safety.explain import INHIBITS
from openbms_control.safety.joining import LEFT_OUT
from openbms_control.safety.limits import REASONS
from openbms_core.faults import FAULT_BY_ID
from openbms_core.types import UNKNOWN, State


def check(status):
    """Every code has one sentence, and every code is known."""
    assert len(status.inhibits) == len(status.inhibit_texts) == len(set(status.inhibits))
    for code, text in zip(status.inhibits, status.inhibit_texts, strict=True):
        what, _, reason = code.partition(":")
        assert re.fullmatch(r"close|drive|charge|discharge|balancing|heating|string_\d+", what), code
        head = reason.partition(":")[0]
        known = {item.partition(":")[2] for item in INHIBITS} | set(LEFT_OUT)
        assert head in FAULT_BY_ID or head in REASONS or head in known, code
        assert text[0].isupper() and text.endswith("."), text
    assert status.explanation.endswith(".")


def test_every_decision_of_a_day_explains_itself(kit):
    rig = kit.rig()
    rig.tick()
    rig.close()
    rig.run(1.0, current_a=-9.0)
    rig.monitor.request(State.STANDBY, rig.t_s)
    rig.run(1.0)
    rig.rest(current_a=0.0)
    rig.run(1.0, cells_v=[4.3, 3.7, 3.7, 3.7])
    rig.run(1.0, interlock=0)
    rig.tick(0.7)
    for _, decision in rig.history:
        check(decision.status)


def test_in_standby_it_says_why_no_current_and_what_forbids_to_drive(kit):
    rig = kit.rig()
    rig.run(0.5, charging_plug=1)
    status = rig.last.status
    assert {"charge:state:STANDBY", "discharge:state:STANDBY", "drive:charging_plug"} == set(status.inhibits)
    assert "The charging plug is plugged in: DRIVE is refused." in status.inhibit_texts
    rig.step(charging_plug=UNKNOWN)
    assert "The charging plug has an unknown state: DRIVE is refused." in rig.last.status.inhibit_texts


def test_a_fault_says_what_to_do(kit):
    rig = kit.rig()
    rig.run(0.5, interlock=0)
    text = dict(zip(rig.last.status.inhibits, rig.last.status.inhibit_texts, strict=True))
    assert "Close all high-voltage connectors" in text["close:INTERLOCK_OPEN"]
    assert "The interlock loop is broken." in text["heating:INTERLOCK_OPEN"]


def test_charging_that_a_limit_forbids_says_which(kit):
    rig = kit.rig()
    rig.close()
    rig.run(2.0, cells_v=[4.21, 3.7, 3.7, 3.7])
    text = dict(zip(rig.last.status.inhibits, rig.last.status.inhibit_texts, strict=True))
    assert "A cell's voltage is too high" in text["charge:CELL_OVER_VOLTAGE_RECOMMENDED"]
    rig.run(8.0, cells_v=3.7, temperature_degc=-1.0)
    text = dict(zip(rig.last.status.inhibits, rig.last.status.inhibit_texts, strict=True))
    assert any("too cold" in words or "coldest" in words for words in text.values())


def test_a_request_is_refused_with_the_very_sentences_of_the_state(kit):
    rig = kit.rig()
    rig.run(0.5, charging_plug=1, interlock=0)
    answer = rig.monitor.request(State.DRIVE, rig.t_s)
    for code, text in zip(rig.last.status.inhibits, rig.last.status.inhibit_texts, strict=True):
        assert (text in answer.reason) == code.startswith(("close:", "drive:"))


def test_while_it_stops_it_says_so(kit):
    rig = kit.rig()
    rig.run(0.5)
    rig.monitor.stop()
    rig.step()
    assert "close:stopping" in rig.last.status.inhibits


@pytest.mark.parametrize("precharge", [True, False])
def test_a_device_and_a_pack_without_precharge_say_how_far_they_are(kit, precharge):
    if precharge:
        rig = kit.rig(contactors={"authority": "device"})
        rig.feedback = [0, 0, 0]
        expected = "The device was asked to close; 0 of 1 string(s) report closed."
    else:
        rig = kit.rig(contactors={"precharge": None})
        expected = "String 0 closes without precharge."
    rig.run(0.5)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.run(0.2)
    assert expected in rig.last.status.explanation
    rig.tick(0.55)  # nobody knows how far it is
    assert rig.last.status.state in (State.PRECHARGE, State.OPENING, State.FAULT)


def test_a_string_that_joins_is_named(kit):
    rig = kit.strings(2)
    rig.run(0.5)
    rig.monitor.request(State.DRIVE, rig.t_s)
    rig.values["link_v"] = 7.4
    texts = [rig.step().status.explanation for _ in range(60)]
    assert any("String 1 joins." in text for text in texts)
    assert any("String 1 is not connected: it fits, and joins" in text for text in texts)
