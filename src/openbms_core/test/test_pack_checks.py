"""Bad configuration is refused at start with file, line, key, value and cure: one entry a bad file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.resources import find_config

DEMO = find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8")
DBC = "package://openbms_drivers"

# What is replaced in the demo pack; by what; the key that is named; what else the sentence says.
BAD: dict[str, tuple[str, str, str, str]] = {
    "limits out of order": (
        "cell_voltage_max_v: {operating: 4.15, recommended: 4.21, safety: 4.25}",
        "cell_voltage_max_v: {operating: 4.15, recommended: 4.3, safety: 4.25}",
        "limits: cell_voltage_max_v",
        r"operating <= recommended <= safety must hold, but they are \(4.15, 4.3, 4.25\)",
    ),
    "lower limits out of order": (
        "cell_voltage_min_v: {operating: 3.0, recommended: 2.75, safety: 2.5}",
        "cell_voltage_min_v: {operating: 2.4, recommended: 2.75, safety: 2.5}",
        "limits: cell_voltage_min_v",
        r"operating >= recommended >= safety must hold",
    ),
    "a triple is missing": (
        "  discharge_current_max_a: {operating: 18.0, recommended: 20.0, safety: 22.0}\n",
        "",
        "limits.discharge_current_max_a",
        r"is missing",
    ),
    "a triple is not complete": (
        "discharge_current_max_a: {operating: 18.0, recommended: 20.0, safety: 22.0}",
        "discharge_current_max_a: {operating: 18.0, recommended: 20.0}",
        "limits.discharge_current_max_a.safety",
        r"is missing",
    ),
    "no temperature is allowed": (
        "charge_temperature_min_degc: {operating: 5.0, recommended: 0.0, safety: -20.0}",
        "charge_temperature_min_degc: {operating: 46.0, recommended: 0.0, safety: -20.0}",
        "limits.charge_temperature_min_degc",
        r"operating is 46 degC, but charge_temperature_max_degc.operating is 45 degC",
    ),
    "an unknown fault": (
        "  CONTACTOR_WELDED: {debounce_s: 0.6}",
        "  CONTACTOR_WELDET: {debounce_s: 0.6}",
        "faults.CONTACTOR_WELDET",
        r"Did you mean 'CONTACTOR_WELDED'\?",
    ),
    "a reaction that takes too long": (
        "  CONTACTOR_WELDED: {debounce_s: 0.6}",
        "  CONTACTOR_WELDED: {debounce_s: 1.6}",
        "faults.CONTACTOR_WELDED",
        r"above its fault-tolerant time 2 s.*or the row's debounce",
    ),
    "a deadline that no fault tolerates": (
        "fault_opening_deadline_s: 0.3",
        "fault_opening_deadline_s: 1.9",
        "faults.CELL_OVER_VOLTAGE",
        r"opening 2.1 s = 3.05 s, above its fault-tolerant time 2 s",
    ),
    "a fault's own deadline that it does not tolerate": (
        "  CONTACTOR_WELDED: {debounce_s: 0.6}",
        "  EMERGENCY_STOP: {opening_deadline_s: 2.0}",
        "faults.EMERGENCY_STOP",
        r"above its fault-tolerant time 1 s",
    ),
    "a fault is slower than a request": (
        "opening_deadline_s: 2.0\n",
        "opening_deadline_s: 0.2\n",
        "contactors.fault_opening_deadline_s",
        r"0.3 s is longer than contactors.opening_deadline_s \(0.2 s\).*Shorten it",
    ),
    "a deadline for what does not open": (
        "  CONTACTOR_WELDED: {debounce_s: 0.6}",
        "  ESTIMATOR_LOST: {opening_deadline_s: 0.2}",
        "faults.ESTIMATOR_LOST.opening_deadline_s",
        r"0.2 s has no effect: this fault does not open the contactors. Remove it",
    ),
    "a string without contactor": (
        "        - {signal: ContactorPositive, source: contactor_positive}\n",
        "",
        "contactors.authority",
        r"no device.commands entry sends contactor_positive; add one",
    ),
    "a string without precharge contactor": (
        "        - {signal: ContactorPrecharge, source: contactor_precharge}\n",
        "",
        "device.commands",
        r"no entry sends contactor_precharge of string 0.*or remove contactors.precharge",
    ),
    "nobody asks the device": (
        "        - {signal: RequestedState, source: requested_state}\n",
        "",
        "contactors.authority",
        r"it is 'device', but no device.commands entry sends requested_state.*Add a signal",
    ),
    "a device that takes no requests is asked": (
        "authority: openbms",
        "authority: device\n  takes_requests: false",
        "contactors.takes_requests",
        r"it is false, but a device.commands entry sends requested_state. Remove one",
    ),
    "precharge without the link's voltage": (
        "    - {to: link_voltage_v, message: Pack_Voltages, signal: LinkVoltage, "
        "not_available_raw: [16777215], minimum: 0.0, maximum: 1000.0}\n",
        "",
        "contactors.precharge",
        r"device.signals maps no link_voltage_v. Map it, or remove contactors.precharge",
    ),
    "a weld check without the link's voltage": (
        "    - {to: link_voltage_v, message: Pack_Voltages, signal: LinkVoltage, "
        "not_available_raw: [16777215], minimum: 0.0, maximum: 1000.0}\n",
        "",
        "contactors.weld_check_s",
        r"1 s is judged by the link voltage.*Map it, or remove this key",
    ),
    "a weld check without a window": (
        "  precharge: {voltage_difference_max_v: 10.0, timeout_s: 5.0, attempts: 3, wait_between_attempts_s: "
        "3.0}\n",
        "",
        "contactors.weld_check_s",
        r"contactors.precharge.voltage_difference_max_v, which is absent",
    ),
    "a closing time longer than the time-out": (
        "closing_time_s: 0.5",
        "closing_time_s: 5.0",
        "contactors.closing_time_s",
        r"5 s is not below contactors.precharge.timeout_s \(5 s\).*Shorten it",
    ),
    "a break current above over-current": (
        "break_current_a: 5.0",
        "break_current_a: 30.0",
        "contactors.break_current_a",
        r"30 A is not below limits.discharge_current_max_a.safety \(22 A\)",
    ),
    "a fuse that melts in use": (
        "  break_current_a: 5.0\n",
        "  break_current_a: 5.0\n  fuse: {current_min_a: 17.0, wait_s: 1.0}\n",
        "contactors.fuse.current_min_a",
        r"17 A is not above .*discharge_current_max_a.operating \(18 A\): the fuse would melt in use",
    ),
    "a safe voltage that nobody looks at": (
        "  link_discharge_time_s: 40.0\n",
        "  link_safe_voltage_v: 60.0\n",
        "contactors.link_safe_voltage_v",
        r"60 V has no effect without contactors.link_discharge_time_s",
    ),
    "an expiry shorter than two scans": (
        "command_valid_for_s: 0.5",
        "command_valid_for_s: 0.15",
        "contactors.command_valid_for_s",
        r"0.15 s is shorter than two scan periods \(0.2 s\).*Lengthen it",
    ),
    "a quantity from two places": (
        "    - {to: interlock, message: Pack_Status, signal: Interlock, not_available_raw: [2, 3]}\n",
        "    - {to: interlock, message: Pack_Status, signal: Interlock, not_available_raw: [2, 3]}\n"
        "    - {to: interlock, message: Pack_Status, signal: EmergencyStop, not_available_raw: [2, 3]}\n",
        "device.signals[",
        r"interlock\[0\] is filled by Pack_Status.EmergencyStop here, and by device.signals\[\d+\] as well",
    ),
    "a row that reaches into another": (
        "signal: AmbientTemperature, first_index: 40,",
        "signal: AmbientTemperature, first_index: 39,",
        "device.signals[",
        r"temperature_degc\[39\] is filled by Pack_Thermal.AmbientTemperature here",
    ),
    "deep discharge in the range of use": (
        "protection:\n",
        "protection:\n  deep_discharge_voltage_v: 2.6\n",
        "protection.deep_discharge_voltage_v",
        r"2.6 V is above limits.cell_voltage_min_v.safety \(2.5 V\)",
    ),
}
EXTRA = {
    "nobody asks the device": ("authority: openbms", "authority: device"),
    "a weld check without a window": ("  link_discharge_time_s: 40.0\n", ""),
    "a safe voltage that nobody looks at": (
        "  link_discharge_time_s: 40.0\n",
        "  link_safe_voltage_v: 60.0\n",
    ),
}


def refused(path: Path) -> str:
    """Give what is said of a file."""
    with pytest.raises(ConfigError) as error:
        check_pack(load_pack(path))
    return str(error.value)


def written(folder: Path, name: str) -> tuple[Path, str]:
    old, new, *_ = BAD[name]
    text = DEMO
    for before, after in ((old, new), EXTRA.get(name, ("", ""))):
        assert before in text or after in text, f"the demo pack has changed: {before}"
        text = text.replace(before, after, 1)
    path = folder / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    return path, text


def named_in(line: str, key: str) -> bool:
    """Tell whether a line of the file is that of the key, or of the part of it that is there."""
    steps = re.findall(r"[A-Za-z_]\w*", key)
    return any(re.search(rf"\b{step}:", line) for step in steps[-2:])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_pack_is_refused_with_file_line_key_and_cure(tmp_path, name):
    *_, key, words = BAD[name]
    path, text = written(tmp_path, name)
    said = refused(path)
    matching = [line for line in said.split("\n") if key in line and re.search(words, line)]
    assert matching, said
    place, line = re.match(r"(.*?):(\d+): ", matching[0]).groups()
    assert place == str(path)
    if key == "device.signals[":  # which one it is says the sentence
        number = int(re.search(r"device\.signals\[(\d+)\]", matching[0])[1])
        first = next(n for n, words in enumerate(text.split("\n"), 1) if words.strip() == "signals:")
        assert int(line) == first + 1 + number
    else:
        assert named_in(text.split("\n")[int(line) - 1], key)
    assert matching[0].endswith((".", "?"))


def test_a_second_string_without_contactors_feedback_or_current_is_refused(tmp_path):
    text = DEMO.replace("strings: 1", "strings: 2").replace("cells_in_series: 96", "cells_in_series: 48")
    assert text != DEMO
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    said = refused(path).split("\n")
    for quantity in ("contactor_positive", "contactor_negative", "contactor_precharge"):
        assert any(
            f"no entry sends {quantity} of string 1: the string has no such contactor" in s for s in said
        )
    for quantity in ("contactor_positive", "contactor_negative", "contactor_precharge", "string_current_a",
                     "string_voltage_v"):  # fmt: skip
        text = f"{quantity} is mapped for string 0, but not for string 1. Map it"
        assert any(text in line for line in said)


def test_several_strings_need_precharge(tmp_path):
    text = DEMO.replace("strings: 1", "strings: 2").replace("cells_in_series: 96", "cells_in_series: 48")
    text = text.replace("  precharge: {", "  # precharge: {").replace("  weld_check_s: 1.0\n", "")
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    assert "contactors.precharge: it is absent, but this pack has 2 strings" in refused(path)


def test_the_demonstration_pack_is_good():
    check_pack(load_pack("demo_96s_nmc"))


def test_every_problem_is_said_at_once(tmp_path):
    text = DEMO.replace("break_current_a: 5.0", "break_current_a: 30.0")
    text = text.replace("command_valid_for_s: 0.5", "command_valid_for_s: 0.1")
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    said = refused(path)
    assert "contactors.break_current_a" in said and "contactors.command_valid_for_s" in said
